//! What all stages with WebAuthn share.

use super::{WebAuthnDeviceType, device_type::Model};
use serde_json::{Value, json};
use weir_core::{Map, Ref};
use weir_events::action;
use weir_flow::{Reject, StageCx, keys};
use weir_identity::{
    accounts, brand_for_host,
    device::{DeviceKind, DeviceRow, webauthn},
};
use weir_policy::RequestInfo;
use weir_webauthn::{
    Asserted, Assertion, Expected, Hint, Refusal, RelyingParty, RequestOptions, Requirement, StoredCredential, decode,
    encode, limits,
};

/// The site as the browser sees it.
pub(super) fn relying_party(request: &RequestInfo) -> RelyingParty {
    let base = request.base_url();
    // With a host that is none no browser can have made an answer, so that every answer is refused.
    RelyingParty::of(&base).unwrap_or_else(|| RelyingParty { id: request.host.clone(), origin: base })
}

/// A new challenge; the one before no longer counts.
pub(super) fn new_challenge(cx: &mut StageCx<'_>) -> Vec<u8> {
    let mut challenge = vec![0; limits::CHALLENGE];
    cx.app.site.random.fill(&mut challenge);
    cx.context.set(keys::WEBAUTHN_CHALLENGE, &encode(&challenge));
    challenge
}

/// The challenge that was sent, which is used up by this; empty when there is none, and then nothing fits it.
pub(super) fn take_challenge(cx: &mut StageCx<'_>) -> Vec<u8> {
    let sent = cx.context.get(keys::WEBAUTHN_CHALLENGE);
    cx.context.remove(keys::WEBAUTHN_CHALLENGE);
    sent.and_then(|text| decode(&text)).unwrap_or_default()
}

/// What is said about a model that is not wanted.
pub(super) fn not_allowed(cx: &StageCx<'_>) -> String {
    format!("Invalid device type. Contact your {} administrator for help.", title(cx))
}

/// Name of the brand.
pub(super) fn title(cx: &StageCx<'_>) -> String {
    let (_, brand) = brand_for_host(&cx.unit.snapshot, &cx.request.host);
    brand.branding_title.clone()
}

/// How a stage asks for a credential.
pub(crate) struct Asking<'a> {
    /// Whether the authenticator must recognise its user.
    pub(crate) user_verification: Requirement,
    /// Where browsers should look first.
    pub(crate) hints: &'a [Hint],
    /// Only these models; with none, all.
    pub(crate) allowed: &'a [Ref<WebAuthnDeviceType>],
}

impl Asking<'_> {
    /// Whether a device of this model is taken. One of no known model is.
    pub(crate) fn takes(&self, device_type: Option<&str>) -> bool {
        device_type.is_none_or(|own| {
            self.allowed.is_empty() || self.allowed.iter().any(|allowed| allowed.uuid().to_string() == own)
        })
    }
}

/// Request options with a new challenge. With an owner they name all the owner's credentials, whatever their model, and
/// otherwise none.
pub(crate) async fn request_options(
    cx: &mut StageCx<'_>,
    asking: &Asking<'_>,
    owner: Option<i64>,
) -> Result<Map, Reject> {
    let allowed = match owner {
        Some(owner) => webauthn::credentials_of(&mut cx.unit.tx, owner).await?,
        None => Vec::new(),
    };
    let allowed: Vec<Vec<u8>> = allowed.iter().filter_map(|one| decode(&one.credential_id)).collect();
    let challenge = new_challenge(cx);
    let options = RequestOptions {
        relying_party: &relying_party(cx.request),
        challenge: &challenge,
        allowed: &allowed,
        user_verification: asking.user_verification,
        hints: asking.hints,
    };
    Ok(options.json())
}

/// A credential that proved itself.
pub(crate) struct Used {
    /// The device.
    pub(crate) device: DeviceRow,
    /// Its model, for `auth_method_args`; null when it is not known.
    pub(crate) device_type: Value,
}

/// Why an assertion proves nothing.
pub(crate) struct Bad {
    /// What goes back.
    pub(crate) text: String,
    /// Details for `login_failed`; none when the answer was no try at all.
    pub(crate) failure: Option<Map>,
}

impl Bad {
    fn invalid() -> Self {
        Self { text: "Invalid device".to_owned(), failure: None }
    }
}

/// Judges an assertion and uses it up: its challenge serves no other answer, and its counter no other assertion. `owner`
/// is whose device it must be; without one it must name its owner itself.
pub(crate) async fn judge(
    cx: &mut StageCx<'_>,
    asking: &Asking<'_>,
    owner: Option<i64>,
    answer: &Map,
) -> Result<Result<Used, Bad>, Reject> {
    let challenge = take_challenge(cx);
    let mut answer = answer.clone();
    // The sign-in view of Android leaves the type out.
    if cx.request.user_agent.contains("MinuteMaid") {
        answer.entry("type").or_insert_with(|| "public-key".into());
    }
    let Ok(assertion) = Assertion::parse(&answer) else { return Ok(Err(Bad::invalid())) };
    let id = encode(assertion.credential_id());
    let found = webauthn::find_by_credential_id(&mut cx.unit.tx, &id).await?;
    let found = found.filter(|credential| owner.is_none_or(|owner| owner == credential.device.user_id));
    let Some(credential) = found else { return Ok(Err(Bad::invalid())) };
    let device = credential.device.clone();
    if !asking.takes(device.device_type.as_deref()) {
        return Ok(Err(Bad { text: not_allowed(cx), failure: None }));
    }
    let number = device.device_type.as_deref().and_then(|number| number.parse().ok());
    let model = match number {
        Some(number) => Model::find(&mut cx.unit.tx, number).await?,
        None => None,
    };
    let device_type = model.as_ref().map(Model::summary).unwrap_or_default();
    let relying_party = relying_party(cx.request);
    let expected = Expected {
        challenge: &challenge,
        relying_party: &relying_party,
        user_verification: asking.user_verification == Requirement::Required,
    };
    let user_handle = accounts::uid(device.user_id, &cx.app.site.installation.id);
    let seen = verify(&assertion, &expected, &credential, &user_handle, owner.is_none());
    let is_good = match &seen {
        Ok(seen) => webauthn::advance(&mut cx.unit.tx, &device, seen.sign_count.into(), seen.backed_up).await?,
        Err(refusal) => {
            tracing::info!(%refusal, "an assertion was refused");
            if matches!(refusal, Refusal::Counter) {
                let message = "The counter of a security key did not grow: there may be a copy of it.";
                let context = json!({"message": message, "device": device.summary(), "stage": cx.stage_summary()});
                cx.event(action::SUSPICIOUS_REQUEST, context);
            }
            false
        }
    };
    if is_good {
        return Ok(Ok(Used { device, device_type }));
    }
    let failure = Map::from_iter([
        ("device".to_owned(), device.summary()),
        ("device_class".to_owned(), DeviceKind::WebAuthn.word().into()),
        ("device_type".to_owned(), device_type),
    ]);
    Ok(Err(Bad { text: "Assertion failed".to_owned(), failure: Some(failure) }))
}

fn verify(
    assertion: &Assertion,
    expected: &Expected<'_>,
    credential: &webauthn::Credential,
    user_handle: &str,
    must_name_user: bool,
) -> Result<Asserted, Refusal> {
    if must_name_user && !assertion.has_user_handle() {
        return Err(Refusal::UserHandle);
    }
    let public_key = decode(&credential.public_key).ok_or(Refusal::Key)?;
    let stored = StoredCredential {
        public_key: &public_key,
        sign_count: u32::try_from(credential.sign_count).map_err(|_| Refusal::Counter)?,
        user_handle: user_handle.as_bytes(),
        backup_eligible: credential.backup_eligible,
    };
    assertion.verify(expected, &stored)
}
