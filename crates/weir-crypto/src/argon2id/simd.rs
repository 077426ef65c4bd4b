//! Argon2id (RFC 9106) around the vector [`kernel`](super::kernel): seed, first blocks, tag, and the mapped memory.

use blake2::{Blake2b256, Blake2b512, Digest};
use memmap2::MmapMut;
use zeroize::Zeroize;

use super::{
    HashCost, HashFault, TAG_LEN,
    kernel::{Block, Simd},
};

/// The Argon2 version of new hashes.
const VERSION: u32 = 0x13;
/// The number RFC 9106 gives to Argon2id.
const ARGON2ID: u32 = 2;
const BLOCK_BYTES: usize = size_of::<Block>();
/// The kept memory holds the production parameters, in whole huge pages.
pub(super) const KEPT_BYTES: usize = (HashCost::PRODUCTION.memory_kib as usize * BLOCK_BYTES).next_multiple_of(2 << 20);

/// One lane of memory and the instructions to fill it.
pub(super) struct Lane {
    simd: Simd,
    mapped: Option<MmapMut>,
}

impl Lane {
    pub(super) fn available() -> impl Iterator<Item = Self> {
        Simd::available().map(|simd| Self { simd, mapped: None })
    }

    pub(super) fn name(&self) -> &'static str {
        match self.simd {
            Simd::Avx512(_) => "AVX-512",
            Simd::Avx2(_) => "AVX2",
        }
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.mapped.as_ref().map_or(0, |map| map.len())
    }

    pub(super) fn tag(&mut self, password: &[u8], salt: &[u8], cost: HashCost) -> Result<[u8; TAG_LEN], HashFault> {
        let mut seed = seed(password, salt, cost)?;
        // §3.2: the memory is rounded down to four blocks a lane; the seed keeps the figure asked for.
        let used = (cost.memory_kib as usize / 4) * 4;
        let simd = self.simd;
        let memory = self.blocks()?.get_mut(..used).ok_or(HashFault)?;
        for (index, block) in (0_u32..).zip(memory.iter_mut().take(2)) {
            *block = first_block(&seed, index);
        }
        seed.zeroize();
        let last = simd.fill(memory, cost.passes).ok_or(HashFault)?;
        let mut tag = Blake2b256::new().chain_update((TAG_LEN as u32).to_le_bytes());
        for word in last {
            tag.update(word.to_le_bytes());
        }
        Ok(tag.finalize().into())
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

/// H₀ of §3.2.
fn seed(password: &[u8], salt: &[u8], cost: HashCost) -> Result<[u8; 64], HashFault> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map(u32::to_le_bytes).map_err(|_| HashFault);
    let mut hash = Blake2b512::new();
    for number in [1, TAG_LEN as u32, cost.memory_kib, cost.passes, VERSION, ARGON2ID] {
        hash.update(number.to_le_bytes());
    }
    hash.update(length(password)?);
    hash.update(password);
    hash.update(length(salt)?);
    hash.update(salt);
    // No secret and no associated data: two lengths of zero.
    hash.update([0; 8]);
    Ok(hash.finalize().into())
}

/// H′ of §3.3 for one of the first two blocks: BLAKE2b-512 digests, each of the one before, of which all but the last
/// give their first half.
fn first_block(seed: &[u8; 64], index: u32) -> Block {
    let mut digest: [u8; 64] = Blake2b512::new()
        .chain_update((BLOCK_BYTES as u32).to_le_bytes())
        .chain_update(seed)
        .chain_update(index.to_le_bytes())
        .chain_update(0_u32.to_le_bytes())
        .finalize()
        .into();
    let mut block: Block = [0; 128];
    let (halves, _) = block.as_chunks_mut::<4>();
    let last = halves.len().saturating_sub(1);
    for (at, half) in halves.iter_mut().enumerate() {
        if (1..last).contains(&at) {
            digest = Blake2b512::digest(digest).into();
        }
        let [a, b, c, d, e, f, g, h] = words(&digest);
        *half = if at == last { [e, f, g, h] } else { [a, b, c, d] };
    }
    block
}

fn words(digest: &[u8; 64]) -> [u64; 8] {
    bytemuck::cast::<_, [u64; 8]>(*digest).map(u64::from_le)
}
