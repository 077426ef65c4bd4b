//! WebAuthn (Level 3) as a relying party sees it: options for the browser, and the verification of what comes back.
//!
//! Pure functions over bytes and JSON: no I/O, no clock, no randomness, no memory between the two halves of a ceremony.
//! Whoever calls keeps the challenge, sees to it that it is used once, and knows the stored credentials.
//!
//! Start at [`options`] for what is sent to the browser, at [`registration::verify`] and [`assertion::Assertion`] for
//! what it answers. [`metadata`] reads the FIDO list of authenticator models. Signatures and certificate paths are
//! checked by aws-lc and webpki; only the formats around them are read here.

pub mod assertion;
mod attestation;
mod authenticator_data;
mod cbor;
mod certificate;
mod client_data;
mod cose;
mod der;
mod encoding;
pub mod limits;
pub mod metadata;
pub mod options;
mod refusal;
pub mod registration;
mod relying_party;
#[cfg(feature = "software")]
pub mod software;
#[cfg(test)]
mod tests;

pub use assertion::{Asserted, Assertion, StoredCredential};
pub use attestation::{Attestation, Trust};
pub use certificate::is_trusted;
pub use cose::Algorithm;
pub use encoding::{decode, encode};
pub use options::{Attachment, CreationOptions, Hint, RequestOptions, Requirement};
pub use refusal::Refusal;
pub use registration::Registered;
pub use relying_party::RelyingParty;

/// What a ceremony must fit.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The challenge that was sent, as bytes.
    pub challenge: &'a [u8],
    /// Who asked.
    pub relying_party: &'a RelyingParty,
    /// The authenticator must have verified the person, by PIN or biometrics.
    pub user_verification: bool,
}
