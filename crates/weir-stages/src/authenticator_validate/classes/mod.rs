//! The classes of second factors, one file each. To add one: a file here with `impl Class`, and a line in [`ALL`].
//!
//! The stage does what all classes need: it reads the confirmed devices of the person, keeps those whose class is
//! allowed, offers one challenge a class, finds the class an answer is for, counts failures and writes the events. A
//! class says what is different:
//!
//! * [`Class::is_usable`]: devices that cannot be asked (numbers kept as hash, types that are not allowed).
//! * [`Class::offer`]: the `challenge` of its offer. It is called on every GET and after every refused answer. What must
//!   be remembered for the answer (a WebAuthn challenge) goes into the plan context under a key of `weir_flow::keys`;
//!   reading it back in `judge` also removes it, so that it serves once.
//! * [`Class::offer_anyone`]: the offer to a person who has not said who they are; `judge` then names the owner.
//! * [`Class::select`]: what happens when the person chooses a device that was offered. Send first, then write
//!   ([`weir_identity::device::set_code`]): the transaction must not be open while something travels.
//! * Classes with typed codes say so by [`Class::throttle_factor`] and check in [`Class::take_code`], which is asked
//!   about one locked device that is not closed, and uses the code up in one conditional statement
//!   ([`weir_identity::device::take_code`] for codes that were sent). The stage counts failures and successes.
//! * Classes with an answer field of their own (`webauthn`, `duo`) check it in [`Class::judge`]; remote calls before the
//!   first write, here too. The stage notes the success; a [`Refusal`] says what goes back and whether it is a failed
//!   log-in.

mod duo;
mod email;
mod sms;
mod static_codes;
mod totp;
pub(crate) mod webauthn;

use super::{AuthenticatorValidateStage, DeviceClass};
use async_trait::async_trait;
use serde_json::Value;
use weir_core::{FieldErrors, Map};
use weir_flow::{Reject, StageCx};
use weir_identity::{
    Account,
    device::{self, DeviceRow},
};

/// All classes. One line for each.
const ALL: [&dyn Class; 6] =
    [&duo::Duo, &email::Email, &sms::Sms, &static_codes::StaticCodes, &totp::Totp, &webauthn::WebAuthn];

/// The behaviour of a class; none when this build does not serve it.
pub fn find(class: DeviceClass) -> Option<&'static dyn Class> {
    ALL.into_iter().find(|known| known.class() == class)
}

/// A device that proved something.
pub struct Proof {
    /// The device.
    pub device: DeviceRow,
    /// Who the person is, when the stage did not know before.
    pub owner: Option<Box<Account>>,
    /// What `auth_method_args` says beside the device when the stage did not know the person before.
    pub args: Map,
}

impl Proof {
    /// A device of the person the flow is about.
    pub fn of(device: DeviceRow) -> Self {
        Self { device, owner: None, args: Map::new() }
    }
}

/// An answer that proves nothing.
pub struct Refusal {
    /// What goes back.
    pub errors: FieldErrors,
    /// Details for `login_failed`; none when the answer was no try at all.
    pub failure: Option<Map>,
}

/// What came of an answer.
pub enum Verdict {
    /// It is right.
    Passed(Proof),
    /// It is not.
    Refused(Refusal),
}

/// One class of second factors; see the module's head.
#[async_trait]
pub trait Class: Send + Sync {
    /// Which.
    fn class(&self) -> DeviceClass;

    /// Whether this device of the class can be asked under this configuration.
    fn is_usable(&self, _config: &AuthenticatorValidateStage, _device: &DeviceRow) -> bool {
        true
    }

    /// What the browser needs. `devices` are the person's usable ones of the class, at least one; the first is offered.
    ///
    /// # Errors
    /// Failures.
    async fn offer(
        &self,
        _cx: &mut StageCx<'_>,
        _config: &AuthenticatorValidateStage,
        _devices: &[DeviceRow],
    ) -> Result<Map, Reject> {
        Ok(Map::new())
    }

    /// What the browser needs when nobody knows yet who is before it; none when the class cannot do that.
    ///
    /// # Errors
    /// Failures.
    async fn offer_anyone(
        &self,
        _cx: &mut StageCx<'_>,
        _config: &AuthenticatorValidateStage,
    ) -> Result<Option<Map>, Reject> {
        Ok(None)
    }

    /// The person chose this device.
    ///
    /// # Errors
    /// Refusals and failures.
    async fn select(
        &self,
        _cx: &mut StageCx<'_>,
        _config: &AuthenticatorValidateStage,
        _device: &DeviceRow,
    ) -> Result<(), Reject> {
        Ok(())
    }

    /// For classes with typed codes: the factor of the throttle.
    fn throttle_factor(&self, _config: &AuthenticatorValidateStage) -> Option<f64> {
        None
    }

    /// Uses up a code of a locked device; whether it was right. Here: one that was sent to the device.
    ///
    /// # Errors
    /// Those of the store.
    async fn take_code(&self, cx: &mut StageCx<'_>, device: &DeviceRow, code: &str) -> Result<bool, Reject> {
        let now = cx.now();
        Ok(device::take_code(&mut cx.unit.tx, device, code, now).await?)
    }

    /// Judges the class's own field of an answer. `devices` are the person's usable ones of the class; none when the
    /// person is not known.
    ///
    /// # Errors
    /// Failures.
    async fn judge(
        &self,
        _cx: &mut StageCx<'_>,
        _config: &AuthenticatorValidateStage,
        _devices: &[DeviceRow],
        _answer: &Value,
    ) -> Result<Verdict, Reject> {
        let errors = FieldErrors::general("No compatible device class allowed");
        Ok(Verdict::Refused(Refusal { errors, failure: None }))
    }
}
