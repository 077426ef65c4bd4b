//! Behaviour of the deny stage.

use super::DenyStage;
use async_trait::async_trait;
use weir_core::Resource;
use weir_flow::{
    Outcome, Reject, Stage, StageCx, View, keys,
    stage::{NoChallenge, NoResponse},
};

/// The kind.
pub struct Deny;

#[async_trait]
impl Stage for Deny {
    const MODEL: &'static str = DenyStage::MODEL;
    type Config = DenyStage;
    type Challenge = NoChallenge;
    type Response = NoResponse;

    fn is_silent(&self, _config: &DenyStage) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, config: &DenyStage) -> Result<View<NoChallenge>, Reject> {
        let message = cx.context.get(keys::DENY_MESSAGE).unwrap_or_else(|| config.deny_message.clone());
        Ok(View::Done(Outcome::Deny(Some(message))))
    }

    async fn answer(&self, _: &mut StageCx<'_>, config: &DenyStage, _: NoResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Deny(Some(config.deny_message.clone())))
    }
}
