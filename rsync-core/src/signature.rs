// SPDX-License-Identifier: MIT OR Apache-2.0

//! The signature of a basis: for each block its rolling and its (shortened) strong checksum.

use crate::block::Layout;
use crate::rolling::Rolling;
use crate::strong;

/// The checksums of all blocks of a basis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    layout: Layout,
    seed: u32,
    rolling: Vec<u32>,
    // strong_length bytes a block, end to end.
    strong: Vec<u8>,
}

impl Signature {
    /// The signature of a basis that is in memory.
    ///
    /// `seed` goes into each strong checksum; 0 for none. The layout's size must be the basis' length.
    ///
    /// # Examples
    ///
    /// ```
    /// use rsync_core::{block::Layout, signature::Signature};
    ///
    /// let basis = b"123abcdefg";
    /// let signature = Signature::of(basis, Layout::new(10, Some(3))?, 0).expect("sizes agree");
    /// assert_eq!(signature.layout().count(), 4);
    /// # Ok::<(), rsync_core::block::LayoutError>(())
    /// ```
    pub fn of(basis: &[u8], layout: Layout, seed: u32) -> Option<Self> {
        let mut builder = Builder::new(layout, seed);
        builder.push(basis);
        builder.finish()
    }

    /// How the basis is cut.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What went into each strong checksum first; 0 for nothing.
    pub fn seed(&self) -> u32 {
        self.seed
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
    pub fn new(layout: Layout, seed: u32) -> Self {
        let count = layout.count() as usize;
        Self {
            signature: Signature {
                layout,
                seed,
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
        let strong = strong::block_sum(signature.seed, data);
        signature.rolling.push(Rolling::of(data).value());
        signature
            .strong
            .extend_from_slice(&strong[..signature.layout.strong_length()]);
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
    use proptest::prelude::*;

    #[test]
    fn a_basis_of_another_size_has_no_signature() {
        let layout = Layout::new(4, Some(3)).unwrap();
        assert!(Signature::of(b"abc", layout, 0).is_none());
        assert!(Signature::of(b"abcde", layout, 0).is_none());
        assert!(Signature::of(b"abcd", layout, 0).is_some());
    }

    #[test]
    fn blocks_beyond_the_last_have_no_sums() {
        let signature = Signature::of(b"abcd", Layout::new(4, Some(3)).unwrap(), 0).unwrap();
        assert!(signature.strong(1).is_some() && signature.rolling(1).is_some());
        assert!(signature.strong(2).is_none() && signature.rolling(2).is_none());
        assert!(signature.strong(u32::MAX).is_none());
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_the_pieces(
            basis in proptest::collection::vec(any::<u8>(), 0..500),
            length in 1u32..100,
            cuts in proptest::collection::vec(0usize..500, 0..8),
            seed: u32,
        ) {
            let layout = Layout::new(basis.len() as u64, Some(length)).unwrap().full_strong();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(basis.len())).collect();
            cuts.sort_unstable();
            let mut builder = Builder::new(layout, seed);
            let mut start = 0;
            for cut in cuts.into_iter().chain([basis.len()]) {
                builder.push(&basis[start..cut]);
                start = cut;
            }
            let signature = builder.finish().unwrap();
            for (block, data) in basis.chunks(length as usize).enumerate() {
                prop_assert_eq!(signature.rolling(block as u32), Some(Rolling::of(data).value()));
                let strong = strong::block_sum(seed, data);
                prop_assert_eq!(signature.strong(block as u32), Some(&strong[..]));
            }
            prop_assert_eq!(signature.layout().count() as usize, basis.chunks(length as usize).count());
        }
    }
}
