//! Verification of a new credential (WebAuthn Level 3, 7.1).

use crate::{
    Expected, Refusal,
    attestation::{self, Attestation},
    authenticator_data::AuthenticatorData,
    cbor::Cbor,
    client_data::{self, Ceremony},
    cose::PublicKey,
    encoding, limits,
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A credential that may be stored. Whether its id is already known, and whether its model is wanted, is for the caller
/// to check.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Id of the credential.
    pub credential_id: Vec<u8>,
    /// Its key as COSE.
    pub public_key: Vec<u8>,
    /// Number of the key's algorithm in the COSE registry.
    pub algorithm: i64,
    /// Counter of signatures; 0 when the authenticator keeps none.
    pub sign_count: u32,
    /// Model of the authenticator; all zeros when it does not tell.
    pub aaguid: Uuid,
    /// The person was verified.
    pub user_verified: bool,
    /// The credential can be copied to other devices.
    pub backup_eligible: bool,
    /// It has been.
    pub backed_up: bool,
    /// What vouches for the model.
    pub attestation: Attestation,
}

/// Verifies a registration as browsers give it (`RegistrationResponseJSON`). `now` is only for statements that carry a
/// time.
///
/// # Errors
/// The first step of verification that fails.
pub fn verify(answer: &Map<String, Value>, expected: &Expected<'_>, now: DateTime<Utc>) -> Result<Registered, Refusal> {
    let (id, response) = encoding::credential(answer)?;
    let client_data = encoding::get_bytes(response, "clientDataJSON", limits::CLIENT_DATA, "clientDataJSON")?;
    let object = encoding::get_bytes(response, "attestationObject", limits::ATTESTATION_OBJECT, "attestationObject")?;
    let client_data_hash = client_data::verify(&client_data, Ceremony::Registration, expected)?;

    let object = Cbor::whole(&object).map_err(|_| Refusal::Malformed("attestationObject"))?;
    let malformed = Refusal::Malformed("attestationObject");
    let auth_data = object.get("authData").and_then(Cbor::bytes).ok_or_else(|| malformed.clone())?;
    let format = object.get("fmt").and_then(Cbor::text).ok_or_else(|| malformed.clone())?;
    let statement = object.get("attStmt").filter(|s| s.is_map()).ok_or(malformed)?;

    let data = AuthenticatorData::parse(auth_data)?;
    data.check(expected)?;
    let credential = data.credential.as_ref().ok_or(Refusal::Malformed("no credential"))?;
    if credential.id != id {
        return Err(Refusal::Malformed("id"));
    }
    let key = PublicKey::parse(credential.key)?;
    let attestation = attestation::verify(
        format,
        statement,
        &attestation::Subject {
            auth_data,
            client_data_hash: &client_data_hash,
            rp_id_hash: data.rp_id_hash,
            credential_id: credential.id,
            aaguid: credential.aaguid,
            key: &key,
            now,
        },
    )?;
    Ok(Registered {
        credential_id: id,
        public_key: credential.key.to_vec(),
        algorithm: key.algorithm.number(),
        sign_count: data.sign_count,
        aaguid: credential.aaguid,
        user_verified: data.user_verified(),
        backup_eligible: data.backup_eligible(),
        backed_up: data.backed_up(),
        attestation,
    })
}
