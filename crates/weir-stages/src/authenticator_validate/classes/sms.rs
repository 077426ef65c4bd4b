//! Codes by SMS.

use super::{AuthenticatorValidateStage, Class, DeviceClass};
use crate::authenticator_sms::{
    AuthenticatorSmsStage, LIFE,
    send::{self, Message},
};
use async_trait::async_trait;
use weir_core::FieldErrors;
use weir_flow::{Reject, StageCx};
use weir_identity::{
    Account, accounts,
    device::{self, DeviceRow, sms::HASH_PREFIX},
};

/// The class.
pub(super) struct Sms;

#[async_trait]
impl Class for Sms {
    fn class(&self) -> DeviceClass {
        DeviceClass::Sms
    }

    /// Nothing can be sent to a number that is only kept as hash.
    fn is_usable(&self, _config: &AuthenticatorValidateStage, device: &DeviceRow) -> bool {
        !device.detail.starts_with(HASH_PREFIX)
    }

    async fn select(
        &self,
        cx: &mut StageCx<'_>,
        _config: &AuthenticatorValidateStage,
        device: &DeviceRow,
    ) -> Result<(), Reject> {
        let stage = device.stage.and_then(|id| Some((id, cx.unit.snapshot.get::<AuthenticatorSmsStage>(id)?)));
        let person = cx.person().await?;
        let (Some((stage_id, stage)), Some(user)) = (stage, person.account()) else {
            return Err(Reject::Invalid(FieldErrors::one("selected_challenge", "invalid challenge selected")));
        };
        // In a transaction of its own: nothing may be open while the message travels.
        let mut tx = cx.app.site.db.tx();
        let is_same = |now: &Account| now.security_epoch == user.security_epoch;
        if !accounts::lock(&mut tx, user.id).await?.as_ref().is_some_and(is_same) {
            return Err(Reject::Invalid(FieldErrors::one("selected_challenge", "invalid challenge selected")));
        }
        let is_first = device::begin_code(&mut tx, device, cx.now()).await?;
        tx.commit().await?;
        if !is_first {
            return Ok(());
        }
        let code = device::new_code(&*cx.app.site.random);
        let message = Message { stage_id, stage: &stage, to: &device.detail, code: &code, user };
        let sent = match send::allow(cx, &device.detail).await {
            Ok(()) => send::send(cx, &message).await,
            Err(refused) => Err(refused),
        };
        match sent {
            // A lockdown meanwhile voids the code.
            Ok(()) if !cx.lock_person(user).await? => {}
            Ok(()) => {
                let expires = cx.now() + LIFE;
                device::set_code(&mut cx.unit.tx, device, &code, expires).await?;
            }
            Err(_) => device::forget_code(&mut cx.unit.tx, device).await?,
        }
        sent
    }

    fn throttle_factor(&self, config: &AuthenticatorValidateStage) -> Option<f64> {
        Some(config.sms_otp_throttling_factor)
    }
}
