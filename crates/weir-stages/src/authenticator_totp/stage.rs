//! Behaviour of the set-up of authenticator apps.

use super::{AuthenticatorTotpChallenge, AuthenticatorTotpResponse, AuthenticatorTotpStage};
use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use weir_core::{FieldErrors, Resource};
use weir_crypto::totp::{SECRET_BYTES, from_base32, to_base32};
use weir_flow::{Outcome, Reject, Stage, StageCx, View, keys, stage::Person};
use weir_identity::{brand::Brand, device::totp};

/// The kind.
pub struct AuthenticatorTotp;

/// Name of a new device.
const NAME: &str = "TOTP Authenticator";

/// What stays as it is in the parts of an address.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

/// The secret on this stage's page, base32; the same for as long as the plan lives.
fn shown_secret(cx: &StageCx<'_>) -> Option<String> {
    let secrets = cx.context.get(keys::TOTP_SECRETS)?;
    secrets.get(&cx.stage_id.to_string()).and_then(Value::as_str).map(str::to_owned)
}

fn config_url(cx: &StageCx<'_>, config: &AuthenticatorTotpStage, username: &str, secret: &str) -> String {
    let brand = cx.request.brand.and_then(|id| cx.unit.snapshot.get::<Brand>(id));
    let title = brand.map_or_else(|| "Weir".to_owned(), |brand| brand.branding_title.clone());
    let issuer = utf8_percent_encode(&title, PART);
    let username = utf8_percent_encode(username, PART);
    let digits = config.digits.count();
    format!(
        "otpauth://totp/{issuer}:{username}?secret={secret}&algorithm=SHA1&digits={digits}&period=30&issuer={issuer}"
    )
}

#[async_trait]
impl Stage for AuthenticatorTotp {
    const MODEL: &'static str = AuthenticatorTotpStage::MODEL;
    type Config = AuthenticatorTotpStage;
    type Challenge = AuthenticatorTotpChallenge;
    type Response = AuthenticatorTotpResponse;

    async fn view(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorTotpStage,
    ) -> Result<View<AuthenticatorTotpChallenge>, Reject> {
        let person = cx.person().await?;
        if matches!(person, Person::Anonymous) {
            return Ok(View::Done(Outcome::Next));
        }
        let secret = match shown_secret(cx) {
            Some(secret) => secret,
            None => {
                let mut bytes = [0u8; SECRET_BYTES];
                cx.app.site.random.fill(&mut bytes);
                let secret = to_base32(&bytes);
                let stage = cx.stage_id.to_string();
                cx.context.object_mut(keys::TOTP_SECRETS).insert(stage, secret.clone().into());
                secret
            }
        };
        Ok(View::Ask(AuthenticatorTotpChallenge { config_url: config_url(cx, config, person.name(), &secret) }))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorTotpStage,
        response: AuthenticatorTotpResponse,
    ) -> Result<Outcome, Reject> {
        let account = match cx.person().await? {
            Person::Known(account) => Some(account),
            // Looks like somebody with an account up to the end.
            Person::Claimed(_) => None,
            Person::Anonymous => return Ok(Outcome::Next),
        };
        let mismatch = || Reject::Invalid(FieldErrors::one("code", "Code does not match"));
        let secret = shown_secret(cx).and_then(|text| from_base32(&text)).ok_or_else(mismatch)?;
        let code: String = response.code.split_whitespace().collect();
        let digits = config.digits.count();
        let found = totp::find_step(&secret, digits, &code, cx.now(), 0).ok_or_else(mismatch)?;
        let Some(account) = account.filter(|account| account.is_active) else { return Ok(Outcome::Deny(None)) };
        if !cx.lock_person(&account).await? {
            return Ok(Outcome::Deny(None));
        }
        let new = totp::NewTotp {
            user_id: account.id,
            name: NAME.to_owned(),
            secret,
            digits,
            used_step: found.step,
            drift: found.drift,
        };
        totp::create(&mut cx.unit, new).await?;
        // The next device gets a secret of its own.
        let stage = cx.stage_id.to_string();
        cx.context.object_mut(keys::TOTP_SECRETS).remove(&stage);
        Ok(Outcome::Next)
    }
}
