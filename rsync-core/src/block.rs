// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a basis is cut into blocks, and how many bytes of strong checksum each block gets.
//!
//! The figures are rsync's: 700 bytes below 490 000 bytes, above about the square root of the length, rounded
//! down to a multiple of 8, at most 128 KiB; strong sums just long enough that a chance match over the whole file
//! is improbable, and of full length when a file is transferred again.

use crate::strong::{self, BlockSum};
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

/// The block length of small files, bytes.
pub const DEFAULT_LENGTH: u32 = 700;

/// The longest block that a peer may ask for, bytes.
pub const MAX_LENGTH: u32 = 128 * 1024;

/// The fewest bytes of strong checksum a block gets.
pub const MIN_STRONG: u8 = 2;

/// The block length, bytes, for a basis of `size` bytes when none is asked for.
///
/// # Examples
///
/// ```
/// use rsync_core::block::default_length;
///
/// assert_eq!(default_length(489_999), 700);
/// assert_eq!(default_length(1 << 30), 32_768);
/// assert_eq!(default_length(u64::MAX), 131_072);
/// ```
pub fn default_length(size: u64) -> u32 {
    let root = size.isqrt().min(u64::from(MAX_LENGTH)) as u32 & !7;
    root.max(DEFAULT_LENGTH)
}

/// Why a layout was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// A block length of zero or above [`MAX_LENGTH`].
    BlockLength(u32),
    /// A strong checksum shorter than [`MIN_STRONG`] or longer than [`strong::MAX_BLOCK_LENGTH`].
    StrongLength(u8),
    /// More than `u32::MAX` blocks.
    TooManyBlocks {
        /// The length of the basis, bytes.
        size: u64,
        /// The block length asked for, bytes.
        length: u32,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlockLength(length) => {
                write!(
                    f,
                    "block length {length} is not in 1..={MAX_LENGTH}: choose one that is"
                )
            }
            Self::StrongLength(length) => {
                write!(
                    f,
                    "strong checksum length {length} is not in {MIN_STRONG}..={}",
                    strong::MAX_BLOCK_LENGTH
                )
            }
            Self::TooManyBlocks { size, length } => {
                write!(
                    f,
                    "{size} bytes in blocks of {length} are too many blocks: choose a longer block length"
                )
            }
        }
    }
}

impl std::error::Error for LayoutError {}

/// A basis of `size` bytes cut into blocks of one length, the last of which may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u64,
    length: NonZeroU32,
    strong: u8,
}

impl Layout {
    /// A layout with strong sums as long as a first attempt needs.
    ///
    /// `length` is the block length in bytes; `None` takes [`default_length`].
    ///
    /// # Errors
    ///
    /// [`LayoutError`] when `length` is out of range or makes too many blocks.
    pub fn new(size: u64, length: Option<u32>) -> Result<Self, LayoutError> {
        let length = length.unwrap_or_else(|| default_length(size));
        Self::with_strong(size, length, strong_length(size, length))
    }

    /// The same layout with full-length strong sums, for the second attempt.
    #[must_use]
    pub fn full_strong(self) -> Self {
        Self {
            strong: strong::MAX_BLOCK_LENGTH as u8,
            ..self
        }
    }

    /// The same layout with no more of each strong sum than there is of it.
    #[must_use]
    pub(crate) fn limited(self, sum: BlockSum) -> Self {
        Self {
            strong: self.strong.min(sum.length() as u8),
            ..self
        }
    }

    /// A layout whose numbers came from elsewhere, a peer or a test.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] when a number is out of range.
    pub fn with_strong(size: u64, length: u32, strong: u8) -> Result<Self, LayoutError> {
        let bad_length = LayoutError::BlockLength(length);
        if length > MAX_LENGTH {
            return Err(bad_length);
        }
        let length = NonZeroU32::new(length).ok_or(bad_length)?;
        if !(MIN_STRONG..=strong::MAX_BLOCK_LENGTH as u8).contains(&strong) {
            return Err(LayoutError::StrongLength(strong));
        }
        if size.div_ceil(u64::from(length.get())) > u64::from(u32::MAX) {
            return Err(LayoutError::TooManyBlocks {
                size,
                length: length.get(),
            });
        }
        Ok(Self {
            size,
            length,
            strong,
        })
    }

    /// The length of the basis, bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The length of every block but perhaps the last, bytes.
    pub fn length(&self) -> usize {
        self.length.get() as usize
    }

    /// Bytes of strong checksum kept for a block.
    pub fn strong_length(&self) -> usize {
        usize::from(self.strong)
    }

    /// How many blocks there are.
    pub fn count(&self) -> u32 {
        self.size.div_ceil(u64::from(self.length.get())) as u32
    }

    /// The length of the last block when it is shorter than the others, else 0.
    pub fn remainder(&self) -> usize {
        (self.size % u64::from(self.length.get())) as usize
    }

    /// Where `count` blocks from `first` on lie in the basis; `None` when not all of them exist.
    pub fn range(&self, first: u32, count: u32) -> Option<Range<u64>> {
        let end = first
            .checked_add(count)
            .filter(|end| *end <= self.count())?;
        let length = u64::from(self.length.get());
        let start = (u64::from(first) * length).min(self.size);
        Some(start..(u64::from(end) * length).min(self.size))
    }
}

/// Bytes of strong checksum that keep a chance match over a file of `size` bytes improbable.
fn strong_length(size: u64, length: u32) -> u8 {
    let log2 = |value: u64| i64::from(value.max(1).ilog2());
    // Ten bits of margin, the number of (position, block) pairs, less the 32 bits of the rolling checksum.
    let bits = 10 + 2 * log2(size) - log2(u64::from(length)) + 1 - 32;
    ((bits + 7) / 8).clamp(i64::from(MIN_STRONG), strong::MAX_BLOCK_LENGTH as i64) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn block_length_starts_to_grow_at_700_squared() {
        assert_eq!(default_length(0), 700);
        assert_eq!(default_length(490_000), 700);
        assert_eq!(default_length(704 * 704 - 1), 700);
        assert_eq!(default_length(704 * 704), 704);
        assert_eq!(default_length(1 << 34), 131_072);
        assert_eq!(default_length(1 << 40), 131_072);
    }

    #[test]
    fn strong_sums_grow_with_the_file() {
        assert_eq!(strong_length(0, 700), 2);
        assert_eq!(strong_length(1 << 20, 1024), 2);
        assert_eq!(strong_length(1 << 30, 32_768), 3);
        assert_eq!(strong_length(1 << 40, 131_072), 6);
        assert_eq!(strong_length(u64::MAX, 1), 14);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(Layout::new(10, Some(0)), Err(LayoutError::BlockLength(0)));
        assert_eq!(
            Layout::new(10, Some(MAX_LENGTH + 1)),
            Err(LayoutError::BlockLength(MAX_LENGTH + 1))
        );
        assert_eq!(
            Layout::with_strong(10, 700, 17),
            Err(LayoutError::StrongLength(17))
        );
        assert_eq!(
            Layout::with_strong(10, 700, 1),
            Err(LayoutError::StrongLength(1))
        );
        assert!(matches!(
            Layout::new(1 << 33, Some(1)),
            Err(LayoutError::TooManyBlocks { .. })
        ));
    }

    #[test]
    fn an_empty_basis_has_no_blocks() {
        let layout = Layout::new(0, None).unwrap();
        assert_eq!((layout.count(), layout.remainder()), (0, 0));
        assert_eq!(layout.range(0, 0), Some(0..0));
        assert_eq!(layout.range(0, 1), None);
    }

    proptest! {
        #[test]
        fn blocks_cover_the_basis(size in 0u64..1_000_000, length in 1u32..5000) {
            let layout = Layout::new(size, Some(length)).unwrap();
            let mut end = 0;
            for block in 0..layout.count() {
                let range = layout.range(block, 1).unwrap();
                prop_assert_eq!(range.start, end);
                prop_assert!(range.end > range.start);
                end = range.end;
            }
            prop_assert_eq!(end, size);
            prop_assert_eq!(layout.range(0, layout.count()), Some(0..size));
            prop_assert_eq!(layout.range(layout.count(), 0), Some(size..size));
            prop_assert_eq!(layout.range(layout.count(), 1), None);
            prop_assert_eq!(layout.range(u32::MAX, u32::MAX), None);
        }
    }
}
