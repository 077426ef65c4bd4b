//! Duo, which asks the person by itself.

use super::{AuthenticatorValidateStage, Class, DeviceClass, Proof, Refusal, Verdict};
use crate::authenticator_duo::{
    AuthenticatorDuoStage,
    push::{self, Decision},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use weir_core::{ApiError, FieldErrors, Map};
use weir_events::action;
use weir_flow::{Reject, StageCx};
use weir_identity::{
    accounts,
    device::{self, DeviceKind, DeviceRow, duo},
};

/// The class.
pub(super) struct Duo;

/// Seconds after which to ask again while another request waits for the person.
const AGAIN: u64 = 5;

fn denied(failure: Option<Map>) -> Verdict {
    let mut errors = FieldErrors::new();
    errors.add("duo", "Duo denied access", "denied");
    Verdict::Refused(Refusal { errors, failure })
}

/// Whether the device and its owner are still there after the wait.
async fn still_counts(cx: &mut StageCx<'_>, device: &DeviceRow) -> Result<bool, Reject> {
    let found = device::find(&mut cx.unit.tx, DeviceKind::Duo, &device.pk).await?;
    let is_same =
        found.is_some_and(|now| now.confirmed && now.user_id == device.user_id && now.detail == device.detail);
    let owner = accounts::find(&mut cx.unit.tx, device.user_id).await?;
    Ok(is_same && owner.is_some_and(|owner| owner.is_active))
}

#[async_trait]
impl Class for Duo {
    fn class(&self) -> DeviceClass {
        DeviceClass::Duo
    }

    async fn judge(
        &self,
        cx: &mut StageCx<'_>,
        _config: &AuthenticatorValidateStage,
        devices: &[DeviceRow],
        answer: &Value,
    ) -> Result<Verdict, Reject> {
        let wanted = devices.iter().find(|device| answer.as_i64() == Some(device.id()));
        let found =
            wanted.and_then(|device| Some((device, cx.unit.snapshot.get::<AuthenticatorDuoStage>(device.stage?)?)));
        let Some((device, stage)) = found else { return Err(Reject::Unavailable(ApiError::not_found())) };
        if push::pending(cx, device).is_none() {
            // One question at a time, in whatever session: nobody's telephone is to be flooded until they give in.
            let mut tx = cx.app.site.db.tx();
            let is_first = duo::begin_push(&mut tx, device, cx.now()).await?;
            tx.commit().await?;
            if !is_first {
                return Err(Reject::Unavailable(ApiError::Throttled(AGAIN)));
            }
        }
        let asked = push::ask(cx, &stage, device).await;
        if let Ok(Decision::Waiting) = asked {
            return Ok(denied(None));
        }
        duo::end_push(&mut cx.unit.tx, device).await?;
        match asked {
            Ok(Decision::Allowed) if still_counts(cx, device).await? => Ok(Verdict::Passed(Proof::of(device.clone()))),
            Ok(_) => {
                let details = [("device_class", self.class().word().into()), ("device", device.summary())];
                Ok(denied(Some(details.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())))
            }
            Err(failure) => {
                let context =
                    json!({"message": "Duo could not ask the user", "error": failure.0, "stage": cx.stage_summary()});
                cx.event(action::CONFIGURATION_ERROR, context);
                Ok(denied(None))
            }
        }
    }
}
