//! The step in front of a plan that a mailed link restores: programs look at the links in mails, so that opening one must
//! not use it up. Whoever confirms does; of several at once one does.

use crate::{
    App, Challenge, Outcome, Plan, PlanContext, Reject, Stage, StageCx, Step, View, keys,
    keys::{EmailProof, Restored},
};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use weir_core::FieldErrors;
use weir_identity::token;

/// What the person reads.
const HEADER: &str = "Continue to confirm this email address.";
/// What everybody else who opened the link reads afterwards.
const USED: &str = "Link was already used, please request a new link.";

/// Stage without a row that uses a link up.
pub struct ConfirmLink;

impl ConfirmLink {
    /// Model of the kind.
    pub const MODEL: &'static str = "weir_flow.confirm_link";
}

/// Which step sent the link.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfirmLinkConfig {
    /// Its binding; none for a link that no step sent.
    step: Option<Uuid>,
}

/// Asks for a click (contract schema `ConsentChallenge`).
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConfirmLinkChallenge {
    header_text: &'static str,
    permissions: Vec<Value>,
    additional_permissions: Vec<Value>,
    token: String,
}

impl Challenge for ConfirmLinkChallenge {
    const COMPONENT: &'static str = "ak-stage-consent";
}

/// The click.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ConfirmLinkResponse {
    /// The challenge's token.
    #[schemars(length(min = 1))]
    token: String,
}

/// Puts the step in front of a plan that goes into a mailed link. `step` is the binding of the step that sends it.
pub fn put_in_front(app: &App, plan: &mut Plan, step: Option<Uuid>) {
    let config = json!(ConfirmLinkConfig { step });
    plan.steps.push_front(Step::in_memory(app.site.random.uuid(), ConfirmLink::MODEL, config));
}

/// Compares an answer with the token of the last challenge, which serves once.
fn take_consent_token(context: &mut PlanContext, given: &str) -> bool {
    let expected = context.get(keys::CONSENT_TOKEN).unwrap_or_default();
    let is_right = !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(given.as_bytes()));
    if is_right {
        context.remove(keys::CONSENT_TOKEN);
    }
    is_right
}

fn used() -> Outcome {
    Outcome::Deny(Some(USED.to_owned()))
}

#[async_trait]
impl Stage for ConfirmLink {
    const MODEL: &'static str = Self::MODEL;
    type Config = ConfirmLinkConfig;
    type Challenge = ConfirmLinkChallenge;
    type Response = ConfirmLinkResponse;

    async fn view(
        &self,
        cx: &mut StageCx<'_>,
        _config: &ConfirmLinkConfig,
    ) -> Result<View<ConfirmLinkChallenge>, Reject> {
        let now = cx.now();
        let alive = match cx.context.get(keys::RESTORED) {
            Some(Restored { token, .. }) => token::is_flow_token_alive(&mut cx.unit.tx, token, now).await?,
            None => false,
        };
        if !alive {
            return Ok(View::Done(used()));
        }
        let token = cx.app.site.random.text(40);
        cx.context.set(keys::CONSENT_TOKEN, &token);
        let (permissions, additional_permissions) = (Vec::new(), Vec::new());
        Ok(View::Ask(ConfirmLinkChallenge { header_text: HEADER, permissions, additional_permissions, token }))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &ConfirmLinkConfig,
        response: ConfirmLinkResponse,
    ) -> Result<Outcome, Reject> {
        // Without the challenge's token another site could have the person's browser confirm.
        if !take_consent_token(&mut cx.context, &response.token) {
            return Err(Reject::Invalid(FieldErrors::one("token", "Invalid consent token, re-showing prompt")));
        }
        let now = cx.now();
        let Some(Restored { token, user }) = cx.context.get(keys::RESTORED) else { return Ok(used()) };
        if !token::use_flow_token(&mut cx.unit.tx, token, now).await? {
            return Ok(used());
        }
        cx.context.set(keys::EMAIL_PROOF, &EmailProof { user, step: config.step });
        Ok(Outcome::Next)
    }
}
