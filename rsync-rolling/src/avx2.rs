// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sums and search with the vectors of AVX2, on processors that have them.
//!
//! Both halves of a checksum are numbers modulo 2^16, so that sixteen positions are one vector of 16-bit lanes. Over `n`
//! positions, `out` leaving and `new` entering,
//!
//! ```text
//! a[i] = a[-1] + (new[0] - out[0]) + ... + (new[i] - out[i])
//! b[i] = b[-1] + (a[0] - length*out[0]) + ... + (a[i] - length*out[i])
//! ```
//!
//! are running sums, which take four shifts and additions for a vector. A vector of bytes is two of 16-bit lanes, one of all even
//! positions and one of all odd ones: the running sums of both added up are those of the odd ones, and less what each odd one
//! has added those of the even ones.
//!
//! What bounds a search is how long a result takes that others need. So the sums of [`PARTS`] vectors are computed side by
//! side; those of a whole tile are there before the filter is looked at; and no branch depends on what it says before it was
//! looked at for the whole tile. A gather takes longer than it takes to load the bytes one by one.

// Until Rust 1.87 every intrinsic is unsafe, from then on only those that take an address. And until 1.86 closures have not the
// features of the function that they are in: there are none here.
#![allow(unused_unsafe)]

use crate::filter::{FIRST, Filter, ONE, TWO};
use crate::rolling::Rolling;
use std::arch::x86_64::*;

/// Lanes of a vector of numbers modulo 2^16.
const LANES: usize = 16;

/// Positions that are a vector of bytes.
const PART: usize = 2 * LANES;

/// So many of these are summed up side by side.
const PARTS: usize = 4;

/// Positions a step of the search.
const GROUP: usize = PARTS * PART;

/// The most positions whose sums there are before the filter is looked at.
const TILE: usize = 2 * GROUP;

/// Bytes a step of a sum.
const BYTES: usize = 32;

/// [`scan`](crate::scan) over whole steps. Returns by how many positions it moved: all of them that are in whole steps
/// unless the last may match; none without AVX2.
pub(crate) fn scan(
    filter: &Filter,
    window: &mut Rolling,
    out: &[u8],
    new: &[u8],
    length: u32,
) -> (usize, bool) {
    let count = out.len().min(new.len()) / GROUP * GROUP;
    if count == 0 || !is_x86_feature_detected!("avx2") {
        return (0, false);
    }
    let (out, new) = (&out[..count], &new[..count]);
    // SAFETY: The processor has AVX2, and both slices are as many whole groups.
    unsafe { scan_steps(filter, window, out, new, length) }
}

/// Lengthens a window by as many bytes as make whole steps; returns how many. None without AVX2.
pub(crate) fn extend(window: &mut Rolling, bytes: &[u8]) -> usize {
    if bytes.len() < BYTES || !is_x86_feature_detected!("avx2") {
        return 0;
    }
    // SAFETY: The processor has AVX2.
    unsafe { extend_steps(window, bytes) }
}

/// What is known of the positions of a tile.
#[repr(align(64))]
struct Tile {
    /// Their checksums, of each part in the order of [`STORED`].
    sums: [u32; TILE],
    /// Which bytes of the filter these have to do with, in the same order.
    places: [u32; TILE],
    /// Which bits of these, in the order of the positions.
    bits: [u8; TILE],
}

/// Where the checksum of each position of a part is stored: first of even positions, then of odd ones, each as two vectors
/// are put together, half by half.
const STORED: [usize; PART] = {
    let mut stored = [0; PART];
    let mut position = 0;
    while position < PART {
        let (lane, odd) = (position / 2, position % 2);
        let (half, lane) = (lane / 8, lane % 8);
        stored[position] = odd * 16 + lane / 4 * 8 + half * 4 + lane % 4;
        position += 1;
    }
    stored
};

/// # Safety
///
/// The processor has AVX2, and both slices are as many whole groups.
#[target_feature(enable = "avx2")]
unsafe fn scan_steps(
    filter: &Filter,
    window: &mut Rolling,
    out: &[u8],
    new: &[u8],
    length: u32,
) -> (usize, bool) {
    let (bytes, shift) = filter.first_stage();
    let mut tile = Tile {
        sums: [0; TILE],
        places: [0; TILE],
        bits: [0; TILE],
    };
    let mut moved = 0;
    // SAFETY: The processor has AVX2; bytes and shift are the filter's own, which says that they suit each other. Both chunks are
    // as many whole groups, and no more than a tile.
    unsafe {
        let mut last_a = _mm256_set1_epi16(window.a as i16);
        let mut last_b = _mm256_set1_epi16(window.b as i16);
        for (out, new) in out.chunks(TILE).zip(new.chunks(TILE)) {
            for start in (0..out.len()).step_by(GROUP) {
                let (out, new) = (&out[start..start + GROUP], &new[start..start + GROUP]);
                let [a, b] = sums(out, new, length, [&mut last_a, &mut last_b]);
                let parts = start / PART..start / PART + PARTS;
                for (part, (a, b)) in parts.zip(a.into_iter().zip(b)) {
                    prepare(&mut tile, part, a, b, shift);
                }
            }
            let mut passed = [0; TILE / PART];
            let parts = passed[..out.len() / PART].iter_mut();
            for (part, passed) in parts.enumerate() {
                *passed = passing(bytes, &tile, part);
            }
            for (pair, passed) in passed.chunks_exact(2).enumerate() {
                let mut passed = u64::from(passed[0]) | u64::from(passed[1]) << PART;
                while passed != 0 {
                    let at = pair * 2 * PART + passed.trailing_zeros() as usize;
                    passed &= passed - 1;
                    let sum = tile.sums[at / PART * PART + STORED[at % PART]];
                    if filter.passes_second(sum) {
                        (window.a, window.b) = (sum & 0xffff, sum >> 16);
                        return (moved + at + 1, true);
                    }
                }
            }
            moved += out.len();
        }
        (window.a, window.b) = (lane(last_a), lane(last_b));
    }
    (moved, false)
}

/// An array of what an expression is for each part. A macro, since closures have not the features of the function that they
/// are in.
macro_rules! parts {
    (|$part:ident| $each:expr) => {{
        let mut all = [_mm256_setzero_si256(); PARTS];
        for ($part, one) in all.iter_mut().enumerate() {
            *one = $each;
        }
        all
    }};
}

/// A half of the checksums of a part's positions, the even ones and the odd ones.
type Halves = [__m256i; 2];

/// Both halves of the checksums of a group's positions. `last` have those of the position before in each lane, and get those of
/// the last position.
///
/// # Safety
///
/// The processor has AVX2, and both slices have the length of a group.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums(
    out: &[u8],
    new: &[u8],
    length: u32,
    [last_a, last_b]: [&mut __m256i; 2],
) -> [[Halves; PARTS]; 2] {
    debug_assert_eq!((out.len(), new.len()), (GROUP, GROUP));
    // SAFETY: The processor has AVX2; each part of a group has as many bytes as are loaded, which may lie at any address.
    unsafe {
        let length = _mm256_set1_epi16(length as i16);
        let out = parts!(|part| _mm256_loadu_si256(out.as_ptr().add(part * PART).cast()));
        let new = parts!(|part| _mm256_loadu_si256(new.as_ptr().add(part * PART).cast()));
        let out_even = parts!(|part| even(out[part]));
        let out_odd = parts!(|part| odd(out[part]));
        let change_even = parts!(|part| _mm256_sub_epi16(even(new[part]), out_even[part]));
        let change_odd = parts!(|part| _mm256_sub_epi16(odd(new[part]), out_odd[part]));
        let change = parts!(|part| _mm256_add_epi16(change_even[part], change_odd[part]));
        let a_odd = onward(running(change), last_a);
        let a_even = parts!(|part| _mm256_sub_epi16(a_odd[part], change_odd[part]));

        let gone_even = parts!(|part| _mm256_mullo_epi16(out_even[part], length));
        let gone_odd = parts!(|part| _mm256_mullo_epi16(out_odd[part], length));
        let change_even = parts!(|part| _mm256_sub_epi16(a_even[part], gone_even[part]));
        let change_odd = parts!(|part| _mm256_sub_epi16(a_odd[part], gone_odd[part]));
        let change = parts!(|part| _mm256_add_epi16(change_even[part], change_odd[part]));
        let b_odd = onward(running(change), last_b);
        let b_even = parts!(|part| _mm256_sub_epi16(b_odd[part], change_odd[part]));
        [halves(a_even, a_odd), halves(b_even, b_odd)]
    }
}

fn halves(even: [__m256i; PARTS], odd: [__m256i; PARTS]) -> [Halves; PARTS] {
    std::array::from_fn(|part| [even[part], odd[part]])
}

/// Takes down what the filter is asked of a part's positions.
///
/// # Safety
///
/// The processor has AVX2, and there are more than `part` parts in a tile.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn prepare(tile: &mut Tile, part: usize, a: Halves, b: Halves, shift: u32) {
    debug_assert!((part + 1) * PART <= TILE);
    // SAFETY: The processor has AVX2; what is stored are the places of a part, of which there are more than `part`.
    unsafe {
        let by = _mm_cvtsi32_si128(shift as i32);
        let sums = [
            _mm256_unpacklo_epi16(a[0], b[0]),
            _mm256_unpackhi_epi16(a[0], b[0]),
            _mm256_unpacklo_epi16(a[1], b[1]),
            _mm256_unpackhi_epi16(a[1], b[1]),
        ];
        for (i, sums) in sums.into_iter().enumerate() {
            let at = part * PART + i * 8;
            _mm256_storeu_si256(tile.sums.as_mut_ptr().add(at).cast(), sums);
            let product = _mm256_mullo_epi32(sums, _mm256_set1_epi32(FIRST as i32));
            let places = _mm256_srl_epi32(product, by);
            _mm256_storeu_si256(tile.places.as_mut_ptr().add(at).cast(), places);
        }
        // The lowest byte of each checksum.
        let even = _mm256_and_si256(a[0], _mm256_set1_epi16(0xff));
        let lowest = _mm256_or_si256(even, _mm256_slli_epi16::<8>(a[1]));
        let four = _mm256_set1_epi8(15);
        let one = _mm256_and_si256(lowest, four);
        let two = _mm256_and_si256(_mm256_srli_epi16::<4>(lowest), four);
        let bits = _mm256_or_si256(
            _mm256_shuffle_epi8(table(&ONE), one),
            _mm256_shuffle_epi8(table(&TWO), two),
        );
        _mm256_storeu_si256(tile.bits.as_mut_ptr().add(part * PART).cast(), bits);
    }
}

/// Which positions of a part pass the filter's first stage, a bit for each.
///
/// # Safety
///
/// The processor has AVX2, there are more than `part` parts in the tile, and its places are numbers of `bytes`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn passing(bytes: &[u8], tile: &Tile, part: usize) -> u32 {
    debug_assert!((part + 1) * PART <= TILE);
    let places = &tile.places[part * PART..][..PART];
    // SAFETY: The processor has AVX2; what is loaded are the bits of a part, of which there are more than `part`.
    unsafe {
        let found = _mm256_set_m128i(sixteen::<16>(bytes, places), sixteen::<0>(bytes, places));
        let bits = _mm256_loadu_si256(tile.bits.as_ptr().add(part * PART).cast());
        let both = _mm256_cmpeq_epi8(_mm256_and_si256(found, bits), bits);
        _mm256_movemask_epi8(both) as u32
    }
}

/// The bytes that positions `FROM` to `FROM + 15` of a part have to do with.
///
/// # Safety
///
/// The processor has AVX2, there are a part's places, and all are numbers of `bytes`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sixteen<const FROM: usize>(bytes: &[u8], places: &[u32]) -> __m128i {
    let byte = |position: usize| {
        let place = places[STORED[FROM + position]] as usize;
        debug_assert!(place < bytes.len());
        // SAFETY: It is the number of a byte.
        unsafe { *bytes.get_unchecked(place) as i8 }
    };
    // SAFETY: The processor has AVX2.
    unsafe {
        _mm_setr_epi8(
            byte(0),
            byte(1),
            byte(2),
            byte(3),
            byte(4),
            byte(5),
            byte(6),
            byte(7),
            byte(8),
            byte(9),
            byte(10),
            byte(11),
            byte(12),
            byte(13),
            byte(14),
            byte(15),
        )
    }
}

/// A table that each half of a vector is looked up in.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn table(table: &[u8; 16]) -> __m256i {
    // SAFETY: The processor has AVX2; a table has sixteen bytes, which may lie at any address.
    unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())) }
}

/// The bytes at even positions as signed numbers.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn even(bytes: __m256i) -> __m256i {
    // SAFETY: The processor has AVX2.
    unsafe { odd(_mm256_slli_epi16::<8>(bytes)) }
}

/// The bytes at odd positions as signed numbers.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn odd(bytes: __m256i) -> __m256i {
    // SAFETY: The processor has AVX2.
    unsafe { _mm256_srai_epi16::<8>(bytes) }
}

/// In each lane of a part the sum of it and those before.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn running(x: [__m256i; PARTS]) -> [__m256i; PARTS] {
    // SAFETY: The processor has AVX2.
    unsafe {
        // Within each half.
        let y = parts!(|part| _mm256_slli_si256::<2>(x[part]));
        let x = parts!(|part| _mm256_add_epi16(x[part], y[part]));
        let y = parts!(|part| _mm256_slli_si256::<4>(x[part]));
        let x = parts!(|part| _mm256_add_epi16(x[part], y[part]));
        let y = parts!(|part| _mm256_slli_si256::<8>(x[part]));
        let x = parts!(|part| _mm256_add_epi16(x[part], y[part]));
        // The low half's sum goes to the high half.
        let top = _mm256_set1_epi16(0x0f0e);
        let y = parts!(|part| _mm256_shuffle_epi8(x[part], top));
        let y = parts!(|part| _mm256_permute2x128_si256::<0x08>(y[part], y[part]));
        parts!(|part| _mm256_add_epi16(x[part], y[part]))
    }
}

/// Running sums of each part that go on from `last` and from part to part. `last` becomes the last of all.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn onward(x: [__m256i; PARTS], last: &mut __m256i) -> [__m256i; PARTS] {
    // SAFETY: The processor has AVX2.
    unsafe {
        let whole = parts!(|part| in_all_lanes(x[part]));
        parts!(|part| {
            let before = *last;
            *last = _mm256_add_epi16(before, whole[part]);
            _mm256_add_epi16(x[part], before)
        })
    }
}

/// The last lane in all lanes.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn in_all_lanes(x: __m256i) -> __m256i {
    // SAFETY: The processor has AVX2.
    unsafe {
        let top = _mm256_permute4x64_epi64::<0xff>(x);
        _mm256_shuffle_epi8(top, _mm256_set1_epi16(0x0706))
    }
}

/// The number that is in all lanes.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn lane(x: __m256i) -> u32 {
    // SAFETY: The processor has AVX2.
    unsafe { _mm256_extract_epi16::<0>(x) as u32 & 0xffff }
}

/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn extend_steps(window: &mut Rolling, bytes: &[u8]) -> usize {
    let steps = bytes.chunks_exact(BYTES);
    let count = steps.len();
    // SAFETY: The processor has AVX2; each chunk has as many bytes as are loaded.
    unsafe {
        let one = _mm256_set1_epi8(1);
        let pair = _mm256_set1_epi16(1);
        // 32 for the first byte of a step, 1 for the last.
        let weights: [i8; BYTES] = std::array::from_fn(|i| (BYTES - i) as i8);
        let weights = _mm256_loadu_si256(weights.as_ptr().cast());
        let zero = _mm256_setzero_si256();
        // Of all steps: the bytes, the bytes by their weight in their step, the sum of bytes before each step.
        let (mut sum, mut weighted, mut before) = (zero, zero, zero);
        for step in steps {
            let x = _mm256_loadu_si256(step.as_ptr().cast());
            before = _mm256_add_epi32(before, sum);
            let (bytes, products) = (
                _mm256_maddubs_epi16(one, x),
                _mm256_maddubs_epi16(weights, x),
            );
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(bytes, pair));
            weighted = _mm256_add_epi32(weighted, _mm256_madd_epi16(products, pair));
        }
        let length = (count * BYTES) as u32;
        window.b = (window.b)
            .wrapping_add(window.a.wrapping_mul(length))
            .wrapping_add(total(before).wrapping_mul(BYTES as u32))
            .wrapping_add(total(weighted));
        window.a = window.a.wrapping_add(total(sum));
    }
    count * BYTES
}

/// The sum of all eight lanes.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn total(x: __m256i) -> u32 {
    let mut lanes = [0u32; 8];
    // SAFETY: The array has the vector's length, and may lie at any address.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), x) };
    lanes.into_iter().fold(0, u32::wrapping_add)
}
