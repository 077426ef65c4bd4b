//! Why an answer of an authenticator is not taken.

/// Why an answer of an authenticator is not taken. The texts tell nothing secret and may be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not of the form that browsers send.
    #[error("Malformed answer: {0}.")]
    Malformed(&'static str),
    /// Client data of another ceremony.
    #[error("The answer is for another kind of request.")]
    Type,
    /// Not the challenge that was sent.
    #[error("The challenge does not match.")]
    Challenge,
    /// Made for another site, or within a frame of another site.
    #[error("The answer was made for another origin.")]
    Origin,
    /// Made for another relying party.
    #[error("The answer was made for another relying party.")]
    RelyingParty,
    /// Nobody touched the authenticator.
    #[error("The presence of a person was not confirmed.")]
    UserPresence,
    /// The person was not verified although that is required.
    #[error("The authenticator did not verify the person.")]
    UserVerification,
    /// Flags that contradict each other or what was registered.
    #[error("The flags of the authenticator contradict each other.")]
    Flags,
    /// A kind of key that was not offered.
    #[error("The kind of key was not offered.")]
    Algorithm,
    /// A public key that is none.
    #[error("The public key is not valid.")]
    Key,
    /// A format of attestation that is not known.
    #[error("Unknown attestation format.")]
    AttestationFormat,
    /// A statement of attestation that does not hold.
    #[error("Invalid attestation: {0}.")]
    Attestation(&'static str),
    /// A signature that does not fit.
    #[error("The signature does not match.")]
    Signature,
    /// A counter that did not grow: the authenticator may have been copied.
    #[error("The signature counter did not grow.")]
    Counter,
    /// The credential says that it belongs to somebody else.
    #[error("The credential belongs to another user.")]
    UserHandle,
}
