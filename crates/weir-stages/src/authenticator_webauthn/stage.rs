//! Behaviour of the stage.

use super::{
    AuthenticatorWebAuthnChallenge, AuthenticatorWebAuthnResponse, AuthenticatorWebAuthnStage, UNKNOWN, ceremony,
    device_type::Model,
};
use async_trait::async_trait;
use weir_core::{ApiError, FieldErrors, Resource};
use weir_flow::{Outcome, Reject, Stage, StageCx, View, keys, stage::Person};
use weir_identity::{Account, accounts, device::webauthn};
use weir_webauthn::{CreationOptions, Expected, Registered, Requirement, encode, registration};

/// The kind.
pub struct AuthenticatorWebAuthn;

/// Name of a device whose model has none.
const PLAIN_NAME: &str = "WebAuthn Device";

/// The account that gets the device; nobody else can have one.
async fn owner(cx: &mut StageCx<'_>) -> Result<Option<Account>, Reject> {
    Ok(match cx.person().await? {
        Person::Known(account) => Some(*account),
        Person::Claimed(_) | Person::Anonymous => None,
    })
}

fn refused(text: impl Into<String>) -> Reject {
    Reject::Invalid(FieldErrors::one("response", text))
}

/// Whether the stage takes this model. One whose maker's certificates are known must lead to them: what an authenticator
/// says about its model is else no more than a claim.
fn is_allowed(cx: &StageCx<'_>, config: &AuthenticatorWebAuthnStage, made: &Registered, model: Option<&Model>) -> bool {
    if config.device_type_restrictions.is_empty() {
        return true;
    }
    let is_listed = |aaguid| config.device_type_restrictions.iter().any(|listed| listed.uuid() == aaguid);
    match model {
        Some(model) => {
            is_listed(model.aaguid)
                && !model.is_revoked
                && (model.roots.is_empty() || made.attestation.is_trusted(&model.roots, cx.now()))
        }
        None => is_listed(UNKNOWN),
    }
}

async fn register(
    cx: &mut StageCx<'_>,
    config: &AuthenticatorWebAuthnStage,
    account: &Account,
    response: AuthenticatorWebAuthnResponse,
) -> Result<(), Reject> {
    let challenge = ceremony::take_challenge(cx);
    let relying_party = ceremony::relying_party(cx.request);
    let expected = Expected {
        challenge: &challenge,
        relying_party: &relying_party,
        user_verification: config.user_verification == Requirement::Required,
    };
    let made = registration::verify(&response.response, &expected, cx.now())
        .map_err(|refusal| refused(format!("Registration failed. Error: {refusal}")))?;
    let model = Model::find(&mut cx.unit.tx, made.aaguid).await?;
    if !is_allowed(cx, config, &made, model.as_ref()) {
        return Err(refused(ceremony::not_allowed(cx)));
    }
    let name = model.as_ref().filter(|model| model.aaguid != UNKNOWN).map(|model| model.description.as_str());
    // The column of names in the API.
    let name: String = name.filter(|name| !name.is_empty()).unwrap_or(PLAIN_NAME).chars().take(200).collect();
    let new = webauthn::NewCredential {
        user_id: account.id,
        name,
        credential_id: encode(&made.credential_id),
        public_key: encode(&made.public_key),
        sign_count: made.sign_count.into(),
        rp_id: relying_party.id,
        aaguid: made.aaguid.to_string(),
        device_type: model.map(|model| model.aaguid.to_string()),
        backup_eligible: made.backup_eligible,
        backed_up: made.backed_up,
        attestation: made.attestation.format,
    };
    if !cx.lock_person(account).await? {
        return Err(refused("Registration failed."));
    }
    webauthn::create(&mut cx.unit, new).await.map_err(|error: ApiError| Reject::from(error))?;
    Ok(())
}

#[async_trait]
impl Stage for AuthenticatorWebAuthn {
    const MODEL: &'static str = AuthenticatorWebAuthnStage::MODEL;
    type Config = AuthenticatorWebAuthnStage;
    type Challenge = AuthenticatorWebAuthnChallenge;
    type Response = AuthenticatorWebAuthnResponse;

    async fn view(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorWebAuthnStage,
    ) -> Result<View<AuthenticatorWebAuthnChallenge>, Reject> {
        let Some(account) = owner(cx).await? else { return Ok(View::Done(Outcome::Deny(None))) };
        let challenge = ceremony::new_challenge(cx);
        let handle = accounts::uid(account.id, &cx.app.site.installation.id);
        let display_name = if account.name.is_empty() { &account.username } else { &account.name };
        let options = CreationOptions {
            relying_party: &ceremony::relying_party(cx.request),
            site_name: &ceremony::title(cx),
            user_handle: handle.as_bytes(),
            user_name: &account.username,
            display_name,
            challenge: &challenge,
            user_verification: config.user_verification,
            resident_key: config.resident_key_requirement,
            attachment: config.authenticator_attachment,
            hints: &config.hints,
        };
        Ok(View::Ask(AuthenticatorWebAuthnChallenge { registration: options.json() }))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &AuthenticatorWebAuthnStage,
        response: AuthenticatorWebAuthnResponse,
    ) -> Result<Outcome, Reject> {
        let Some(account) = owner(cx).await? else { return Ok(Outcome::Deny(None)) };
        let refusal = match register(cx, config, &account, response).await {
            Ok(()) => {
                cx.context.remove(keys::WEBAUTHN_ATTEMPTS);
                return Ok(Outcome::Next);
            }
            Err(Reject::Invalid(errors)) => errors,
            Err(other) => return Err(other),
        };
        let attempts = cx.context.get(keys::WEBAUTHN_ATTEMPTS).unwrap_or(0) + 1;
        cx.context.set(keys::WEBAUTHN_ATTEMPTS, &attempts);
        if config.max_attempts > 0 && attempts >= i64::from(config.max_attempts) {
            let title = ceremony::title(cx);
            let text = format!("Exceeded maximum attempts. Contact your {title} administrator for help.");
            return Ok(Outcome::Deny(Some(text)));
        }
        Err(Reject::Invalid(refusal))
    }
}
