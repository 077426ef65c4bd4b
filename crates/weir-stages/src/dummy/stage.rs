//! Behaviour of the dummy stage.

use super::{DummyChallenge, DummyResponse, DummyStage};
use async_trait::async_trait;
use weir_core::Resource;
use weir_flow::{Outcome, Reject, Stage, StageCx, View};

/// The kind.
pub struct Dummy;

#[async_trait]
impl Stage for Dummy {
    const MODEL: &'static str = DummyStage::MODEL;
    type Config = DummyStage;
    type Challenge = DummyChallenge;
    type Response = DummyResponse;

    async fn view(&self, _cx: &mut StageCx<'_>, config: &DummyStage) -> Result<View<DummyChallenge>, Reject> {
        if config.throw_error {
            return Err(Reject::Failed(anyhow::anyhow!("Test error")));
        }
        Ok(View::Ask(DummyChallenge { name: config.name.clone() }))
    }

    async fn answer(&self, _: &mut StageCx<'_>, config: &DummyStage, _: DummyResponse) -> Result<Outcome, Reject> {
        if config.throw_error {
            return Err(Reject::Failed(anyhow::anyhow!("Test error")));
        }
        Ok(Outcome::Next)
    }
}
