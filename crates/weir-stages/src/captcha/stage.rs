//! Behaviour of the captcha stage.

use super::{CaptchaChallenge, CaptchaResponse, CaptchaStage, Checked, proof, verify};
use async_trait::async_trait;
use uuid::Uuid;
use weir_core::Resource;
use weir_flow::{Outcome, Reject, Stage, StageCx, View, keys};

/// The kind.
pub struct Captcha;

/// What the browser needs for the captcha of this stage.
pub fn challenge(cx: &mut StageCx<'_>, id: Uuid, config: &CaptchaStage) -> CaptchaChallenge {
    let interactive = config.interactive;
    if proof::is_module(&config.js_url) {
        let site_key = proof::task(cx, id, &config.public_key);
        return CaptchaChallenge { site_key, js_url: proof::module(&cx.app.prefix), interactive };
    }
    let site_key = cx.context.get(keys::CAPTCHA_SITE_KEY).unwrap_or_else(|| config.public_key.clone());
    CaptchaChallenge { site_key, js_url: config.js_url.clone(), interactive }
}

#[async_trait]
impl Stage for Captcha {
    const MODEL: &'static str = CaptchaStage::MODEL;
    type Config = CaptchaStage;
    type Challenge = CaptchaChallenge;
    type Response = CaptchaResponse;

    async fn view(&self, cx: &mut StageCx<'_>, config: &CaptchaStage) -> Result<View<CaptchaChallenge>, Reject> {
        Ok(View::Ask(challenge(cx, cx.stage_id, config)))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &CaptchaStage,
        response: CaptchaResponse,
    ) -> Result<Outcome, Reject> {
        let stage = Checked { id: cx.stage_id, name: cx.stage_name.clone(), config, is_last: true };
        verify(cx, &stage, &response.token).await?;
        Ok(Outcome::Next)
    }
}
