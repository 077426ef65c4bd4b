//! Flows and the bindings of their stages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Ref, Resource, Slug, resource::UuidKeyed};
use weir_policy::Mode;
use weir_resource::AnyStage;

/// What a flow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum Designation {
    Authentication,
    Authorization,
    Invalidation,
    Enrollment,
    Unenrollment,
    Recovery,
    StageConfiguration,
}

impl Designation {
    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Invalidation => "invalidation",
            Self::Enrollment => "enrollment",
            Self::Unenrollment => "unenrollment",
            Self::Recovery => "recovery",
            Self::StageConfiguration => "stage_configuration",
        }
    }
}

/// Placement of the flow page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum Layout {
    #[default]
    Stacked,
    ContentLeft,
    ContentRight,
    SidebarLeft,
    SidebarRight,
    SidebarLeftFrameBackground,
    SidebarRightFrameBackground,
}

/// What a person meets whom the flow does not apply to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum DeniedAction {
    #[default]
    MessageContinue,
    Message,
    Continue,
}

/// Who may start a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum FlowAuthentication {
    #[default]
    None,
    RequireAuthenticated,
    RequireUnauthenticated,
    RequireSuperuser,
    RequireRedirect,
    RequireOutpost,
    RequireToken,
}

/// What a refused answer does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum InvalidResponseAction {
    #[default]
    Retry,
    Restart,
    RestartWithContext,
}

/// What a stage does for a person who has nothing configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum NotConfiguredAction {
    #[default]
    Skip,
    Deny,
    Configure,
}

/// An ordered list of stages for one purpose.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// Name for administrators.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Address of the flow in URLs.
    pub slug: Slug,
    /// Heading of the page; `%(app)s` and `%(user)s` are replaced.
    #[schemars(length(min = 1))]
    pub title: String,
    /// What the flow is for.
    pub designation: Designation,
    /// Background picture of the page; empty for the brand's.
    #[serde(default)]
    pub background: String,
    /// How the results of bound policies combine.
    #[serde(default)]
    pub policy_engine_mode: Mode,
    /// Page for password managers and old browsers.
    #[serde(default)]
    pub compatibility_mode: bool,
    /// Placement of the page.
    #[serde(default)]
    pub layout: Layout,
    /// What a person meets whom the flow does not apply to.
    #[serde(default)]
    pub denied_action: DeniedAction,
    /// Who may start the flow.
    #[serde(default)]
    pub authentication: FlowAuthentication,
}

impl UuidKeyed for Flow {}
impl Resource for Flow {
    const MODEL: &'static str = "authentik_flows.flow";
    const PATH: &'static str = "flows/instances";
    const SCHEMA: &'static str = "Flow";
    const VERBOSE: &'static str = "Flow";
    const LOOKUP: &'static str = "slug";
    const PARAM: &'static str = "slug";
    const SEARCH: &'static [&'static str] = &["name", "slug", "designation", "title", "denied_action"];
    const ORDER: &'static str = "slug";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["slug"]];
    const POLICY_TARGET: bool = true;
    const PERMISSIONS: &'static [&'static str] =
        &["export_flow", "inspect_flow", "view_flow_cache", "clear_flow_cache"];
}

fn yes() -> bool {
    true
}

/// Puts a stage at a place of a flow.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FlowStageBinding {
    /// The flow.
    pub target: Ref<Flow>,
    /// The stage.
    pub stage: Ref<AnyStage>,
    /// Ask the binding's policies when the flow is planned.
    #[serde(default)]
    pub evaluate_on_plan: bool,
    /// Ask the binding's policies when the stage is presented.
    #[serde(default = "yes")]
    pub re_evaluate_policies: bool,
    /// Place in the flow.
    pub order: i32,
    /// How the results of bound policies combine.
    #[serde(default)]
    pub policy_engine_mode: Mode,
    /// What a refused answer does.
    #[serde(default)]
    pub invalid_response_action: InvalidResponseAction,
}

impl UuidKeyed for FlowStageBinding {}
impl Resource for FlowStageBinding {
    const MODEL: &'static str = "authentik_flows.flowstagebinding";
    const PATH: &'static str = "flows/bindings";
    const SCHEMA: &'static str = "FlowStageBinding";
    const VERBOSE: &'static str = "Flow Stage Binding";
    const PARAM: &'static str = "fsb_uuid";
    const SEARCH: &'static [&'static str] = &["stage"];
    const ORDER: &'static str = "target,order";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["target", "stage", "order"]];
    const POLICY_TARGET: bool = true;

    fn check(&self) -> weir_core::FieldErrors {
        if self.evaluate_on_plan || self.re_evaluate_policies {
            weir_core::FieldErrors::new()
        } else {
            weir_core::FieldErrors::general("Either evaluation on plan or evaluation on run must be enabled")
        }
    }
}
