//! Verification of the use of a credential (WebAuthn Level 3, 7.2).

use crate::{
    Expected, Refusal,
    authenticator_data::AuthenticatorData,
    client_data::{self, Ceremony},
    cose::PublicKey,
    encoding, limits,
};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

/// An answer, taken apart but not yet believed.
#[derive(Clone, Debug)]
pub struct Assertion {
    credential_id: Vec<u8>,
    client_data: Vec<u8>,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
    user_handle: Option<Vec<u8>>,
}

/// A credential as it was stored.
#[derive(Clone, Copy, Debug)]
pub struct StoredCredential<'a> {
    /// Its key as COSE.
    pub public_key: &'a [u8],
    /// The counter as it was seen last.
    pub sign_count: u32,
    /// What the authenticator was told to call the user.
    pub user_handle: &'a [u8],
    /// Whether it can be copied, if that is known; it never changes.
    pub backup_eligible: Option<bool>,
}

/// What a good answer tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asserted {
    /// The counter, to be stored.
    pub sign_count: u32,
    /// The person was verified.
    pub user_verified: bool,
    /// The credential can be copied to other devices.
    pub backup_eligible: bool,
    /// It has been.
    pub backed_up: bool,
}

impl Assertion {
    /// Takes an answer of a browser (`AuthenticationResponseJSON`) apart.
    ///
    /// # Errors
    /// When it has not that form.
    pub fn parse(answer: &Map<String, Value>) -> Result<Self, Refusal> {
        let (credential_id, response) = encoding::credential(answer)?;
        let client_data = encoding::get_bytes(response, "clientDataJSON", limits::CLIENT_DATA, "clientDataJSON")?;
        let most = limits::AUTHENTICATOR_DATA;
        let authenticator_data = encoding::get_bytes(response, "authenticatorData", most, "authenticatorData")?;
        let signature = encoding::get_bytes(response, "signature", limits::SIGNATURE, "signature")?;
        // Absent, null and empty are the same to browsers.
        let user_handle = encoding::find_bytes(response, "userHandle", limits::USER_HANDLE, "userHandle")?;
        let user_handle = user_handle.filter(|handle| !handle.is_empty());
        Ok(Self { credential_id, client_data, authenticator_data, signature, user_handle })
    }

    /// Id of the credential that is said to have been used.
    pub fn credential_id(&self) -> &[u8] {
        &self.credential_id
    }

    /// Whether the answer names a user by itself, which is demanded where nobody else did.
    pub fn has_user_handle(&self) -> bool {
        self.user_handle.is_some()
    }

    /// Verifies the answer. That the credential belongs to the user in question, and was among those asked for, is for
    /// the caller to check.
    ///
    /// # Errors
    /// The first step of verification that fails.
    pub fn verify(&self, expected: &Expected<'_>, stored: &StoredCredential<'_>) -> Result<Asserted, Refusal> {
        if let Some(handle) = &self.user_handle
            && !bool::from(handle.ct_eq(stored.user_handle))
        {
            return Err(Refusal::UserHandle);
        }
        let client_data_hash = client_data::verify(&self.client_data, Ceremony::Assertion, expected)?;
        let data = AuthenticatorData::parse(&self.authenticator_data)?;
        data.check(expected)?;
        if stored.backup_eligible.is_some_and(|before| before != data.backup_eligible()) {
            return Err(Refusal::Flags);
        }
        let signed = [self.authenticator_data.as_slice(), &client_data_hash].concat();
        PublicKey::parse(stored.public_key)?.verify(&signed, &self.signature)?;
        // An authenticator without counter always says 0.
        if (data.sign_count != 0 || stored.sign_count != 0) && data.sign_count <= stored.sign_count {
            return Err(Refusal::Counter);
        }
        Ok(Asserted {
            sign_count: data.sign_count,
            user_verified: data.user_verified(),
            backup_eligible: data.backup_eligible(),
            backed_up: data.backed_up(),
        })
    }
}
