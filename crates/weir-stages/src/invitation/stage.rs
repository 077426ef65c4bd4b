//! Behaviour of the invitation stage.

use super::{
    InvitationStage,
    challenge::AcceptChallenge,
    object::{self, Used},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::Resource;
use weir_events::action;
use weir_flow::{Outcome, Reject, Stage, StageCx, View, keys, stage::NoResponse};
use weir_identity::{accounts, attributes};

/// The kind.
pub struct Invite;

/// The key that the visitor brings.
fn key(cx: &StageCx<'_>) -> Option<Uuid> {
    let prompted = || cx.context.get(keys::PROMPT_DATA)?.get("token")?.as_str().map(str::to_owned);
    let given = |name: &str| cx.query_parameter(name).filter(|v| !v.is_empty()).map(str::to_owned);
    let text = given("itoken").or_else(|| given("token")).or_else(prompted)?;
    Uuid::parse_str(&text).ok()
}

/// Puts what the invitation says over what is known.
fn apply(cx: &mut StageCx<'_>, invitation: &Used) {
    cx.context.set(keys::INVITATION_IN_EFFECT, &true);
    cx.context.set(keys::INVITATION, &invitation.summary());
    cx.context.set(keys::INVITATION_FIXED, &invitation.fixed_data);
    attributes::merge(cx.context.object_mut(keys::PROMPT_DATA), &invitation.fixed_data);
    cx.event(action::INVITATION_USED, json!({"invitation_uuid": invitation.id.simple().to_string()}));
    if invitation.single_use {
        let mut model = invitation.summary();
        if let Some(model) = model.as_object_mut() {
            model.insert("pk".to_owned(), Value::from(invitation.id.simple().to_string()));
        }
        cx.event(action::MODEL_DELETED, json!({"model": model}));
    }
}

#[async_trait]
impl Stage for Invite {
    const MODEL: &'static str = InvitationStage::MODEL;
    type Config = InvitationStage;
    type Challenge = AcceptChallenge;
    type Response = NoResponse;

    fn is_silent(&self, _config: &InvitationStage) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, config: &InvitationStage) -> Result<View<AcceptChallenge>, Reject> {
        let (flow, now) = (cx.flow_id, cx.now());
        let mut found = None;
        if let Some(key) = key(cx) {
            found = object::find(&mut cx.unit.tx, key, flow, now).await?;
        }
        if let Some(invitation) = &found
            && invitation.single_use
        {
            if cx.is_look {
                return Ok(View::Ask(AcceptChallenge::new()));
            }
            if !object::take(&mut cx.unit.tx, invitation.id, flow, now).await? {
                found = None;
            }
        }
        match found {
            Some(invitation) => {
                // A lockdown of whoever invited ends what the invited have begun, too.
                if let Some(maker) = invitation.created_by
                    && let Some(maker) = accounts::find(&mut cx.unit.tx, maker).await?
                {
                    cx.context.set(keys::INVITATION_BY, &(maker.id, maker.security_epoch));
                }
                apply(cx, &invitation);
            }
            None if config.continue_flow_without_invitation => {}
            None => {
                let text = "Invalid invite/invite not found".to_owned();
                return Ok(View::Done(Outcome::Deny(Some(text))));
            }
        }
        Ok(View::Done(Outcome::Next))
    }

    async fn answer(&self, _: &mut StageCx<'_>, _: &InvitationStage, _: NoResponse) -> Result<Outcome, Reject> {
        // Silent stages act when they are shown.
        Ok(Outcome::Deny(None))
    }
}
