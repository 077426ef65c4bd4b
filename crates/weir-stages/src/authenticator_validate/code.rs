//! Typed codes: tried against all devices of the person that take one.

use super::{
    AuthenticatorValidateStage, DeviceClass,
    classes::{self, Class, Proof, Refusal, Verdict},
};
use weir_core::{FieldErrors, Map};
use weir_flow::{Reject, StageCx};
use weir_identity::device::{self, DeviceRow};

/// Refusal of a code where no class on offer takes one.
pub(super) const NO_CLASS: &str = "No compatible device class allowed";

/// Devices that take a code, with their classes, in the order in which their rows are locked everywhere.
fn candidates<'d>(
    config: &AuthenticatorValidateStage,
    devices: &'d [DeviceRow],
) -> Vec<(&'static dyn Class, &'d DeviceRow, f64)> {
    let class_of = |device: &DeviceRow| {
        let class = config.device_classes.iter().find(|class| class.kind() == device.kind)?;
        classes::find(*class)
    };
    let mut found: Vec<_> = devices
        .iter()
        .filter_map(|device| {
            let class = class_of(device)?;
            Some((class, device, class.throttle_factor(config)?))
        })
        .collect();
    found.sort_by_key(|(_, device, _)| (device.kind, device.id()));
    found
}

/// Judges a code. A device that is closed neither sees it nor counts it; when one device takes it, the others that saw
/// it are not blamed.
///
/// # Errors
/// Those of the store.
pub(super) async fn judge(
    cx: &mut StageCx<'_>,
    config: &AuthenticatorValidateStage,
    devices: &[DeviceRow],
    code: &str,
) -> Result<Verdict, Reject> {
    let candidates = candidates(config, devices);
    let Some((first, ..)) = candidates.first() else {
        let errors = FieldErrors::one("code", NO_CLASS);
        return Ok(Verdict::Refused(Refusal { errors, failure: None }));
    };
    // A code could be of any of them; whoever has an app mostly means it.
    let is_app = candidates.iter().any(|(class, ..)| class.class() == DeviceClass::Totp);
    let class: DeviceClass = if is_app { DeviceClass::Totp } else { first.class() };
    // Apps and mails show codes in groups.
    let code: String = code.split_whitespace().collect();
    let now = cx.now();
    let mut missed = Vec::new();
    for (class, device, factor) in candidates {
        let Some(locked) = device::lock(&mut cx.unit.tx, device.kind, device.id()).await? else { continue };
        if locked.user_id != device.user_id || locked.throttle.is_closed(factor, now) {
            continue;
        }
        if class.take_code(cx, &locked, &code).await? {
            device::succeed(&mut cx.unit.tx, &locked, now).await?;
            return Ok(Verdict::Passed(Proof::of(locked)));
        }
        missed.push(locked);
    }
    for device in &missed {
        device::fail(&mut cx.unit.tx, device, now).await?;
    }
    let text = "Invalid Token. Please ensure the time on your device is accurate and try again.";
    let failure = Map::from_iter([("device_class".to_owned(), class.word().into())]);
    Ok(Verdict::Refused(Refusal { errors: FieldErrors::one("code", text), failure: Some(failure) }))
}
