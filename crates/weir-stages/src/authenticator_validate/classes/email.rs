//! Codes by mail.

use super::{AuthenticatorValidateStage, Class, DeviceClass};
use crate::authenticator_email::{AuthenticatorEmailStage, mask, send};
use async_trait::async_trait;
use weir_core::Map;
use weir_flow::{Reject, StageCx};
use weir_identity::device::{self, DeviceRow};

/// The class.
pub(super) struct Email;

#[async_trait]
impl Class for Email {
    fn class(&self) -> DeviceClass {
        DeviceClass::Email
    }

    fn throttle_factor(&self, config: &AuthenticatorValidateStage) -> Option<f64> {
        Some(config.email_otp_throttling_factor)
    }

    async fn offer(
        &self,
        _cx: &mut StageCx<'_>,
        _config: &AuthenticatorValidateStage,
        devices: &[DeviceRow],
    ) -> Result<Map, Reject> {
        let address = devices.first().map(|device| mask(&device.detail)).unwrap_or_default();
        Ok(Map::from_iter([("email".to_owned(), address.into())]))
    }

    async fn select(
        &self,
        cx: &mut StageCx<'_>,
        _config: &AuthenticatorValidateStage,
        device: &DeviceRow,
    ) -> Result<(), Reject> {
        let Some(id) = device.stage else { return Ok(()) };
        let Some(stage) = cx.unit.snapshot.get::<AuthenticatorEmailStage>(id) else { return Ok(()) };
        let person = cx.person().await?;
        let Some(account) = person.account().filter(|account| account.id == device.user_id) else { return Ok(()) };
        let code = device::new_code(&*cx.app.site.random);
        let expires = cx.now() + stage.token_expiry.delta();
        // Sending is queued in this transaction. A code must not come after a lockdown, which voids it.
        if send(cx, (id, &stage), account, &device.detail, code.clone()).await? && cx.lock_person(account).await? {
            device::set_code(&mut cx.unit.tx, device, &code, expires).await?;
        }
        Ok(())
    }
}
