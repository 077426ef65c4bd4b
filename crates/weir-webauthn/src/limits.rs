//! Bounds on what a browser may send. What is larger is refused before it is looked into.

/// Longest credential id in bytes (WebAuthn Level 3, 4.).
pub const CREDENTIAL_ID: usize = 1023;
/// Longest user handle in bytes (WebAuthn Level 3, 5.4.3).
pub const USER_HANDLE: usize = 64;
/// Longest client data in bytes; real ones have about 200.
pub const CLIENT_DATA: usize = 16 * 1024;
/// Longest attestation object in bytes: a TPM's with its certificates has about 6,000, SafetyNet's about 8,000.
pub const ATTESTATION_OBJECT: usize = 64 * 1024;
/// Longest authenticator data of an assertion in bytes.
pub const AUTHENTICATOR_DATA: usize = 16 * 1024;
/// Longest signature in bytes: RSA with 8192 bits.
pub const SIGNATURE: usize = 1024;
/// Deepest nesting of CBOR. CTAP2 allows four levels in its messages; statements of attestation may be deeper.
pub const CBOR_DEPTH: usize = 8;
/// Most certificates in an attestation.
pub const CERTIFICATES: usize = 8;
/// Longest FIDO metadata file in bytes; that of 2026 has about 7 million.
pub const METADATA: usize = 64 * 1024 * 1024;
/// Bytes of a challenge.
pub const CHALLENGE: usize = 64;
/// How long the browser may take, in milliseconds.
pub const TIMEOUT_MILLIS: u32 = 60_000;
