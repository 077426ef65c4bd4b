//! The captcha on the identification page.

use super::IdentificationStage;
use crate::captcha::{self, CaptchaChallenge, CaptchaStage, Checked};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;
use weir_flow::{Challenge as _, Reject, StageCx};
use weir_identity::avatar;

fn find(cx: &StageCx<'_>, config: &IdentificationStage) -> Option<(Uuid, Arc<CaptchaStage>)> {
    let id = config.captcha_stage.as_ref()?.uuid();
    Some((id, cx.unit.snapshot.get::<CaptchaStage>(id)?))
}

/// What the browser needs for it, as a challenge inside the challenge; nobody is pending yet.
pub fn challenge(cx: &mut StageCx<'_>, config: &IdentificationStage) -> Option<Value> {
    let (id, stage) = find(cx, config)?;
    let mut value = serde_json::to_value(captcha::challenge(cx, id, &stage)).ok()?;
    let map = value.as_object_mut()?;
    map.insert("component".to_owned(), CaptchaChallenge::COMPONENT.into());
    map.insert("pending_user".to_owned(), "".into());
    map.insert("pending_user_avatar".to_owned(), avatar::DEFAULT_AVATAR.into());
    Some(value)
}

/// Whether the answer may be looked at any further. Asked before anybody is looked up, so that a refusal says nothing about
/// who exists.
///
/// # Errors
/// When the database is not available; refusals of the captcha are no errors.
pub async fn is_passed(
    cx: &mut StageCx<'_>,
    config: &IdentificationStage,
    token: Option<&str>,
) -> Result<bool, Reject> {
    let Some((id, stage)) = find(cx, config) else { return Ok(true) };
    // A password may be hashed next.
    let checked = Checked { id, name: stage.name.clone(), config: &stage, is_last: false };
    match captcha::verify(cx, &checked, token.unwrap_or_default()).await {
        Ok(()) => Ok(true),
        Err(Reject::Invalid(_)) => Ok(false),
        Err(other) => Err(other),
    }
}
