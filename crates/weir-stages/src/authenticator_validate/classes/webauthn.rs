//! Security keys and passkeys.

use super::{AuthenticatorValidateStage, Class, DeviceClass, Proof, Refusal, Verdict};
use crate::authenticator_webauthn::{Asking, judge, request_options};
use async_trait::async_trait;
use serde_json::Value;
use weir_core::{FieldErrors, Map};
use weir_flow::{Reject, StageCx, stage::Person};
use weir_identity::{accounts, device::DeviceRow};

/// The class.
pub(super) struct WebAuthn;

/// How a stage asks.
pub(crate) fn asking(config: &AuthenticatorValidateStage) -> Asking<'_> {
    Asking {
        user_verification: config.webauthn_user_verification,
        hints: &config.webauthn_hints,
        allowed: &config.webauthn_allowed_device_types,
    }
}

#[async_trait]
impl Class for WebAuthn {
    fn class(&self) -> DeviceClass {
        DeviceClass::Webauthn
    }

    fn is_usable(&self, config: &AuthenticatorValidateStage, device: &DeviceRow) -> bool {
        asking(config).takes(device.device_type.as_deref())
    }

    async fn offer(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorValidateStage,
        devices: &[DeviceRow],
    ) -> Result<Map, Reject> {
        request_options(cx, &asking(config), devices.first().map(|device| device.user_id)).await
    }

    async fn offer_anyone(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorValidateStage,
    ) -> Result<Option<Map>, Reject> {
        request_options(cx, &asking(config), None).await.map(Some)
    }

    async fn judge(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorValidateStage,
        _devices: &[DeviceRow],
        answer: &Value,
    ) -> Result<Verdict, Reject> {
        // Whose device it must be: the person's, or when nobody said who they are anybody's.
        let owner = match cx.person().await? {
            Person::Anonymous => None,
            person => Some(person.account().map_or(-1, |account| account.id)),
        };
        let answer = answer.as_object().cloned().unwrap_or_default();
        let used = match judge(cx, &asking(config), owner, &answer).await? {
            Ok(used) => used,
            Err(bad) => {
                let errors = FieldErrors::one(DeviceClass::Webauthn.word(), bad.text);
                return Ok(Verdict::Refused(Refusal { errors, failure: bad.failure }));
            }
        };
        if owner.is_some() {
            return Ok(Verdict::Passed(Proof::of(used.device)));
        }
        let account = accounts::find(&mut cx.unit.tx, used.device.user_id).await?;
        let account = account.ok_or_else(|| anyhow::anyhow!("a device without its user"))?;
        let args = Map::from_iter([("device_type".to_owned(), used.device_type)]);
        Ok(Verdict::Passed(Proof { device: used.device, owner: Some(Box::new(account)), args }))
    }
}
