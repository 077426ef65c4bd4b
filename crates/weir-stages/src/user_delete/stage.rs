//! Behaviour of the user delete stage.

use super::UserDeleteStage;
use async_trait::async_trait;
use serde_json::json;
use weir_core::Resource;
use weir_events::action;
use weir_flow::{
    Effect, Outcome, Reject, Stage, StageCx, View, keys,
    stage::{NoChallenge, NoResponse},
};
use weir_identity::accounts::{self, INTERNAL_SERVICE_ACCOUNT};

/// The kind.
pub struct UserDelete;

#[async_trait]
impl Stage for UserDelete {
    const MODEL: &'static str = UserDeleteStage::MODEL;
    type Config = UserDeleteStage;
    type Challenge = NoChallenge;
    type Response = NoResponse;

    fn is_silent(&self, _config: &UserDeleteStage) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, _config: &UserDeleteStage) -> Result<View<NoChallenge>, Reject> {
        let person = cx.person().await?;
        let Some(subject) = person.account() else { return Ok(View::Done(Outcome::Deny(None))) };
        // Configuration before the user's row, the user's row before the session's: the order of everybody.
        cx.unit.lock_configuration().await?;
        let subject = accounts::lock(&mut cx.unit.tx, subject.id).await?;
        // Accounts that Weir keeps for itself are not for people to delete; a locked account does nothing any more.
        let Some(subject) = subject.filter(|a| a.is_active && a.kind != INTERNAL_SERVICE_ACCOUNT) else {
            return Ok(View::Done(Outcome::Deny(None)));
        };
        if cx.user.is_some() {
            cx.event(action::LOGOUT, json!({}));
        }
        cx.context.remove(keys::PENDING_USER);
        cx.effects.push(Effect::LogOut);
        cx.effects.push(Effect::DeleteUser(subject.id));
        Ok(View::Done(Outcome::Next))
    }

    async fn answer(&self, _: &mut StageCx<'_>, _: &UserDeleteStage, _: NoResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Deny(None))
    }
}
