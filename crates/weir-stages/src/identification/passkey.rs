//! Passkeys on the page that asks who somebody is.

use super::IdentificationStage;
use crate::{
    authenticator_validate::{AuthenticatorValidateStage, classes::webauthn::asking},
    authenticator_webauthn::{judge, request_options},
};
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::{FieldErrors, Map};
use weir_events::action;
use weir_flow::{Outcome, PendingUser, Reject, StageCx, keys};
use weir_identity::device;

/// The stage that says how passkeys are asked for; none where they are not.
fn stage(cx: &StageCx<'_>, config: &IdentificationStage) -> Option<Arc<AuthenticatorValidateStage>> {
    config.webauthn_stage.as_ref().and_then(|stage| cx.unit.snapshot.get(stage.uuid()))
}

/// What the browser is told to offer.
pub(super) async fn challenge(cx: &mut StageCx<'_>, config: &IdentificationStage) -> Result<Option<Value>, Reject> {
    let Some(stage) = stage(cx, config) else { return Ok(None) };
    Ok(Some(Value::Object(request_options(cx, &asking(&stage), None).await?)))
}

/// A passkey says who somebody is and proves it; nothing else is asked then.
pub(super) async fn recognise(
    cx: &mut StageCx<'_>,
    config: &IdentificationStage,
    assertion: &Map,
) -> Result<Outcome, Reject> {
    let Some(stage) = stage(cx, config) else {
        // None was offered, so none can be valid.
        return Err(Reject::Invalid(FieldErrors::general("Failed to authenticate.")));
    };
    let used = match judge(cx, &asking(&stage), None, assertion).await? {
        Ok(used) => used,
        Err(bad) => {
            if let Some(details) = bad.failure {
                let context = json!({"username": "", "auth_method_args": details, "stage": cx.stage_summary()});
                cx.event(action::LOGIN_FAILED, context);
            }
            return Err(Reject::Invalid(FieldErrors::general(bad.text)));
        }
    };
    let now = cx.now();
    device::touch(&mut cx.unit.tx, &used.device, now).await?;
    cx.context.set(keys::PENDING_USER, &PendingUser::Known(used.device.user_id));
    // A name that was filled in beforehand may be another one's.
    cx.context.remove(keys::PENDING_USER_IDENTIFIER);
    cx.context.set(keys::AUTH_METHOD, &"auth_webauthn_pwl".to_owned());
    let args = cx.context.object_mut(keys::AUTH_METHOD_ARGS);
    args.insert("device".to_owned(), used.device.summary());
    args.insert("device_type".to_owned(), used.device_type);
    Ok(Outcome::Next)
}
