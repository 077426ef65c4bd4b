//! Argon2id with the memory kept between hashes.
//!
//! A hash writes 19 MiB twice; taking fresh memory for each costs a page fault per 4 KiB and as much again in wiping. A
//! [`Workspace`] maps the memory once, asks for huge pages (the block order is random: translating addresses is a
//! fifth of the time) and is owned by one hashing thread. The blocks are not wiped between hashes: who can read them
//! can read the passwords themselves.
//!
//! # Which implementation
//!
//! Milliseconds per hash (m=19456 KiB, t=2, p=1), median of 120, release build without `RUSTFLAGS`, a 2-core Xeon with
//! AVX-512, November 2026, one thread / two threads at once:
//!
//! | implementation | fresh memory | kept memory | kept, huge pages |
//! | --- | --- | --- | --- |
//! | crate `argon2` 0.6.0 (AVX2 found at run time) | 25.3 / 25.2 | 16.9 / 17.1 | |
//! | crate `rust-argon2` 3.0.0 | 32.2 / 32.7 | not offered | |
//! | `libsodium` (C, AVX-512, by `libsodium-sys-stable` 1.24.3) | 11.0 / 10.8 | not offered | |
//! | crate `dryoc` 2.0.0 (AVX-512) | 17.0 / 16.9 | not offered | |
//! | this module, AVX2 | | 13.0 / 13.1 | 11.3 / 11.5 |
//! | this module, AVX-512 | | 9.0 / 9.1 | **7.3 / 7.4** |
//!
//! `raw_argon2_rate` gave 146-151/s on one thread and 293-300/s on two of a busy machine; the pool with 16 clients 281/s.
//!
//! The reference C library (through `argon2-kdf`) needs libclang for its bindings and picks its vector width when it is
//! compiled; `libsodium` needs `make` and `unsafe`. So the memory-filling loop is ours (`kernel`), for the one shape
//! that new hashes have, on x86-64; everything else, and every other processor, uses crate `argon2`, which is also the
//! oracle of the tests.

#[cfg(target_arch = "x86_64")]
mod kernel;
#[cfg(target_arch = "x86_64")]
mod simd;
#[cfg(test)]
mod tests;

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use thiserror::Error;

/// Bytes of the tag of a new hash.
pub const TAG_LEN: usize = 32;

/// What one Argon2id hash costs; the number of lanes is always one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    memory_kib: u32,
    passes: u32,
}

impl HashCost {
    /// m=19456 KiB, t=2, p=1: the second recommendation of the OWASP password storage sheet.
    pub const PRODUCTION: Self = Self { memory_kib: 19_456, passes: 2 };
    /// The least Argon2 can do. Only for tests.
    pub const CHEAP: Self = Self { memory_kib: 8, passes: 1 };

    /// Memory in KiB.
    #[must_use]
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    #[must_use]
    pub const fn passes(self) -> u32 {
        self.passes
    }

    /// A cost of imported hashes, `None` where the kept memory is too small for it.
    pub(crate) fn within_kept_memory(memory_kib: u32, passes: u32) -> Option<Self> {
        let fits = (8..=Self::PRODUCTION.memory_kib).contains(&memory_kib) && passes > 0;
        fits.then_some(Self { memory_kib, passes })
    }
}

/// The memory for a hash could not be had, or an algorithm refused parameters that parsed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the password could not be hashed")]
pub struct HashFault;

/// The memory of one hashing thread, taken at the first hash and kept.
pub struct Workspace(Engine);

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the contents.
        write!(f, "Workspace({}, {} bytes)", self.0.name(), self.kept_bytes())
    }
}

enum Engine {
    #[cfg(target_arch = "x86_64")]
    Simd(simd::Lane),
    Portable(Vec<argon2::Block>),
}

impl Engine {
    /// The engines of this machine, the best first.
    fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let simd = simd::Lane::available().map(Self::Simd);
        #[cfg(not(target_arch = "x86_64"))]
        let simd = std::iter::empty();
        simd.chain([Self::Portable(Vec::new())])
    }

    fn name(&self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Simd(lane) => lane.name(),
            Self::Portable(_) => "portable",
        }
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

impl Workspace {
    /// An empty workspace on the best instruction set of this processor.
    #[must_use]
    pub fn new() -> Self {
        Self(Engine::available().next().unwrap_or(Engine::Portable(Vec::new())))
    }

    /// Bytes kept for the next hash. Never more than the production parameters need, whatever was hashed.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        match &self.0 {
            #[cfg(target_arch = "x86_64")]
            Engine::Simd(lane) => lane.kept_bytes(),
            Engine::Portable(blocks) => size_of_val(blocks.as_slice()),
        }
    }

    /// Argon2id, version 0x13, one lane, no secret, no associated data.
    pub(crate) fn argon2id(
        &mut self,
        password: &[u8],
        salt: &[u8],
        cost: HashCost,
    ) -> Result<[u8; TAG_LEN], HashFault> {
        match &mut self.0 {
            #[cfg(target_arch = "x86_64")]
            Engine::Simd(lane) => lane.tag(password, salt, cost),
            Engine::Portable(blocks) => portable_tag(blocks, password, salt, cost),
        }
    }
}

fn portable_tag(
    blocks: &mut Vec<argon2::Block>,
    password: &[u8],
    salt: &[u8],
    cost: HashCost,
) -> Result<[u8; TAG_LEN], HashFault> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(TAG_LEN)).map_err(|_| HashFault)?;
    let needed = params.block_count();
    if blocks.len() < needed {
        blocks.resize(needed, argon2::Block::new());
    }
    let mut tag = [0; TAG_LEN];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password, salt, &mut tag, blocks.as_mut_slice())
        .map_err(|_| HashFault)?;
    Ok(tag)
}
