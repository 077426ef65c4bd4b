//! Behaviour of the redirect stage.

use super::{RedirectMode, RedirectStage};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::Resource;
use weir_flow::{
    Flow, NotApplicable, Outcome, PlanContext, RedirectChallenge, Reject, Stage, StageCx, View, keys,
    links::{self, PlanRequest},
};

/// The kind.
pub struct Redirect;

/// Sent by clients that come back to this flow.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RedirectResponse {
    /// The address they were given.
    #[schemars(length(min = 1))]
    pub to: String,
}

enum Target {
    Address(String),
    Flow(Uuid, Arc<Flow>),
}

impl Redirect {
    /// What an expression asked for, else what is configured.
    fn target(cx: &StageCx<'_>, config: &RedirectStage) -> Option<Target> {
        if let Some(wish) = cx.context.get(keys::REDIRECT_STAGE_TARGET) {
            match wish.strip_prefix("ak-flow://") {
                None => return Some(Target::Address(wish)),
                Some(slug) => {
                    if let Some((id, flow)) = links::find_flow(&cx.unit, slug) {
                        return Some(Target::Flow(id, flow));
                    }
                    tracing::warn!(slug, "a redirect names a flow that does not exist");
                }
            }
        }
        match config.mode {
            RedirectMode::Static => Some(Target::Address(config.target_static.clone())),
            RedirectMode::Flow => {
                let id = config.target_flow.as_ref()?.uuid();
                Some(Target::Flow(id, cx.unit.snapshot.get::<Flow>(id)?))
            }
        }
    }
}

#[async_trait]
impl Stage for Redirect {
    const MODEL: &'static str = RedirectStage::MODEL;
    type Config = RedirectStage;
    type Challenge = RedirectChallenge;
    type Response = RedirectResponse;

    async fn view(&self, cx: &mut StageCx<'_>, config: &RedirectStage) -> Result<View<RedirectChallenge>, Reject> {
        let (flow_id, flow) = match Self::target(cx, config) {
            Some(Target::Address(to)) => return Ok(View::Ask(RedirectChallenge { to, final_redirect: false })),
            Some(Target::Flow(id, flow)) => (id, flow),
            None => {
                let text = "No target found for Redirect stage. The stage's target_flow may have been deleted.";
                return Ok(View::Done(Outcome::Deny(Some(text.to_owned()))));
            }
        };
        let mut context = if config.keep_context { cx.context.clone() } else { PlanContext::default() };
        context.set(keys::IS_REDIRECTED, &cx.flow_id);
        let user = cx.user.clone();
        let wish = PlanRequest {
            flow_id,
            flow: &flow,
            request: cx.request,
            user: user.as_ref(),
            context,
            allow_empty: true,
            for_token: false,
        };
        match links::plan(cx.app, &mut cx.unit, wish).await {
            Ok(plan) => Ok(View::Done(Outcome::Switch(Box::new(plan)))),
            Err(NotApplicable::Failed(error)) => Err(error.into()),
            Err(_) => Ok(View::Done(Outcome::Deny(None))),
        }
    }

    async fn answer(&self, _: &mut StageCx<'_>, _: &RedirectStage, _: RedirectResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Next)
    }
}
