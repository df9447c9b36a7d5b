// SPDX-License-Identifier: MIT OR Apache-2.0

//! The signature of a basis: for each block its rolling and its (shortened) strong checksum.

use crate::block::Layout;
use crate::strong::BlockSum;
use rsync_rolling::Rolling;

/// The checksums of all blocks of a basis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    layout: Layout,
    sum: BlockSum,
    rolling: Vec<u32>,
    // strong_length bytes a block, end to end.
    strong: Vec<u8>,
}

impl Signature {
    /// The signature of a basis that is in memory.
    ///
    /// `sum` is how its strong checksums are computed, which may be shorter than the layout asks for. The layout's size
    /// must be the basis' length.
    ///
    /// # Examples
    ///
    /// ```
    /// use rsync_core::{block::Layout, signature::Signature, strong::BlockSum};
    ///
    /// let basis = b"123abcdefg";
    /// let signature = Signature::of(basis, Layout::new(10, Some(3))?, BlockSum::default()).expect("sizes agree");
    /// assert_eq!(signature.layout().count(), 4);
    /// # Ok::<(), rsync_core::block::LayoutError>(())
    /// ```
    pub fn of(basis: &[u8], layout: Layout, sum: BlockSum) -> Option<Self> {
        let mut builder = Builder::new(layout, sum);
        builder.push(basis);
        builder.finish()
    }

    /// How the basis is cut.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How its strong checksums are computed.
    pub fn sum(&self) -> BlockSum {
        self.sum
    }

    /// The rolling checksum of a block; `None` when there is no such block.
    pub fn rolling(&self, block: u32) -> Option<u32> {
        self.rolling.get(block as usize).copied()
    }

    /// The shortened strong checksum of a block; `None` when there is no such block.
    pub fn strong(&self, block: u32) -> Option<&[u8]> {
        let length = self.layout.strong_length();
        let start = (block as usize).checked_mul(length)?;
        self.strong.get(start..start.checked_add(length)?)
    }

    /// Bytes that the checksums take, as a measure of what a peer would be sent.
    pub fn weight(&self) -> u64 {
        (self.rolling.len() * 4 + self.strong.len()) as u64
    }
}

/// Makes a [`Signature`] of a basis that comes in pieces.
#[derive(Debug)]
pub struct Builder {
    signature: Signature,
    // The start of a block whose end has not come yet.
    partial: Vec<u8>,
    seen: u64,
}

impl Builder {
    /// A builder for a basis cut as `layout` says.
    pub fn new(layout: Layout, sum: BlockSum) -> Self {
        Self::with_room(layout, sum, layout.count() as usize)
    }

    /// A builder that is given no more than `count` blocks, if it is to be [appended](Self::append).
    pub(crate) fn with_room(layout: Layout, sum: BlockSum, count: usize) -> Self {
        let layout = layout.limited(sum);
        Self {
            signature: Signature {
                layout,
                sum,
                rolling: Vec::with_capacity(count),
                strong: Vec::with_capacity(count * layout.strong_length()),
            },
            partial: Vec::new(),
            seen: 0,
        }
    }

    /// The next piece of the basis. Bytes beyond the layout's size are counted and make [`finish`](Self::finish) fail.
    pub fn push(&mut self, mut data: &[u8]) {
        self.seen += data.len() as u64;
        if self.seen > self.signature.layout.size() {
            return;
        }
        let length = self.signature.layout.length();
        if !self.partial.is_empty() {
            let (head, rest) = data.split_at(data.len().min(length - self.partial.len()));
            self.partial.extend_from_slice(head);
            data = rest;
            if self.partial.len() < length {
                return;
            }
            let block = std::mem::take(&mut self.partial);
            self.block(&block);
            self.partial = block;
            self.partial.clear();
        }
        let mut blocks = data.chunks_exact(length);
        for block in &mut blocks {
            self.block(block);
        }
        self.partial.extend_from_slice(blocks.remainder());
    }

    fn block(&mut self, data: &[u8]) {
        let signature = &mut self.signature;
        let strong = signature.sum.of(data);
        signature.rolling.push(Rolling::of(data).value());
        signature
            .strong
            .extend_from_slice(&strong.as_bytes()[..signature.layout.strong_length()]);
    }

    /// Appends what another builder of the same signature was given: whole blocks, but for the last ones of the basis, after
    /// whole blocks.
    pub(crate) fn append(&mut self, other: Self) {
        debug_assert!(self.partial.is_empty(), "the last block is not complete");
        self.seen += other.seen;
        self.partial = other.partial;
        self.signature.rolling.extend(other.signature.rolling);
        self.signature.strong.extend(other.signature.strong);
    }

    /// The signature; `None` when the basis was shorter or longer than the layout says.
    pub fn finish(mut self) -> Option<Signature> {
        if self.seen != self.signature.layout.size() {
            return None;
        }
        if !self.partial.is_empty() {
            let block = std::mem::take(&mut self.partial);
            self.block(&block);
        }
        Some(self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strong::Algorithm;
    use proptest::prelude::*;

    #[test]
    fn a_basis_of_another_size_has_no_signature() {
        let layout = Layout::new(4, Some(3)).unwrap();
        assert!(Signature::of(b"abc", layout, BlockSum::default()).is_none());
        assert!(Signature::of(b"abcde", layout, BlockSum::default()).is_none());
        assert!(Signature::of(b"abcd", layout, BlockSum::default()).is_some());
    }

    #[test]
    fn blocks_beyond_the_last_have_no_sums() {
        let signature = Signature::of(
            b"abcd",
            Layout::new(4, Some(3)).unwrap(),
            BlockSum::default(),
        )
        .unwrap();
        assert!(signature.strong(1).is_some() && signature.rolling(1).is_some());
        assert!(signature.strong(2).is_none() && signature.rolling(2).is_none());
        assert!(signature.strong(u32::MAX).is_none());
    }

    #[test]
    fn strong_sums_are_no_longer_than_they_are() {
        let layout = Layout::new(4, Some(3)).unwrap().full_strong();
        for (algorithm, length) in [
            (Algorithm::Xxh3, 8),
            (Algorithm::Md5, 16),
            (Algorithm::Sha1, 16),
        ] {
            let sum = BlockSum::new(algorithm, 0);
            let signature = Signature::of(b"abcd", layout, sum).unwrap();
            assert_eq!(
                signature.strong(1),
                Some(&sum.of(b"d").as_bytes()[..length])
            );
        }
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_the_pieces(
            basis in proptest::collection::vec(any::<u8>(), 0..500),
            length in 1u32..100,
            cuts in proptest::collection::vec(0usize..500, 0..8),
            seed: u32,
            algorithm in proptest::sample::select(&Algorithm::ALL[..]),
        ) {
            let sum = BlockSum::new(algorithm, seed);
            let layout = Layout::new(basis.len() as u64, Some(length)).unwrap().full_strong();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(basis.len())).collect();
            cuts.sort_unstable();
            let mut builder = Builder::new(layout, sum);
            let mut start = 0;
            for cut in cuts.into_iter().chain([basis.len()]) {
                builder.push(&basis[start..cut]);
                start = cut;
            }
            let signature = builder.finish().unwrap();
            for (block, data) in basis.chunks(length as usize).enumerate() {
                prop_assert_eq!(signature.rolling(block as u32), Some(Rolling::of(data).value()));
                let strong = sum.of(data);
                let kept = strong.as_bytes().len().min(16);
                prop_assert_eq!(signature.strong(block as u32), Some(&strong.as_bytes()[..kept]));
            }
            prop_assert_eq!(signature.layout().count() as usize, basis.chunks(length as usize).count());
        }
    }
}
