//! Behaviour of the set-up stage for mail addresses.

use super::{AuthenticatorEmailStage, mask, send};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use weir_core::{FieldErrors, Resource, validate::is_email};
use weir_flow::{Challenge, Outcome, Reject, Stage, StageCx, View, keys};
use weir_identity::{
    Account,
    device::{email, new_code},
};

/// The kind.
pub struct AuthenticatorEmail;

/// Asks for an address, or for the code that was sent to it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AuthenticatorEmailChallenge {
    /// The address, masked.
    pub email: Option<String>,
    /// No address is known.
    pub email_required: bool,
}

impl Challenge for AuthenticatorEmailChallenge {
    const COMPONENT: &'static str = "ak-stage-authenticator-email";
}

/// An address, or a code.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct AuthenticatorEmailResponse {
    /// The code.
    #[serde(default)]
    pub code: String,
    /// The address, when none is known.
    #[serde(default)]
    pub email: String,
}

/// Wrong codes after which another one must be sent.
const TRIES: u32 = 5;

/// What is on its way.
#[derive(Default, Serialize, Deserialize)]
struct Pending {
    email: Option<String>,
    code: String,
    expires: Option<DateTime<Utc>>,
    wrong: u32,
}

fn load(cx: &StageCx<'_>) -> Option<Pending> {
    let all = cx.context.get(keys::EMAIL_DEVICES)?;
    Pending::deserialize(all.get(&cx.stage_id.to_string())?).ok()
}

fn keep(cx: &mut StageCx<'_>, pending: &Pending) {
    let stage = cx.stage_id.to_string();
    cx.context.object_mut(keys::EMAIL_DEVICES).insert(stage, json!(pending));
}

/// Sends a new code to this address, in the place of the one before.
async fn begin(
    cx: &mut StageCx<'_>,
    config: &AuthenticatorEmailStage,
    account: &Account,
    address: &str,
) -> Result<(), Reject> {
    let code = new_code(&*cx.app.site.random);
    let stage = (cx.stage_id, config);
    let expires = Some(cx.now() + config.token_expiry.delta());
    if send(cx, stage, account, address, code.clone()).await? {
        keep(cx, &Pending { email: Some(address.to_owned()), code, expires, wrong: 0 });
    }
    Ok(())
}

fn refused(text: &str) -> Reject {
    Reject::Invalid(FieldErrors::general(text))
}

#[async_trait]
impl Stage for AuthenticatorEmail {
    const MODEL: &'static str = AuthenticatorEmailStage::MODEL;
    type Config = AuthenticatorEmailStage;
    type Challenge = AuthenticatorEmailChallenge;
    type Response = AuthenticatorEmailResponse;

    async fn view(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorEmailStage,
    ) -> Result<View<AuthenticatorEmailChallenge>, Reject> {
        let person = cx.person().await?;
        let Some(account) = person.account().cloned() else { return Ok(View::Done(Outcome::Deny(None))) };
        let stage = cx.stage_id;
        if email::has(&mut cx.unit.tx, stage, account.id).await? {
            let text = "The user already has an email address registered for MFA.".to_owned();
            return Ok(View::Done(Outcome::Deny(Some(text))));
        }
        if load(cx).is_none() {
            let prompted = cx.context.get(keys::PROMPT_DATA).and_then(|d| d.get("email")?.as_str().map(str::to_owned));
            let known = Some(account.email.clone()).filter(|a| !a.is_empty()).or(prompted).filter(|a| is_email(a));
            keep(cx, &Pending::default());
            if let Some(address) = known
                && !email::is_taken(&mut cx.unit.tx, stage, &address).await?
            {
                begin(cx, config, &account, &address).await?;
            }
        }
        let address = load(cx).and_then(|pending| pending.email);
        let email_required = address.is_none();
        Ok(View::Ask(AuthenticatorEmailChallenge { email: address.as_deref().map(mask), email_required }))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorEmailStage,
        response: AuthenticatorEmailResponse,
    ) -> Result<Outcome, Reject> {
        let person = cx.person().await?;
        let Some(account) = person.account().cloned() else { return Ok(Outcome::Deny(None)) };
        let stage = cx.stage_id;
        let mut pending = load(cx).unwrap_or_default();
        let code: String = response.code.split_whitespace().collect();
        if code.is_empty() {
            let address = pending.email.take().unwrap_or_else(|| response.email.trim().to_owned());
            if address.is_empty() {
                return Err(refused("email required"));
            }
            if !is_email(&address) || email::is_taken(&mut cx.unit.tx, stage, &address).await? {
                return Err(refused("Invalid email"));
            }
            begin(cx, config, &account, &address).await?;
            return Err(Reject::Invalid(FieldErrors::new()));
        }
        let now = cx.now();
        let is_right = bool::from(code.as_bytes().ct_eq(pending.code.as_bytes()));
        let is_alive = pending.expires.is_some_and(|end| end > now) && pending.wrong < TRIES;
        let Some(address) = pending.email.clone().filter(|_| is_right && is_alive && !pending.code.is_empty()) else {
            pending.wrong = pending.wrong.saturating_add(1);
            keep(cx, &pending);
            return Err(refused("Code does not match"));
        };
        if !cx.lock_person(&account).await? {
            return Ok(Outcome::Deny(None));
        }
        email::create(&mut cx.unit, (account.id, "Email Device"), stage, &address).await?;
        cx.context.object_mut(keys::EMAIL_DEVICES).shift_remove(&stage.to_string());
        Ok(Outcome::Next)
    }
}
