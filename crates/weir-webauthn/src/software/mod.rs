//! For tests only: an authenticator in software, with a browser around it. It makes real signatures, and wrong answers
//! of every kind on request ([`Wrong`]).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose authenticator does not work has failed"
)]

pub(crate) mod der;
mod keys;
mod maker;

pub use keys::SigningKey;
pub use maker::Maker;

use crate::{Algorithm, client_data::sha256, decode, encode};
use aws_lc_rs::rand;
use minicbor::Encoder;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What is wrong about an answer; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Wrong {
    /// The browser was on this site.
    pub origin: Option<String>,
    /// The authenticator was asked by this relying party.
    pub rp_id: Option<String>,
    /// The browser signed this challenge.
    pub challenge: Option<Vec<u8>>,
    /// The browser says that this was the ceremony.
    pub kind: Option<&'static str>,
    /// The browser was in a frame of another site.
    pub cross_origin: bool,
    /// The counter stands there.
    pub sign_count: Option<u32>,
    /// These flags are the other way round.
    pub flags: u8,
    /// The authenticator names this user.
    pub user_handle: Option<Vec<u8>>,
    /// One bit of the signature is not as it should be.
    pub signature: bool,
}

/// A credential inside the authenticator.
pub struct Held {
    /// Its id.
    pub id: Vec<u8>,
    /// Its relying party.
    pub rp_id: String,
    /// Its user.
    pub user_handle: Vec<u8>,
    /// Can be found without its id.
    pub is_resident: bool,
    /// Its key.
    pub key: SigningKey,
    sign_count: u32,
}

/// How a new credential is vouched for.
pub enum Vouching {
    /// Not at all.
    None,
    /// By its own key.
    Own,
    /// By a certificate of a maker.
    Packed(Box<Maker>),
}

/// Everything that statements of attestation are made of.
pub struct Parts<'a> {
    /// Authenticator data.
    pub auth_data: &'a [u8],
    /// Hash of the client data.
    pub client_data_hash: [u8; 32],
    /// Hash of the relying party's id.
    pub rp_id_hash: [u8; 32],
    /// The new credential.
    pub held: &'a Held,
    /// Model of the authenticator.
    pub aaguid: Uuid,
}

impl Parts<'_> {
    /// What most formats sign.
    pub fn signed(&self) -> Vec<u8> {
        [self.auth_data, &self.client_data_hash].concat()
    }
}

/// An authenticator.
pub struct Authenticator {
    /// Its model.
    pub aaguid: Uuid,
    /// It has a PIN or a reader of fingers, and the person uses it.
    pub verifies_user: bool,
    /// It can keep credentials that are found without their id.
    pub keeps_residents: bool,
    /// Its credentials can be copied, and are.
    pub is_synced: bool,
    /// It counts signatures.
    pub counts: bool,
    /// Kinds of keys it can make, best first among those offered.
    pub algorithms: Vec<Algorithm>,
    /// How it vouches for its model.
    pub vouching: Vouching,
    /// What is wrong about its next answers.
    pub wrong: Wrong,
    /// Id of the next credential; a random one when not set.
    pub next_id: Option<Vec<u8>>,
    /// What it holds.
    pub held: Vec<Held>,
}

impl Default for Authenticator {
    /// A key with a PIN that keeps residents, counts, and says nothing about its model.
    fn default() -> Self {
        Self {
            aaguid: Uuid::nil(),
            verifies_user: true,
            keeps_residents: true,
            is_synced: false,
            counts: true,
            algorithms: vec![Algorithm::Es256],
            vouching: Vouching::None,
            wrong: Wrong::default(),
            next_id: None,
            held: Vec::new(),
        }
    }
}

fn text<'a>(options: &'a Map<String, Value>, path: &[&str]) -> &'a str {
    let mut value = options.get(path[0]).unwrap_or(&Value::Null);
    for part in &path[1..] {
        value = &value[*part];
    }
    value.as_str().unwrap_or_else(|| panic!("{path:?} is missing"))
}

impl Authenticator {
    /// Makes a credential as the options say, in a browser at `origin`; gives `RegistrationResponseJSON`.
    ///
    /// # Panics
    /// When the options are incomplete or none of the offered algorithms is known.
    pub fn create(&mut self, options: &Map<String, Value>, origin: &str) -> Map<String, Value> {
        let vouching = std::mem::replace(&mut self.vouching, Vouching::None);
        let answer = self.create_with(options, origin, |parts| match &vouching {
            Vouching::None => (
                "none",
                cbor(|e| {
                    e.map(0).unwrap();
                }),
            ),
            Vouching::Own => ("packed", packed(parts.held.key.algorithm, &parts.held.key.sign(&parts.signed()), &[])),
            Vouching::Packed(maker) => {
                let (leaf, key) = maker.packed_leaf(parts.aaguid);
                let signature = Maker::sign(&key, &parts.signed());
                ("packed", packed(Algorithm::Es256, &signature, &[leaf, maker.root()]))
            }
        });
        self.vouching = vouching;
        answer
    }

    /// As [`Authenticator::create`], with a statement of attestation that is made by the caller: format and CBOR.
    ///
    /// # Panics
    /// As there.
    pub fn create_with(
        &mut self,
        options: &Map<String, Value>,
        origin: &str,
        vouch: impl FnOnce(&Parts<'_>) -> (&'static str, Vec<u8>),
    ) -> Map<String, Value> {
        let offered = options["pubKeyCredParams"].as_array().unwrap();
        let offers = |a: &&Algorithm| offered.iter().any(|o| o["alg"].as_i64() == Some(a.number()));
        let algorithm = *self.algorithms.iter().find(offers).unwrap();
        let mut id = [0; 32];
        rand::fill(&mut id).unwrap();
        let wants_resident = text(options, &["authenticatorSelection", "residentKey"]) != "discouraged";
        let held = Held {
            id: self.next_id.take().unwrap_or_else(|| id.to_vec()),
            rp_id: text(options, &["rp", "id"]).to_owned(),
            user_handle: decode(text(options, &["user", "id"])).unwrap(),
            is_resident: wants_resident && self.keeps_residents,
            key: SigningKey::generate(algorithm),
            sign_count: u32::from(self.counts),
        };
        let client_data = self.client_data("webauthn.create", text(options, &["challenge"]), origin);
        let rp_id_hash = sha256(self.wrong.rp_id.as_ref().unwrap_or(&held.rp_id).as_bytes());
        let wanted = text(options, &["authenticatorSelection", "userVerification"]);
        let auth_data = [
            self.head(&rp_id_hash, wanted, held.sign_count, 0x40).as_slice(),
            self.aaguid.as_bytes(),
            &u16::try_from(held.id.len()).unwrap().to_be_bytes(),
            &held.id,
            &held.key.cose(),
        ]
        .concat();
        let client_data_hash = sha256(client_data.as_bytes());
        let parts = Parts { auth_data: &auth_data, client_data_hash, rp_id_hash, held: &held, aaguid: self.aaguid };
        let (format, statement) = vouch(&parts);
        let mut object = cbor(|e| {
            e.map(3).unwrap().str("fmt").unwrap().str(format).unwrap().str("attStmt").unwrap();
        });
        object.extend(statement);
        object.extend(cbor(|e| {
            e.str("authData").unwrap().bytes(&auth_data).unwrap();
        }));
        let response = json!({
            "clientDataJSON": encode(client_data.as_bytes()),
            "attestationObject": encode(&object),
            "transports": ["internal"],
        });
        let answer = envelope(&held.id, response);
        self.held.push(held);
        answer
    }

    /// Uses a credential as the options say, in a browser at `origin`; gives `AuthenticationResponseJSON`.
    ///
    /// # Panics
    /// When it holds none that fits.
    pub fn get(&mut self, options: &Map<String, Value>, origin: &str) -> Map<String, Value> {
        let rp_id = text(options, &["rpId"]);
        let allowed: Vec<Vec<u8>> = options["allowCredentials"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| decode(one["id"].as_str().unwrap()).unwrap())
            .collect();
        let fits = |held: &Held| {
            held.rp_id == rp_id && if allowed.is_empty() { held.is_resident } else { allowed.contains(&held.id) }
        };
        let at = self.held.iter().position(fits).unwrap_or_else(|| panic!("no credential for {rp_id} fits"));
        self.use_held(at, options, origin)
    }

    /// Uses this credential whether or not the options allow it.
    ///
    /// # Panics
    /// When there is none at this place.
    pub fn use_held(&mut self, at: usize, options: &Map<String, Value>, origin: &str) -> Map<String, Value> {
        let client_data = self.client_data("webauthn.get", text(options, &["challenge"]), origin);
        self.held[at].sign_count += u32::from(self.counts);
        let held = &self.held[at];
        let rp_id_hash = sha256(self.wrong.rp_id.as_ref().unwrap_or(&held.rp_id).as_bytes());
        let auth_data = self.head(&rp_id_hash, text(options, &["userVerification"]), held.sign_count, 0);
        let mut signature = held.key.sign(&[auth_data.as_slice(), &sha256(client_data.as_bytes())].concat());
        if self.wrong.signature {
            *signature.last_mut().unwrap() ^= 1;
        }
        let handle = held.is_resident.then(|| held.user_handle.clone());
        let handle = self.wrong.user_handle.clone().or(handle).map(|h| encode(&h));
        let response = json!({
            "clientDataJSON": encode(client_data.as_bytes()),
            "authenticatorData": encode(&auth_data),
            "signature": encode(&signature),
            "userHandle": handle,
        });
        envelope(&held.id, response)
    }

    fn client_data(&self, kind: &str, challenge: &str, origin: &str) -> String {
        let challenge = self.wrong.challenge.as_ref().map_or_else(|| challenge.to_owned(), |c| encode(c));
        json!({
            "type": self.wrong.kind.unwrap_or(kind),
            "challenge": challenge,
            "origin": self.wrong.origin.as_deref().unwrap_or(origin),
            "crossOrigin": self.wrong.cross_origin,
        })
        .to_string()
    }

    /// The beginning of authenticator data.
    fn head(&self, rp_id_hash: &[u8; 32], user_verification: &str, sign_count: u32, more: u8) -> Vec<u8> {
        let verified = self.verifies_user && user_verification != "discouraged";
        let flags = 0x01 | u8::from(verified) << 2 | if self.is_synced { 0x18 } else { 0 } | more;
        let count = self.wrong.sign_count.unwrap_or(sign_count);
        [rp_id_hash.as_slice(), &[flags ^ self.wrong.flags], &count.to_be_bytes()].concat()
    }
}

fn envelope(id: &[u8], response: Value) -> Map<String, Value> {
    let answer = json!({
        "id": encode(id),
        "rawId": encode(id),
        "type": "public-key",
        "authenticatorAttachment": "cross-platform",
        "clientExtensionResults": {},
        "response": response,
    });
    match answer {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// CBOR of what is written.
pub fn cbor(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Encoder::new(&mut out));
    out
}

/// A statement of format `packed`.
pub fn packed(algorithm: Algorithm, signature: &[u8], chain: &[Vec<u8>]) -> Vec<u8> {
    cbor(|e| {
        e.map(if chain.is_empty() { 2 } else { 3 }).unwrap();
        e.str("alg").unwrap().i64(algorithm.number()).unwrap().str("sig").unwrap().bytes(signature).unwrap();
        if !chain.is_empty() {
            certificates(e, chain);
        }
    })
}

/// The entry `x5c` of a statement.
pub fn certificates(e: &mut Encoder<&mut Vec<u8>>, chain: &[Vec<u8>]) {
    e.str("x5c").unwrap().array(chain.len() as u64).unwrap();
    for one in chain {
        e.bytes(one).unwrap();
    }
}
