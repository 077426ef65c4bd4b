//! What the authenticator says and signs (WebAuthn Level 3, 6.1).

use crate::{Expected, Refusal, cbor::Cbor, client_data::sha256, limits};
use uuid::Uuid;

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;

/// Authenticator data, taken apart.
#[derive(Debug)]
pub(crate) struct AuthenticatorData<'b> {
    pub(crate) rp_id_hash: &'b [u8; 32],
    flags: u8,
    pub(crate) sign_count: u32,
    pub(crate) credential: Option<NewCredential<'b>>,
}

/// The part of it that comes with a new credential.
#[derive(Debug)]
pub(crate) struct NewCredential<'b> {
    pub(crate) aaguid: Uuid,
    pub(crate) id: &'b [u8],
    /// The key as COSE.
    pub(crate) key: &'b [u8],
}

impl<'b> AuthenticatorData<'b> {
    pub(crate) fn parse(bytes: &'b [u8]) -> Result<Self, Refusal> {
        Self::read(bytes).ok_or(Refusal::Malformed("authenticator data"))
    }

    fn read(bytes: &'b [u8]) -> Option<Self> {
        let (rp_id_hash, rest) = bytes.split_first_chunk::<32>()?;
        let (&flags, rest) = rest.split_first()?;
        let (sign_count, mut rest) = rest.split_first_chunk::<4>()?;
        let mut credential = None;
        if flags & HAS_CREDENTIAL != 0 {
            let (aaguid, after) = rest.split_first_chunk::<16>()?;
            let (length, after) = after.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            if length == 0 || length > limits::CREDENTIAL_ID {
                return None;
            }
            let (id, after) = after.split_at_checked(length)?;
            let (_, length) = Cbor::first(after).ok()?;
            let (key, after) = after.split_at_checked(length)?;
            credential = Some(NewCredential { aaguid: Uuid::from_bytes(*aaguid), id, key });
            rest = after;
        }
        if flags & HAS_EXTENSIONS != 0 {
            let (extensions, length) = Cbor::first(rest).ok()?;
            if !extensions.is_map() {
                return None;
            }
            rest = rest.get(length..)?;
        }
        rest.is_empty().then_some(Self { rp_id_hash, flags, sign_count: u32::from_be_bytes(*sign_count), credential })
    }

    pub(crate) fn user_verified(&self) -> bool {
        self.flags & USER_VERIFIED != 0
    }

    pub(crate) fn backup_eligible(&self) -> bool {
        self.flags & BACKUP_ELIGIBLE != 0
    }

    pub(crate) fn backed_up(&self) -> bool {
        self.flags & BACKED_UP != 0
    }

    /// The checks that both ceremonies share.
    pub(crate) fn check(&self, expected: &Expected<'_>) -> Result<(), Refusal> {
        if *self.rp_id_hash != sha256(expected.relying_party.id.as_bytes()) {
            return Err(Refusal::RelyingParty);
        }
        if self.flags & USER_PRESENT == 0 {
            return Err(Refusal::UserPresence);
        }
        if expected.user_verification && !self.user_verified() {
            return Err(Refusal::UserVerification);
        }
        if self.backed_up() && !self.backup_eligible() {
            return Err(Refusal::Flags);
        }
        Ok(())
    }
}
