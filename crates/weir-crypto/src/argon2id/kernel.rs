//! The memory-filling loop of Argon2id (RFC 9106 §3), version 0x13, one lane, on x86-64 vector units.
//!
//! A block is eight rows of sixteen words; the permutation runs over the rows, then over pairs of columns. Both are the
//! same round once the words of one state lie across eight vectors, two words to each 128-bit lane: columns lie so
//! already, rows after a transposition of lanes. In that arrangement turning the diagonals upright is a word moved
//! between two neighbours, and a 512-bit vector holds four states.
//!
//! No `unsafe`: `pulp` hands out a token only where the processor has the instructions.

#![expect(
    clippy::indexing_slicing,
    reason = "the index arithmetic of RFC 9106 stays inside the lane; `fill` checks its length"
)]

use std::arch::x86_64::{__m256i, __m512i};

use pulp::{
    NullaryFnOnce, cast,
    x86::{V3, V4},
};

/// 1 KiB as 128 words, the unit of Argon2's memory.
pub(super) type Block = [u64; 128];

/// Argon2 divides a lane into four segments per pass.
const SLICES: usize = 4;
/// Pseudo-random words in one block of addresses.
const ADDRESSES: usize = 128;
/// The number RFC 9106 gives to Argon2id.
const ARGON2ID: u64 = 2;

/// The instruction set a fill runs on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Simd {
    Avx512(V4),
    Avx2(V3),
}

impl Simd {
    /// The instruction sets of this processor, the best first.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        V4::try_new().map(Self::Avx512).into_iter().chain(V3::try_new().map(Self::Avx2))
    }

    /// Fills `memory`, whose first two blocks are set, and returns the last block; `None` for a length Argon2 has not.
    pub(super) fn fill(self, memory: &mut [Block], passes: u32) -> Option<&Block> {
        if memory.len() < 2 * SLICES || !memory.len().is_multiple_of(SLICES) {
            return None;
        }
        let lane = &mut *memory;
        match self {
            Self::Avx512(simd) => simd.vectorize(Fill { simd, lane, passes }),
            Self::Avx2(simd) => simd.vectorize(Fill { simd, lane, passes }),
        }
        memory.last()
    }
}

struct Fill<'m, S> {
    simd: S,
    lane: &'m mut [Block],
    passes: u32,
}

impl<S: Vectors> NullaryFnOnce for Fill<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for pass in 0..self.passes {
            for slice in 0..SLICES {
                segment(self.simd, self.lane, Position { pass, slice, passes: self.passes });
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Position {
    pass: u32,
    slice: usize,
    passes: u32,
}

#[inline(always)]
fn segment<S: Vectors>(simd: S, lane: &mut [Block], position: Position) {
    let Position { pass, slice, passes } = position;
    let length = lane.len() / SLICES;
    let start = slice * length;
    let independent = pass == 0 && slice < SLICES / 2;
    let first = if pass == 0 && slice == 0 { 2 } else { 0 };

    let mut input: Block = [0; 128];
    input[..6].copy_from_slice(&[u64::from(pass), 0, slice as u64, lane.len() as u64, u64::from(passes), ARGON2ID]);
    let mut addresses: Block = [0; 128];

    let before = (start + first).checked_sub(1).unwrap_or(lane.len() - 1);
    let mut previous = simd.load(&lane[before]);
    let mut leading = lane[before][0];
    for index in first..length {
        if independent && (index == first || index % ADDRESSES == 0) {
            input[6] += 1;
            let once = compress(simd, simd.load(&input));
            simd.store(compress(simd, once), &mut addresses);
        }
        let random = if independent { addresses[index % ADDRESSES] } else { leading };
        let reference = simd.load(&lane[reference_index(lane.len(), start, index, position, random)]);
        let mut block = compress(simd, simd.xor(previous, reference));
        let target = &mut lane[start + index];
        if pass != 0 {
            block = simd.xor(block, simd.load(target));
        }
        simd.store(block, target);
        leading = target[0];
        previous = block;
    }
}

/// RFC 9106 §3.4.2: where in the lane the block lies that is mixed in.
#[inline(always)]
fn reference_index(lane: usize, start: usize, index: usize, position: Position, random: u64) -> usize {
    let length = lane / SLICES;
    let (area, from) = match position {
        Position { pass: 0, .. } => (start + index - 1, 0),
        Position { slice, .. } if slice == SLICES - 1 => (lane - length + index - 1, 0),
        Position { .. } => (lane - length + index - 1, start + length),
    };
    let x = random & u64::from(u32::MAX);
    let y = (area as u64 * ((x * x) >> 32)) >> 32;
    let at = from + area - 1 - y as usize;
    if at >= lane { at - lane } else { at }
}

/// The compression function G with its second operand already added: `P(r) ⊕ r`.
#[inline(always)]
fn compress<S: Vectors>(simd: S, r: S::Cells) -> S::Cells {
    simd.xor(simd.permute(r), r)
}

/// The vector operations the round is made of.
trait Vectors: Copy {
    /// One vector of words.
    type Word: Copy;
    /// One block in vectors.
    type Cells: Copy;

    fn load(self, block: &Block) -> Self::Cells;
    fn store(self, cells: Self::Cells, block: &mut Block);
    fn xor(self, a: Self::Cells, b: Self::Cells) -> Self::Cells;
    fn permute(self, cells: Self::Cells) -> Self::Cells;

    fn add(self, a: Self::Word, b: Self::Word) -> Self::Word;
    /// The product of the low halves of each word.
    fn multiply(self, a: Self::Word, b: Self::Word) -> Self::Word;
    /// `(a ⊕ b) >>> 32`, and so on.
    fn xor_rotate_32(self, a: Self::Word, b: Self::Word) -> Self::Word;
    fn xor_rotate_24(self, a: Self::Word, b: Self::Word) -> Self::Word;
    fn xor_rotate_16(self, a: Self::Word, b: Self::Word) -> Self::Word;
    fn xor_rotate_63(self, a: Self::Word, b: Self::Word) -> Self::Word;
    /// In each 128-bit lane: the second word of `a`, then the first of `b`.
    fn straddle(self, a: Self::Word, b: Self::Word) -> Self::Word;
}

#[inline(always)]
fn mix<S: Vectors>(simd: S, a: S::Word, b: S::Word) -> S::Word {
    let product = simd.multiply(a, b);
    simd.add(simd.add(a, b), simd.add(product, product))
}

#[inline(always)]
fn quarter<S: Vectors>(simd: S, [a, b, c, d]: [S::Word; 4]) -> [S::Word; 4] {
    let a = mix(simd, a, b);
    let d = simd.xor_rotate_32(d, a);
    let c = mix(simd, c, d);
    let b = simd.xor_rotate_24(b, c);
    let a = mix(simd, a, b);
    let d = simd.xor_rotate_16(d, a);
    let c = mix(simd, c, d);
    let b = simd.xor_rotate_63(b, c);
    [a, b, c, d]
}

/// The BLAKE2b round without message words; `a0` holds words 0 and 1 of its states, `d1` words 14 and 15.
#[inline(always)]
fn round<S: Vectors>(simd: S, [a0, a1, b0, b1, c0, c1, d0, d1]: [S::Word; 8]) -> [S::Word; 8] {
    let [a0, b0, c0, d0] = quarter(simd, [a0, b0, c0, d0]);
    let [a1, b1, c1, d1] = quarter(simd, [a1, b1, c1, d1]);
    let [a0, p0, q0, r0] = quarter(simd, [a0, simd.straddle(b0, b1), c1, simd.straddle(d1, d0)]);
    let [a1, p1, q1, r1] = quarter(simd, [a1, simd.straddle(b1, b0), c0, simd.straddle(d0, d1)]);
    let (b0, b1) = (simd.straddle(p1, p0), simd.straddle(p0, p1));
    let (d0, d1) = (simd.straddle(r0, r1), simd.straddle(r1, r0));
    [a0, a1, b0, b1, q1, q0, d0, d1]
}

impl Vectors for V4 {
    type Word = __m512i;
    type Cells = [__m512i; 16];

    #[inline(always)]
    fn load(self, block: &Block) -> Self::Cells {
        cast(*block)
    }

    #[inline(always)]
    fn store(self, cells: Self::Cells, block: &mut Block) {
        *block = cast(cells);
    }

    #[inline(always)]
    fn xor(self, mut a: Self::Cells, b: Self::Cells) -> Self::Cells {
        for (a, b) in a.iter_mut().zip(b) {
            *a = self.avx512f._mm512_xor_si512(*a, b);
        }
        a
    }

    #[inline(always)]
    fn permute(self, z: Self::Cells) -> Self::Cells {
        let [z0, z1, z2, z3, z4, z5, z6, z7, z8, z9, za, zb, zc, zd, ze, zf] = z;
        let [z0, z1, z2, z3, z4, z5, z6, z7] = four_rows(self, [z0, z1, z2, z3, z4, z5, z6, z7]);
        let [z8, z9, za, zb, zc, zd, ze, zf] = four_rows(self, [z8, z9, za, zb, zc, zd, ze, zf]);
        let [z0, z2, z4, z6, z8, za, zc, ze] = round(self, [z0, z2, z4, z6, z8, za, zc, ze]);
        let [z1, z3, z5, z7, z9, zb, zd, zf] = round(self, [z1, z3, z5, z7, z9, zb, zd, zf]);
        [z0, z1, z2, z3, z4, z5, z6, z7, z8, z9, za, zb, zc, zd, ze, zf]
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_add_epi64(a, b)
    }

    #[inline(always)]
    fn multiply(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_mul_epu32(a, b)
    }

    #[inline(always)]
    fn xor_rotate_32(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_ror_epi64::<32>(self.avx512f._mm512_xor_si512(a, b))
    }

    #[inline(always)]
    fn xor_rotate_24(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_ror_epi64::<24>(self.avx512f._mm512_xor_si512(a, b))
    }

    #[inline(always)]
    fn xor_rotate_16(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_ror_epi64::<16>(self.avx512f._mm512_xor_si512(a, b))
    }

    #[inline(always)]
    fn xor_rotate_63(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_ror_epi64::<63>(self.avx512f._mm512_xor_si512(a, b))
    }

    #[inline(always)]
    fn straddle(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512bw._mm512_alignr_epi8::<8>(b, a)
    }
}

/// The row round over four rows of two vectors each.
#[inline(always)]
fn four_rows(simd: V4, [l0, h0, l1, h1, l2, h2, l3, h3]: [__m512i; 8]) -> [__m512i; 8] {
    let [p0, p1, p2, p3] = transpose_4(simd, [l0, l1, l2, l3]);
    let [p4, p5, p6, p7] = transpose_4(simd, [h0, h1, h2, h3]);
    let [p0, p1, p2, p3, p4, p5, p6, p7] = round(simd, [p0, p1, p2, p3, p4, p5, p6, p7]);
    let [l0, l1, l2, l3] = transpose_4(simd, [p0, p1, p2, p3]);
    let [h0, h1, h2, h3] = transpose_4(simd, [p4, p5, p6, p7]);
    [l0, h0, l1, h1, l2, h2, l3, h3]
}

/// Transposes a square of 128-bit lanes.
#[inline(always)]
fn transpose_4(simd: V4, [a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let f = simd.avx512f;
    let ab_low = f._mm512_shuffle_i64x2::<0x44>(a, b);
    let ab_high = f._mm512_shuffle_i64x2::<0xEE>(a, b);
    let cd_low = f._mm512_shuffle_i64x2::<0x44>(c, d);
    let cd_high = f._mm512_shuffle_i64x2::<0xEE>(c, d);
    [
        f._mm512_shuffle_i64x2::<0x88>(ab_low, cd_low),
        f._mm512_shuffle_i64x2::<0xDD>(ab_low, cd_low),
        f._mm512_shuffle_i64x2::<0x88>(ab_high, cd_high),
        f._mm512_shuffle_i64x2::<0xDD>(ab_high, cd_high),
    ]
}

impl Vectors for V3 {
    type Word = __m256i;
    type Cells = [__m256i; 32];

    #[inline(always)]
    fn load(self, block: &Block) -> Self::Cells {
        cast(*block)
    }

    #[inline(always)]
    fn store(self, cells: Self::Cells, block: &mut Block) {
        *block = cast(cells);
    }

    #[inline(always)]
    fn xor(self, mut a: Self::Cells, b: Self::Cells) -> Self::Cells {
        for (a, b) in a.iter_mut().zip(b) {
            *a = self.avx2._mm256_xor_si256(*a, b);
        }
        a
    }

    #[inline(always)]
    fn permute(self, mut z: Self::Cells) -> Self::Cells {
        for rows in z.as_chunks_mut::<8>().0 {
            *rows = two_rows(self, *rows);
        }
        for k in 0..4 {
            let column = [z[k], z[k + 4], z[k + 8], z[k + 12], z[k + 16], z[k + 20], z[k + 24], z[k + 28]];
            let column = round(self, column);
            [z[k], z[k + 4], z[k + 8], z[k + 12], z[k + 16], z[k + 20], z[k + 24], z[k + 28]] = column;
        }
        z
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        self.avx2._mm256_add_epi64(a, b)
    }

    #[inline(always)]
    fn multiply(self, a: __m256i, b: __m256i) -> __m256i {
        self.avx2._mm256_mul_epu32(a, b)
    }

    #[inline(always)]
    fn xor_rotate_32(self, a: __m256i, b: __m256i) -> __m256i {
        self.avx2._mm256_shuffle_epi32::<0b10_11_00_01>(self.avx2._mm256_xor_si256(a, b))
    }

    #[inline(always)]
    fn xor_rotate_24(self, a: __m256i, b: __m256i) -> __m256i {
        self.avx2._mm256_shuffle_epi8(self.avx2._mm256_xor_si256(a, b), cast(byte_rotation(3)))
    }

    #[inline(always)]
    fn xor_rotate_16(self, a: __m256i, b: __m256i) -> __m256i {
        self.avx2._mm256_shuffle_epi8(self.avx2._mm256_xor_si256(a, b), cast(byte_rotation(2)))
    }

    #[inline(always)]
    fn xor_rotate_63(self, a: __m256i, b: __m256i) -> __m256i {
        let x = self.avx2._mm256_xor_si256(a, b);
        self.avx2._mm256_or_si256(self.avx2._mm256_add_epi64(x, x), self.avx2._mm256_srli_epi64::<63>(x))
    }

    #[inline(always)]
    fn straddle(self, a: __m256i, b: __m256i) -> __m256i {
        self.avx2._mm256_alignr_epi8::<8>(b, a)
    }
}

/// The row round over two rows of four vectors each.
#[inline(always)]
fn two_rows(simd: V3, [r0, r1, r2, r3, s0, s1, s2, s3]: [__m256i; 8]) -> [__m256i; 8] {
    let [p0, p1] = transpose_2(simd, [r0, s0]);
    let [p2, p3] = transpose_2(simd, [r1, s1]);
    let [p4, p5] = transpose_2(simd, [r2, s2]);
    let [p6, p7] = transpose_2(simd, [r3, s3]);
    let [p0, p1, p2, p3, p4, p5, p6, p7] = round(simd, [p0, p1, p2, p3, p4, p5, p6, p7]);
    let [r0, s0] = transpose_2(simd, [p0, p1]);
    let [r1, s1] = transpose_2(simd, [p2, p3]);
    let [r2, s2] = transpose_2(simd, [p4, p5]);
    let [r3, s3] = transpose_2(simd, [p6, p7]);
    [r0, r1, r2, r3, s0, s1, s2, s3]
}

#[inline(always)]
fn transpose_2(simd: V3, [a, b]: [__m256i; 2]) -> [__m256i; 2] {
    [simd.avx2._mm256_permute2x128_si256::<0x20>(a, b), simd.avx2._mm256_permute2x128_si256::<0x31>(a, b)]
}

/// The byte shuffle that rotates each word right by `bytes`.
const fn byte_rotation(bytes: u32) -> [u64; 4] {
    // Shuffle indices count within 128-bit lanes, so the second word of a lane starts at 8.
    let first = 0x0706_0504_0302_0100_u64.rotate_right(8 * bytes);
    let second = first | 0x0808_0808_0808_0808;
    [first, second, first, second]
}
