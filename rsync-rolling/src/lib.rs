// SPDX-License-Identifier: MIT OR Apache-2.0

//! rsync's rolling checksum, and the search of a target for windows that have one of many.
//!
//! A crate of its own, because it is the one part of the engine with `unsafe` in it: on x86-64 processors with AVX2 both are
//! computed many bytes a step. Everywhere else, and where a step does not fit, plain Rust does the same;
//! the tests hold both to the definition.
//!
//! # Examples
//!
//! ```
//! use rsync_rolling::{Filter, Rolling, scan};
//!
//! let target = b"a needle in a haystack";
//! let mut filter = Filter::new(1);
//! filter.insert(Rolling::of(b"hay").value());
//! let mut window = Rolling::of(&target[..3]);
//! let (out, new) = (&target[..target.len() - 3], &target[3..]);
//! let (moved, may_match) = scan(&filter, &mut window, out, new, 3);
//! assert!(may_match);
//! assert_eq!(&target[moved..][..3], b"hay");
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
mod filter;
mod rolling;

pub use filter::Filter;
pub use rolling::Rolling;

/// Rolls a window of `length` bytes on over as many positions as both slices have, byte `out[i]` leaving and `new[i]`
/// entering, until the filter lets its checksum pass.
///
/// Returns by how many positions it moved, and whether the last of them may match.
pub fn scan(
    filter: &Filter,
    window: &mut Rolling,
    out: &[u8],
    new: &[u8],
    length: u32,
) -> (usize, bool) {
    let count = out.len().min(new.len());
    let (out, new) = (&out[..count], &new[..count]);
    #[cfg(target_arch = "x86_64")]
    let done = match avx2::scan(filter, window, out, new, length) {
        (moved, true) => return (moved, true),
        (moved, false) => moved,
    };
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    let (moved, may_match) = step(filter, window, &out[done..], &new[done..], length);
    (done + moved, may_match)
}

/// [`scan`] byte by byte.
fn step(
    filter: &Filter,
    window: &mut Rolling,
    out: &[u8],
    new: &[u8],
    length: u32,
) -> (usize, bool) {
    for (i, (&out, &new)) in out.iter().zip(new).enumerate() {
        window.roll(out, new, length);
        if filter.may_have(window.value()) {
            return (i + 1, true);
        }
    }
    (out.len(), false)
}

#[cfg(test)]
mod tests;
