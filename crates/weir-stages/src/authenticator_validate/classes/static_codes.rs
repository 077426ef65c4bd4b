//! Codes on paper.

use super::{AuthenticatorValidateStage, Class, DeviceClass};
use async_trait::async_trait;
use weir_flow::{Reject, StageCx};
use weir_identity::device::{DeviceRow, static_codes};

/// The class.
pub(super) struct StaticCodes;

#[async_trait]
impl Class for StaticCodes {
    fn class(&self) -> DeviceClass {
        DeviceClass::Static
    }

    fn throttle_factor(&self, config: &AuthenticatorValidateStage) -> Option<f64> {
        Some(config.static_otp_throttling_factor)
    }

    async fn take_code(&self, cx: &mut StageCx<'_>, device: &DeviceRow, code: &str) -> Result<bool, Reject> {
        Ok(static_codes::take(&mut cx.unit.tx, device, code).await?)
    }
}
