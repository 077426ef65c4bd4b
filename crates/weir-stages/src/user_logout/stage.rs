//! Behaviour of the log-out stage.

use super::UserLogoutStage;
use async_trait::async_trait;
use serde_json::json;
use weir_core::Resource;
use weir_events::action;
use weir_flow::{
    Effect, Outcome, Reject, Stage, StageCx, View,
    stage::{NoChallenge, NoResponse},
};
use weir_identity::accounts::{self, Account, INTERNAL_SERVICE_ACCOUNT};

/// The kind.
pub struct UserLogout;

/// Whether the account was made for this one sign-in. Whoever only acts as somebody else does not sign them out.
fn goes_with_the_session(cx: &StageCx<'_>, user: &Account) -> bool {
    let assumed = cx.session.as_ref().is_some_and(|session| session.data.contains_key("impersonate_user"));
    !assumed && user.kind != INTERNAL_SERVICE_ACCOUNT && user.goes_on_logout()
}

#[async_trait]
impl Stage for UserLogout {
    const MODEL: &'static str = UserLogoutStage::MODEL;
    type Config = UserLogoutStage;
    type Challenge = NoChallenge;
    type Response = NoResponse;

    fn is_silent(&self, _config: &UserLogoutStage) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, _config: &UserLogoutStage) -> Result<View<NoChallenge>, Reject> {
        let temporary = match &cx.user {
            Some(user) if goes_with_the_session(cx, user) => Some(user.id),
            _ => None,
        };
        if let Some(user) = temporary {
            // Configuration before the user's row, the user's row before the session's: the order of everybody.
            cx.unit.lock_configuration().await?;
            let user = accounts::lock(&mut cx.unit.tx, user).await?;
            cx.effects.extend(user.map(|user| Effect::DeleteUser(user.id)));
        }
        if cx.user.is_some() {
            cx.event(action::LOGOUT, json!({}));
        }
        cx.effects.push(Effect::LogOut);
        Ok(View::Done(Outcome::Next))
    }

    async fn answer(&self, _: &mut StageCx<'_>, _: &UserLogoutStage, _: NoResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Deny(None))
    }
}
