//! Behaviour of the set-up of telephone numbers.

use super::{
    AuthenticatorSmsChallenge, AuthenticatorSmsResponse, AuthenticatorSmsStage,
    send::{self, Message},
};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use weir_core::{ApiError, FieldErrors, Resource};
use weir_flow::{Outcome, Reject, Stage, StageCx, View, keys};
use weir_identity::{
    Account,
    device::{self, sms},
};

/// The kind.
pub struct AuthenticatorSms;

/// Name of a new device.
const NAME: &str = "SMS Device";
/// How long a code is good.
pub(crate) const LIFE: TimeDelta = TimeDelta::seconds(300);
/// Wrong codes after which the number has to be given again.
const TRIES: u8 = 5;
/// Messages of one plan: each costs money and disturbs somebody.
const MESSAGES: u8 = 10;
/// Longest number, characters.
const LONGEST: usize = 32;

/// The number that is being set up.
#[derive(Serialize, Deserialize)]
struct Pending {
    stage: Uuid,
    /// Empty while there is none.
    phone_number: String,
    /// What is kept of the code.
    code: String,
    expires: DateTime<Utc>,
    tries: u8,
    messages: u8,
    /// The number of the person's data was looked at.
    prefilled: bool,
}

impl Pending {
    fn of(cx: &StageCx<'_>) -> Self {
        let nothing = Self {
            stage: cx.stage_id,
            phone_number: String::new(),
            code: String::new(),
            expires: DateTime::UNIX_EPOCH,
            tries: 0,
            messages: 0,
            prefilled: false,
        };
        let kept = cx.context.get(keys::SMS_DEVICE).and_then(|value| serde_json::from_value(value).ok());
        kept.filter(|kept: &Self| kept.stage == cx.stage_id).unwrap_or(nothing)
    }

    fn keep(&self, cx: &mut StageCx<'_>) {
        if let Ok(value) = serde_json::to_value(self) {
            cx.context.set(keys::SMS_DEVICE, &value);
        }
    }
}

/// What is kept of a code; the key of the stage makes it worthless elsewhere.
fn kept(stage: Uuid, number: &str, code: &str) -> String {
    weir_identity::digest(&format!("sms setup {stage} {number} {code}"))
}

fn general(text: &str) -> Reject {
    Reject::Invalid(FieldErrors::general(text))
}

/// A number without what people write between its digits, so that a number is the same however it is written.
fn plain(number: &str) -> Option<String> {
    let plain: String = number.chars().filter(|c| !c.is_whitespace() && !"-./()".contains(*c)).collect();
    let digits = plain.strip_prefix('+').unwrap_or(&plain);
    let is_number = (3..=LONGEST).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit());
    is_number.then_some(plain)
}

async fn who(cx: &mut StageCx<'_>) -> Result<Option<Account>, Reject> {
    Ok(cx.person().await?.account().filter(|account| account.is_active).cloned())
}

/// Sends a code to a number that nobody else has.
async fn dispatch(
    cx: &mut StageCx<'_>,
    config: &AuthenticatorSmsStage,
    user: &Account,
    number: &str,
) -> Result<(), Reject> {
    let mut pending = Pending::of(cx);
    let number = plain(number).ok_or_else(|| general("Invalid phone number"))?;
    if sms::is_taken(&mut cx.unit.tx, cx.stage_id, &number).await? {
        return Err(general("Invalid phone number"));
    }
    if pending.messages >= MESSAGES {
        return Err(general(send::ENOUGH));
    }
    send::allow(cx, &number).await?;
    let code = device::new_code(&*cx.app.site.random);
    pending.messages += 1;
    pending.keep(cx);
    let message = Message { stage_id: cx.stage_id, stage: config, to: &number, code: &code, user };
    send::send(cx, &message).await?;
    pending.code = kept(cx.stage_id, &number, &code);
    pending.phone_number = number;
    // From now on: the message took its time.
    pending.expires = cx.now() + LIFE;
    pending.tries = 0;
    pending.keep(cx);
    Ok(())
}

/// Judges a code; the right one makes the device.
async fn confirm(
    cx: &mut StageCx<'_>,
    config: &AuthenticatorSmsStage,
    user: &Account,
    code: &str,
) -> Result<Outcome, Reject> {
    let mut pending = Pending::of(cx);
    let code: String = code.split_whitespace().collect();
    let given = kept(cx.stage_id, &pending.phone_number, &code);
    let is_right: bool = given.as_bytes().ct_eq(pending.code.as_bytes()).into();
    if pending.phone_number.is_empty() || !is_right || pending.expires <= cx.now() {
        pending.tries = pending.tries.saturating_add(1);
        if pending.tries >= TRIES {
            pending.phone_number.clear();
            pending.code.clear();
        }
        pending.keep(cx);
        return Err(general("Code does not match"));
    }
    let number =
        if config.verify_only { sms::hashed_number(&pending.phone_number) } else { pending.phone_number.clone() };
    cx.context.remove(keys::SMS_DEVICE);
    if !cx.lock_person(user).await? {
        return Ok(Outcome::Deny(None));
    }
    match sms::create(&mut cx.unit, (user.id, NAME), cx.stage_id, &number).await {
        Ok(_) => Ok(Outcome::Next),
        // Somebody else was faster with the same number. What was written until then must not stay.
        Err(ApiError::Fields(_)) => Ok(Outcome::Deny(Some("Invalid phone number".to_owned()))),
        Err(error) => Err(error.into()),
    }
}

#[async_trait]
impl Stage for AuthenticatorSms {
    const MODEL: &'static str = AuthenticatorSmsStage::MODEL;
    type Config = AuthenticatorSmsStage;
    type Challenge = AuthenticatorSmsChallenge;
    type Response = AuthenticatorSmsResponse;

    async fn view(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorSmsStage,
    ) -> Result<View<AuthenticatorSmsChallenge>, Reject> {
        let Some(user) = who(cx).await? else { return Ok(View::Done(Outcome::Deny(None))) };
        let mut pending = Pending::of(cx);
        if !pending.prefilled {
            pending.prefilled = true;
            pending.keep(cx);
            let known = cx.context.get(keys::PROMPT_DATA).and_then(|data| data.get("phone").cloned());
            let number = known.as_ref().and_then(Value::as_str).filter(|n| !n.trim().is_empty());
            if let Some(number) = number {
                match dispatch(cx, config, &user, number).await {
                    // A number that cannot be used is asked for.
                    Ok(()) | Err(Reject::Invalid(_)) => {}
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(View::Ask(AuthenticatorSmsChallenge { phone_number_required: Pending::of(cx).phone_number.is_empty() }))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorSmsStage,
        response: AuthenticatorSmsResponse,
    ) -> Result<Outcome, Reject> {
        let Some(user) = who(cx).await? else { return Ok(Outcome::Deny(None)) };
        match (response.code, response.phone_number) {
            (Some(code), _) => confirm(cx, config, &user, &code).await,
            (None, Some(number)) => {
                dispatch(cx, config, &user, &number).await?;
                Ok(Outcome::Again)
            }
            (None, None) => Err(general("phone_number required")),
        }
    }
}
