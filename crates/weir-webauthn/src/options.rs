//! What the browser is told to do, as JSON (WebAuthn Level 3, 5.1.8 and 5.1.9).

use crate::{Algorithm, RelyingParty, encode, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How much something is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Requirement {
    /// Nothing else is accepted.
    Required,
    /// When it can be had.
    #[default]
    Preferred,
    /// Rather not.
    Discouraged,
}

/// Where an authenticator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Attachment {
    /// Part of the device with the browser.
    Platform,
    /// A device of its own.
    CrossPlatform,
}

/// What kind of authenticator the browser should offer first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hint {
    /// A key to plug in or to hold near.
    SecurityKey,
    /// The device with the browser.
    ClientDevice,
    /// A phone.
    Hybrid,
}

impl Hint {
    /// The attachment that a list of hints amounts to; none when the list is empty or mixed.
    pub fn attachment(hints: &[Self]) -> Option<Attachment> {
        let is_here = |hint: &Self| *hint == Self::ClientDevice;
        match hints {
            [] => None,
            _ if hints.iter().all(is_here) => Some(Attachment::Platform),
            _ if hints.iter().any(is_here) => None,
            _ => Some(Attachment::CrossPlatform),
        }
    }
}

/// A new credential is wanted.
#[derive(Clone, Debug)]
pub struct CreationOptions<'a> {
    /// Who asks.
    pub relying_party: &'a RelyingParty,
    /// Name of the site for people.
    pub site_name: &'a str,
    /// What the authenticator gives back to name the user; at most 64 bytes.
    pub user_handle: &'a [u8],
    /// Name of the account.
    pub user_name: &'a str,
    /// Name of the person.
    pub display_name: &'a str,
    /// Random bytes, new for each ceremony.
    pub challenge: &'a [u8],
    /// Verification of the person.
    pub user_verification: Requirement,
    /// Whether the credential can be found without its id.
    pub resident_key: Requirement,
    /// Where the authenticator must be; follows from the hints when not set.
    pub attachment: Option<Attachment>,
    /// What to offer first.
    pub hints: &'a [Hint],
}

impl CreationOptions<'_> {
    /// `PublicKeyCredentialCreationOptionsJSON`.
    pub fn json(&self) -> Map<String, Value> {
        let algorithms = Algorithm::OFFERED.map(|a| json!({"type": "public-key", "alg": a.number()}));
        let mut selection = Map::new();
        if let Some(attachment) = self.attachment.or_else(|| Hint::attachment(self.hints)) {
            selection.insert("authenticatorAttachment".to_owned(), json!(attachment));
        }
        selection.insert("residentKey".to_owned(), json!(self.resident_key));
        selection.insert("requireResidentKey".to_owned(), (self.resident_key == Requirement::Required).into());
        selection.insert("userVerification".to_owned(), json!(self.user_verification));
        let fields = [
            ("rp", json!({"name": self.site_name, "id": self.relying_party.id})),
            ("user", json!({"id": encode(self.user_handle), "name": self.user_name, "displayName": self.display_name})),
            ("challenge", encode(self.challenge).into()),
            ("pubKeyCredParams", Value::from(algorithms.to_vec())),
            ("timeout", limits::TIMEOUT_MILLIS.into()),
            ("excludeCredentials", json!([])),
            ("authenticatorSelection", Value::Object(selection)),
            ("attestation", "direct".into()),
        ];
        with_hints(fields, self.hints)
    }
}

/// A credential is to be used.
#[derive(Clone, Debug)]
pub struct RequestOptions<'a> {
    /// Who asks.
    pub relying_party: &'a RelyingParty,
    /// Random bytes, new for each ceremony.
    pub challenge: &'a [u8],
    /// Ids of the credentials that may be used; empty lets the person choose among those the authenticator has.
    pub allowed: &'a [Vec<u8>],
    /// Verification of the person.
    pub user_verification: Requirement,
    /// What to offer first.
    pub hints: &'a [Hint],
}

impl RequestOptions<'_> {
    /// `PublicKeyCredentialRequestOptionsJSON`.
    pub fn json(&self) -> Map<String, Value> {
        let allowed: Vec<Value> =
            self.allowed.iter().map(|id| json!({"id": encode(id), "type": "public-key"})).collect();
        let fields = [
            ("challenge", encode(self.challenge).into()),
            ("timeout", limits::TIMEOUT_MILLIS.into()),
            ("rpId", self.relying_party.id.clone().into()),
            ("allowCredentials", allowed.into()),
            ("userVerification", json!(self.user_verification)),
        ];
        with_hints(fields, self.hints)
    }
}

fn with_hints<const N: usize>(fields: [(&str, Value); N], hints: &[Hint]) -> Map<String, Value> {
    let mut map: Map<String, Value> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if !hints.is_empty() {
        map.insert("hints".to_owned(), json!(hints));
    }
    map
}
