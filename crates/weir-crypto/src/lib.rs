//! Passwords, keys and signed values.
//!
//! Knows no HTTP, storage or time: randomness and the current time are arguments, and what waits is bounded. Signing of
//! tokens for others (RS256 and its kin) lives elsewhere; here is what Weir signs for itself.

mod argon2id;
pub mod cookie;
pub mod csrf;
mod hex;
pub mod password;
pub mod pool;
mod rate;
pub mod token;
pub mod totp;
pub mod uid;

pub use cookie::SigningKey;
pub use password::{HashCost, Password, PasswordHash, Salt};
pub use pool::{HashPool, PoolError};
pub use rate::raw_argon2_rate;

/// The operating system's generator, for [`rand::CryptoRng`] arguments in production.
///
/// A system that gives no randomness cannot run an identity provider: drawing panics then.
#[must_use]
pub fn system_rng() -> impl rand::CryptoRng + Clone + Send + Sync + 'static {
    rand::rand_core::UnwrapErr(rand::rngs::SysRng)
}
