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
//! are running sums, which take four shifts and additions for a vector.

// Until Rust 1.87 every intrinsic is unsafe, from then on only those that take an address. And until 1.86 closures have not the
// features of the function that they are in: there are none here.
#![allow(unused_unsafe)]

use crate::filter::{FIRST, Filter};
use crate::rolling::Rolling;
use std::arch::x86_64::*;

/// Positions a step of the search.
const LANES: usize = 16;

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
    if !is_x86_feature_detected!("avx2") {
        return (0, false);
    }
    // SAFETY: The processor has AVX2.
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

/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn scan_steps(
    filter: &Filter,
    window: &mut Rolling,
    out: &[u8],
    new: &[u8],
    length: u32,
) -> (usize, bool) {
    let (words, shift) = filter.first_stage();
    let mut moved = 0;
    // SAFETY: The processor has AVX2; words and shift are the filter's own, which says that they suit each other.
    unsafe {
        let length = _mm256_set1_epi16(length as i16);
        let shifts = [
            _mm_cvtsi32_si128(shift as i32),
            _mm_cvtsi32_si128(shift as i32 - 5),
            _mm_cvtsi32_si128(shift as i32 - 10),
        ];
        let mut last_a = _mm256_set1_epi16(window.a as i16);
        let mut last_b = _mm256_set1_epi16(window.b as i16);
        for (out, new) in out.chunks_exact(LANES).zip(new.chunks_exact(LANES)) {
            let (out, new) = (signed(out), signed(new));
            let a = _mm256_add_epi16(running(_mm256_sub_epi16(new, out)), last_a);
            let gone = _mm256_mullo_epi16(out, length);
            let b = _mm256_add_epi16(running(_mm256_sub_epi16(a, gone)), last_b);
            (last_a, last_b) = (last(a), last(b));

            // The checksums of positions 0 to 3 and 8 to 11, and of 4 to 7 and 12 to 15.
            let low = passing(words, &shifts, _mm256_unpacklo_epi16(a, b));
            let high = passing(words, &shifts, _mm256_unpackhi_epi16(a, b));
            let mut passed = low & 15 | (high & 15) << 4 | (low >> 4) << 8 | (high >> 4) << 12;
            if passed != 0 {
                let (a, b) = (lanes(a), lanes(b));
                while passed != 0 {
                    let at = passed.trailing_zeros() as usize;
                    passed &= passed - 1;
                    let (a, b) = (u32::from(a[at]), u32::from(b[at]));
                    if filter.passes_second(a | b << 16) {
                        *window = Rolling { a, b };
                        return (moved + at + 1, true);
                    }
                }
            }
            moved += LANES;
        }
        *window = Rolling {
            a: u32::from(lanes(last_a)[0]),
            b: u32::from(lanes(last_b)[0]),
        };
    }
    (moved, false)
}

/// Which of eight checksums pass the filter's first stage, a bit for each.
///
/// # Safety
///
/// The processor has AVX2, and the first of `shifts` makes of a product the number of a word in `words`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn passing(words: &[u32], shifts: &[__m128i; 3], sums: __m256i) -> u32 {
    // SAFETY: The processor has AVX2. `place` is the number of a word, and below 2^31.
    unsafe {
        let product = _mm256_mullo_epi32(sums, _mm256_set1_epi32(FIRST as i32));
        let place = _mm256_srl_epi32(product, shifts[0]);
        let one = _mm256_srl_epi32(product, shifts[1]);
        let other = _mm256_srl_epi32(product, shifts[2]);
        let word = _mm256_i32gather_epi32::<4>(words.as_ptr().cast(), place);
        // The sign of a lane is what is looked at.
        let top = _mm256_set1_epi32(31);
        let one = _mm256_sllv_epi32(word, _mm256_andnot_si256(one, top));
        let other = _mm256_sllv_epi32(word, _mm256_andnot_si256(other, top));
        let both = _mm256_and_si256(one, other);
        _mm256_movemask_ps(_mm256_castsi256_ps(both)) as u32
    }
}

/// The sixteen bytes of a chunk as signed numbers.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn signed(chunk: &[u8]) -> __m256i {
    debug_assert_eq!(chunk.len(), LANES);
    // SAFETY: The chunk has sixteen bytes, which may lie at any address; the processor has AVX2.
    unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(chunk.as_ptr().cast())) }
}

/// In each lane the sum of it and those before.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn running(x: __m256i) -> __m256i {
    // SAFETY: The processor has AVX2.
    unsafe {
        // Within each half.
        let x = _mm256_add_epi16(x, _mm256_slli_si256::<2>(x));
        let x = _mm256_add_epi16(x, _mm256_slli_si256::<4>(x));
        let x = _mm256_add_epi16(x, _mm256_slli_si256::<8>(x));
        // The low half's sum goes to the high half.
        let low = _mm256_permute2x128_si256::<0x08>(x, x);
        let top = _mm256_set1_epi16(0x0f0e);
        _mm256_add_epi16(x, _mm256_shuffle_epi8(low, top))
    }
}

/// The last lane in all lanes.
///
/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn last(x: __m256i) -> __m256i {
    // SAFETY: The processor has AVX2.
    unsafe {
        let top = _mm256_permute4x64_epi64::<0xff>(x);
        _mm256_shuffle_epi8(top, _mm256_set1_epi16(0x0706))
    }
}

/// # Safety
///
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn lanes(x: __m256i) -> [u16; LANES] {
    let mut lanes = [0; LANES];
    // SAFETY: The array has the vector's length, and may lie at any address.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), x) };
    lanes
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
