// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table that a signature is searched by, level by level.
//!
//! 1. A filter over the rolling checksums rejects nearly all positions of a target that match nothing, without leaving
//!    the processor's nearest caches; it never rejects a block that is there.
//! 2. A 16-bit tag of the checksum says where the blocks that have it stand in a sorted list. In that stretch, blocks
//!    with the very rolling checksum are looked for.
//! 3. Only for those is the strong checksum of the window computed and compared, by the matcher.

use crate::signature::Signature;
use rsync_rolling::Filter;

/// How many blocks of equal rolling checksum are compared at one position. A basis made to collide would otherwise
/// cost time quadratic in its length.
pub const MAX_CHAIN: usize = 1024;

/// Below this many blocks a binary search over the list takes the place of the index by tag.
const INDEX_FROM: usize = 512;

/// A block in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    tag: u16,
    sum: u32,
    block: u32,
}

impl Candidate {
    /// The block's number.
    pub fn block(&self) -> u32 {
        self.block
    }
}

/// A signature made searchable. A last block that is shorter than the others is not in the table: it can only match
/// at the end of a target.
#[derive(Debug)]
pub struct Table {
    signature: Signature,
    filter: Filter,
    // Where each tag's stretch of the list starts, and the end; empty for a short list.
    starts: Box<[u32]>,
    // Sorted by tag, then sum, then block.
    list: Box<[Candidate]>,
}

impl Table {
    /// A table over `signature`.
    pub fn new(signature: Signature) -> Self {
        let layout = signature.layout();
        let full = layout.count() - u32::from(layout.remainder() != 0);
        let mut list: Vec<Candidate> = (0..full)
            .filter_map(|block| {
                signature.rolling(block).map(|sum| Candidate {
                    tag: tag(sum),
                    sum,
                    block,
                })
            })
            .collect();
        list.sort_unstable();

        let mut filter = Filter::new(list.len());
        for candidate in &list {
            filter.insert(candidate.sum);
        }

        let mut starts = Vec::new();
        if list.len() >= INDEX_FROM {
            starts.resize((1 << 16) + 1, 0u32);
            for candidate in &list {
                starts[usize::from(candidate.tag) + 1] += 1;
            }
            let mut sum = 0;
            for start in &mut starts {
                sum += *start;
                *start = sum;
            }
        }
        Self {
            signature,
            filter,
            starts: starts.into(),
            list: list.into(),
        }
    }

    /// The signature that is searched.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Whether no block is in the table.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// First level: what lets the checksums of all blocks in the table pass.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Second level: the blocks with this rolling checksum, in ascending order.
    pub fn candidates(&self, sum: u32) -> &[Candidate] {
        let key = (tag(sum), sum);
        let stretch = match self.starts.get(usize::from(key.0)..usize::from(key.0) + 2) {
            Some(ends) => &self.list[ends[0] as usize..ends[1] as usize],
            None => &self.list[..],
        };
        let start = stretch.partition_point(|candidate| (candidate.tag, candidate.sum) < key);
        let rest = &stretch[start..];
        &rest[..rest.partition_point(|candidate| (candidate.tag, candidate.sum) == key)]
    }
}

/// The 16-bit tag of a checksum, the key of the second level of the search: both halves added up.
#[inline]
fn tag(sum: u32) -> u16 {
    (sum.wrapping_add(sum >> 16) & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Layout;
    use crate::strong::BlockSum;
    use proptest::prelude::*;

    fn table(basis: &[u8], length: u32) -> Table {
        Table::new(
            Signature::of(
                basis,
                Layout::new(basis.len() as u64, Some(length)).unwrap(),
                BlockSum::default(),
            )
            .unwrap(),
        )
    }

    fn naive(table: &Table, sum: u32) -> Vec<u32> {
        let layout = *table.signature().layout();
        let full = layout.count() - u32::from(layout.remainder() != 0);
        (0..full)
            .filter(|block| table.signature().rolling(*block) == Some(sum))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        // Lengths of 1 and 2 make many equal sums; up to 3000 blocks reach the index by tag.
        #[test]
        fn every_block_is_found_by_its_sum(basis in proptest::collection::vec(any::<u8>(), 0..3000), length in 1u32..4) {
            let table = table(&basis, length);
            for block in 0..table.signature().layout().count() {
                let sum = table.signature().rolling(block).unwrap();
                let expected = naive(&table, sum);
                let found: Vec<u32> = table.candidates(sum).iter().map(Candidate::block).collect();
                if !expected.is_empty() {
                    prop_assert!(table.filter().may_have(sum));
                }
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn other_sums_find_nothing(basis in proptest::collection::vec(any::<u8>(), 0..3000), sums: [u32; 32]) {
            let table = table(&basis, 3);
            for sum in sums {
                let found: Vec<u32> = table.candidates(sum).iter().map(Candidate::block).collect();
                prop_assert_eq!(found, naive(&table, sum));
            }
        }
    }
}
