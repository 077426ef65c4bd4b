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
//! The reference C library (through `argon2-kdf`) needs libclang for its bindings and picks its vector width when it is
//! compiled; `libsodium` needs `make` and `unsafe`. So the memory-filling loop is ours (`kernel`), for the one shape
//! that new hashes have, on x86-64; everything else, and every other processor, uses crate `argon2`, which is also the
//! oracle of the tests.

#[cfg(target_arch = "x86_64")]
mod kernel;
#[cfg(test)]
mod tests;

use argon2::{Algorithm, Argon2, Params, Version};
use blake2::{Blake2b256, Blake2b512, Digest};
use memmap2::MmapMut;
use thiserror::Error;
use zeroize::Zeroize;

/// 1 KiB as 128 words, the unit of Argon2's memory.
type Block = [u64; 128];

const BLOCK_BYTES: usize = size_of::<Block>();
/// The kept memory holds the production parameters, in whole huge pages.
const KEPT_BYTES: usize = (HashCost::PRODUCTION.memory_kib as usize * BLOCK_BYTES).next_multiple_of(2 << 20);

/// Bytes of the tag of a new hash.
pub const TAG_LEN: usize = 32;
/// The Argon2 version of new hashes.
const VERSION: u32 = 0x13;

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
#[derive(Debug)]
pub struct Workspace {
    engine: Engine,
    mapped: Option<MmapMut>,
    portable: Vec<argon2::Block>,
}

#[derive(Clone, Copy, Debug)]
enum Engine {
    #[cfg(target_arch = "x86_64")]
    Simd(kernel::Simd),
    Portable,
}

impl Engine {
    /// The engines of this machine, the best first.
    fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let simd = kernel::Simd::available().map(Self::Simd);
        #[cfg(not(target_arch = "x86_64"))]
        let simd = std::iter::empty();
        simd.chain([Self::Portable])
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
        Self::on(Engine::available().next().unwrap_or(Engine::Portable))
    }

    fn on(engine: Engine) -> Self {
        Self { engine, mapped: None, portable: Vec::new() }
    }

    /// Bytes kept for the next hash. Never more than the production parameters need, whatever was hashed.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.mapped.as_ref().map_or(0, |map| map.len()) + size_of_val(self.portable.as_slice())
    }

    /// Argon2id, version 0x13, one lane, no secret, no associated data.
    pub(crate) fn argon2id(
        &mut self,
        password: &[u8],
        salt: &[u8],
        cost: HashCost,
    ) -> Result<[u8; TAG_LEN], HashFault> {
        match self.engine {
            #[cfg(target_arch = "x86_64")]
            Engine::Simd(simd) => self.simd_tag(simd, password, salt, cost),
            Engine::Portable => self.portable_tag(password, salt, cost),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn simd_tag(
        &mut self,
        simd: kernel::Simd,
        password: &[u8],
        salt: &[u8],
        cost: HashCost,
    ) -> Result<[u8; TAG_LEN], HashFault> {
        let mut seed = seed(password, salt, cost)?;
        // RFC 9106 §3.2: the memory is rounded down to four blocks a lane; the seed keeps the figure asked for.
        let used = (cost.memory_kib as usize / 4) * 4;
        let memory = self.blocks()?.get_mut(..used).ok_or(HashFault)?;
        for (index, block) in (0_u32..).zip(memory.iter_mut().take(2)) {
            *block = expand(&seed, index);
        }
        seed.zeroize();
        let last = simd.fill(memory, cost.passes).ok_or(HashFault)?;
        let mut tag = Blake2b256::new().chain_update((TAG_LEN as u32).to_le_bytes());
        for word in last {
            tag.update(word.to_le_bytes());
        }
        Ok(tag.finalize().into())
    }

    fn portable_tag(&mut self, password: &[u8], salt: &[u8], cost: HashCost) -> Result<[u8; TAG_LEN], HashFault> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, Some(TAG_LEN)).map_err(|_| HashFault)?;
        let needed = params.block_count();
        if self.portable.len() < needed {
            self.portable.resize(needed, argon2::Block::new());
        }
        let mut tag = [0; TAG_LEN];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password, salt, &mut tag, self.portable.as_mut_slice())
            .map_err(|_| HashFault)?;
        Ok(tag)
    }

    fn blocks(&mut self) -> Result<&mut [Block], HashFault> {
        let map = match self.mapped.take() {
            Some(map) => map,
            None => map_memory()?,
        };
        bytemuck::try_cast_slice_mut(self.mapped.insert(map)).map_err(|_| HashFault)
    }
}

fn map_memory() -> Result<MmapMut, HashFault> {
    let map = MmapMut::map_anon(KEPT_BYTES).map_err(|_| HashFault)?;
    // Only advice: a kernel without huge pages hashes a little slower.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map)
}

/// H₀ of RFC 9106 §3.2.
fn seed(password: &[u8], salt: &[u8], cost: HashCost) -> Result<[u8; 64], HashFault> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map(u32::to_le_bytes).map_err(|_| HashFault);
    let mut hash = Blake2b512::new();
    for number in [1, TAG_LEN as u32, cost.memory_kib, cost.passes, VERSION, 2] {
        hash.update(number.to_le_bytes());
    }
    hash.update(length(password)?);
    hash.update(password);
    hash.update(length(salt)?);
    hash.update(salt);
    hash.update([0; 8]);
    Ok(hash.finalize().into())
}

/// H′ of RFC 9106 §3.3 for one whole block: overlapping BLAKE2b-512 digests, of which all but the last give their first
/// half.
fn expand(seed: &[u8; 64], index: u32) -> Block {
    let mut digest: [u8; 64] = Blake2b512::new()
        .chain_update((BLOCK_BYTES as u32).to_le_bytes())
        .chain_update(seed)
        .chain_update(index.to_le_bytes())
        .chain_update(0_u32.to_le_bytes())
        .finalize()
        .into();
    let mut block: Block = [0; 128];
    let (halves, _) = block.as_chunks_mut::<4>();
    let halves_of_digest = |digest: &[u8; 64]| {
        let words: [u64; 8] = bytemuck::cast(*digest);
        let [a, b, c, d, e, f, g, h] = words.map(u64::from_le);
        ([a, b, c, d], [e, f, g, h])
    };
    let last = halves.len().saturating_sub(1);
    for (at, half) in halves.iter_mut().enumerate() {
        if at == last {
            *half = halves_of_digest(&digest).1;
            break;
        }
        if at > 0 {
            digest = Blake2b512::digest(digest).into();
        }
        *half = halves_of_digest(&digest).0;
    }
    block
}
