//! Authenticator apps.

use super::{AuthenticatorValidateStage, Class, DeviceClass};
use async_trait::async_trait;
use weir_flow::{Reject, StageCx};
use weir_identity::device::{DeviceRow, totp};

/// The class.
pub(super) struct Totp;

#[async_trait]
impl Class for Totp {
    fn class(&self) -> DeviceClass {
        DeviceClass::Totp
    }

    fn throttle_factor(&self, config: &AuthenticatorValidateStage) -> Option<f64> {
        Some(config.totp_otp_throttling_factor)
    }

    async fn take_code(&self, cx: &mut StageCx<'_>, device: &DeviceRow, code: &str) -> Result<bool, Reject> {
        let now = cx.now();
        Ok(totp::take(&mut cx.unit.tx, device, code, now).await?)
    }
}
