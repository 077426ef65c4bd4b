//! Definition of the password stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Ref, Resource, resource::UuidKeyed};
use weir_flow::Flow;

/// A store of passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Backend {
    /// The user's own hash.
    #[serde(rename = "authentik.core.auth.InbuiltBackend")]
    Inbuilt,
    /// App passwords.
    #[serde(rename = "authentik.core.auth.TokenBackend")]
    Token,
    /// LDAP sources.
    #[serde(rename = "authentik.sources.ldap.auth.LDAPBackend")]
    Ldap,
    /// Kerberos sources.
    #[serde(rename = "authentik.sources.kerberos.auth.KerberosBackend")]
    Kerberos,
}

impl Backend {
    /// The contract's name.
    pub fn path(self) -> &'static str {
        match self {
            Self::Inbuilt => "authentik.core.auth.InbuiltBackend",
            Self::Token => "authentik.core.auth.TokenBackend",
            Self::Ldap => "authentik.sources.ldap.auth.LDAPBackend",
            Self::Kerberos => "authentik.sources.kerberos.auth.KerberosBackend",
        }
    }
}

fn five() -> i32 {
    5
}

/// Asks for the password of the pending user.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PasswordStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Which password stores to ask, in order; with none, no password is right.
    pub backends: Vec<Backend>,
    /// Lets a signed-in person change the password through this flow.
    #[serde(default)]
    pub configure_flow: Option<Ref<Flow>>,
    /// Wrong answers after which the flow is cancelled.
    #[serde(default = "five")]
    pub failed_attempts_before_cancel: i32,
    /// Offer to show what is typed.
    #[serde(default)]
    pub allow_show_password: bool,
}

impl UuidKeyed for PasswordStage {}
impl Resource for PasswordStage {
    const MODEL: &'static str = "authentik_stages_password.passwordstage";
    const PATH: &'static str = "stages/password";
    const SCHEMA: &'static str = "PasswordStage";
    const VERBOSE: &'static str = "Password Stage";
    const COMPONENT: &'static str = "ak-stage-password-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
}
