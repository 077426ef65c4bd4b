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

/// The kind.
pub struct UserLogout;

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
