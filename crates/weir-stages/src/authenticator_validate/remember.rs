//! The cookie by which a browser is not asked again for a while: signed, and good for one user, device and stage.

use super::AuthenticatorValidateStage;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_crypto::cookie::SigningKey;
use weir_flow::{Effect, Reject, StageCx, stage::Cookie};
use weir_identity::{Account, device::DeviceRow};

/// Name of the cookie.
const COOKIE: &str = "authentik_mfa";

/// What the cookie says.
#[derive(Serialize, Deserialize)]
struct Claims {
    /// The user.
    sub: String,
    /// Class of the device.
    class: String,
    /// Key of the device.
    device: String,
    /// Key of the stage.
    stage: Uuid,
    /// The user's security epoch.
    epoch: i64,
    /// When it ends.
    exp: i64,
}

fn key(cx: &StageCx<'_>) -> SigningKey {
    let label = format!("mfa cookie {} {}", cx.app.site.installation.id, cx.stage_id);
    SigningKey::derive(&cx.app.site.installation.secret, &label)
}

/// Whether this browser proved one of these devices of the user a short while ago.
pub(super) fn is_remembered(
    cx: &StageCx<'_>,
    config: &AuthenticatorValidateStage,
    account: &Account,
    devices: &[DeviceRow],
) -> bool {
    let threshold = config.last_auth_threshold.delta();
    if threshold <= TimeDelta::zero() {
        return false;
    }
    let now = cx.now();
    let Some((_, value)) = cx.request.cookies.iter().find(|(name, _)| name == COOKIE) else { return false };
    let Ok(claims) = key(cx).verify::<Claims>(value, now.timestamp()) else { return false };
    claims.epoch == account.security_epoch
        && claims.sub == account.uid(&cx.app.site.installation.id)
        && claims.stage == cx.stage_id
        && claims.exp > now.timestamp()
        // The threshold may have been lowered since, or the clock set back.
        && claims.exp <= (now + threshold).timestamp()
        && devices.iter().any(|device| device.kind.word() == claims.class && device.pk == claims.device)
}

/// Remembers that the browser proved this device.
///
/// # Errors
/// Failures to sign.
pub(super) fn remember(
    cx: &mut StageCx<'_>,
    config: &AuthenticatorValidateStage,
    account: &Account,
    device: &DeviceRow,
) -> Result<(), Reject> {
    let threshold = config.last_auth_threshold.delta();
    if threshold < TimeDelta::seconds(1) {
        return Ok(());
    }
    let claims = Claims {
        sub: account.uid(&cx.app.site.installation.id),
        class: device.kind.word().to_owned(),
        device: device.pk.clone(),
        stage: cx.stage_id,
        epoch: account.security_epoch,
        exp: (cx.now() + threshold).timestamp(),
    };
    let value = key(cx).encode(&claims).map_err(anyhow::Error::new)?;
    let max_age_secs = threshold.num_seconds();
    cx.effects.push(Effect::SetCookie(Cookie { name: COOKIE.to_owned(), value, max_age_secs }));
    Ok(())
}
