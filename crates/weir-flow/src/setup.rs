//! The first run: the set-up flow ends in a stage without a row that records that set-up happened.

use crate::{
    App, Flow, FlowAuthentication, NotApplicable, Outcome, Plan, PlanContext, Reject, Stage, StageCx, Step, View, keys,
    links::{self, PlanRequest},
    stage::{NoChallenge, NoResponse},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map, Resource};
use weir_policy::RequestInfo;
use weir_resource::{Settings, Unit, store};

/// Slug of the set-up flow.
pub const FLOW: &str = "initial-setup";
/// Row of the table `installation`: set-up happened.
pub const DONE: &str = "setup_done";
/// Label of blueprints that only serve the first run.
const LABEL: &str = "blueprints.goauthentik.io/system-oobe";
const BLUEPRINT: &str = "authentik_blueprints.blueprintinstance";

/// Records that set-up happened, keeps the address of the site, and closes the way that led here.
pub struct FinishSetup;

impl FinishSetup {
    /// Model of the kind.
    pub const MODEL: &'static str = "weir_flow.finish_setup";

    async fn keep_address(cx: &mut StageCx<'_>) -> Result<(), ApiError> {
        let data: Map = cx.context.get(keys::PROMPT_DATA).unwrap_or_default();
        let Some(address) = data.get("base_url").and_then(Value::as_str).filter(|a| is_address(a)) else {
            return Ok(());
        };
        let settings = Settings { base_url: address.to_owned(), ..Settings::clone(&cx.unit.snapshot.settings) };
        cx.unit.write_settings(settings).await
    }

    async fn close(cx: &mut StageCx<'_>) -> Result<(), ApiError> {
        let now = cx.now();
        let sql = "INSERT INTO installation (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
        cx.unit.tx.write(sql, &[DONE.into(), now.to_rfc3339().into()]).await.map_err(store)?;
        if let Some((id, _)) = links::find_flow(&cx.unit, FLOW)
            && let Some(kind) = cx.app.site.registry.find(Flow::MODEL)
        {
            let closed = json!(FlowAuthentication::RequireSuperuser);
            cx.unit.set(kind, &id.to_string(), Map::from_iter([("authentication".to_owned(), closed)])).await?;
        }
        // The blueprint would open the flow again when its file changes.
        let labelled: Vec<Uuid> = cx
            .unit
            .snapshot
            .of_model(BLUEPRINT)
            .filter(|o| {
                let label =
                    o.doc.get("metadata").and_then(|m| m.get("labels")?.get(LABEL)?.as_str().map(str::to_owned));
                label.as_deref() == Some("true")
            })
            .map(|o| o.id)
            .collect();
        if let Some(kind) = cx.app.site.registry.find(BLUEPRINT) {
            for id in labelled {
                cx.unit.set(kind, &id.to_string(), Map::from_iter([("enabled".to_owned(), false.into())])).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Stage for FinishSetup {
    const MODEL: &'static str = Self::MODEL;
    type Config = Value;
    type Challenge = NoChallenge;
    type Response = NoResponse;

    fn is_silent(&self, _config: &Value) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, _config: &Value) -> Result<View<NoChallenge>, Reject> {
        Self::keep_address(cx).await?;
        Self::close(cx).await?;
        Ok(View::Done(Outcome::Next))
    }

    async fn answer(&self, _: &mut StageCx<'_>, _: &Value, _: NoResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Deny(None))
    }
}

/// Whether links in mails can begin with this.
fn is_address(text: &str) -> bool {
    let parsed = url::Url::parse(text);
    text.len() <= 200 && parsed.is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
}

/// Plans the set-up flow for the first visitor.
///
/// # Errors
/// When the flow is missing or no longer applies.
pub async fn plan(app: &App, unit: &mut Unit<'_>, request: &RequestInfo) -> Result<Plan, NotApplicable> {
    let Some((flow_id, flow)) = links::find_flow(unit, FLOW) else { return Err(NotApplicable::Empty) };
    let mut context = PlanContext::default();
    context.set(keys::SETUP_STARTED_BY, &"setup".to_owned());
    let wish = PlanRequest { flow_id, flow: &flow, request, user: None, context, allow_empty: false, for_token: false };
    let mut plan = links::plan(app, unit, wish).await?;
    plan.steps.push_back(Step::in_memory(app.site.random.uuid(), FinishSetup::MODEL, json!({})));
    Ok(plan)
}
