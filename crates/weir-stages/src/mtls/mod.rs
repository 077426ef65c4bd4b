//! Signs people in by the certificate that their browser showed, or takes their name from it.
//!
//! Who has the key of a certificate was proven before the request came here: by the listener, a trusted proxy or an
//! outpost. This stage asks whether one of the authorities vouches for it, and whose it is.

mod challenge;
mod config;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{MutualTlsChallenge, MutualTlsResponse};
pub use config::{CertAttribute, MutualTLSStage, StageMode, UserAttribute};
pub use stage::MutualTls;
