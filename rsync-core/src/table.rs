// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table that a signature is searched by, level by level.
//!
//! 1. A 16-bit tag of the rolling checksum tells whether any block has that tag, and where the blocks that have it
//!    stand in a sorted list.
//! 2. In that stretch of the list, blocks with the very rolling checksum are looked for.
//! 3. Only for those is the strong checksum of the window computed and compared, by the matcher.
//!
//! Most positions of a target match nothing. Beside the tag, a bit filter over the whole 32 bits rejects all but a few of
//! them without leaving the processor's nearest caches; it never rejects a block that is there.

use crate::rolling::{Rolling, tag};
use crate::signature::Signature;

/// How many blocks of equal rolling checksum are compared at one position. A basis made to collide would otherwise
/// cost time quadratic in its length.
pub const MAX_CHAIN: usize = 1024;

/// Below this many blocks a binary search over the list takes the place of the index by tag.
const INDEX_FROM: usize = 512;

/// Filter bits a block; one position in so many passes by chance.
const FILTER_BITS: usize = 32;

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
    // One bit a tag.
    tags: Box<[u64; 1024]>,
    filter: Box<[u64]>,
    filter_shift: u32,
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

        let filter_bits = (list.len() * FILTER_BITS)
            .next_power_of_two()
            .clamp(1 << 10, 1 << 26);
        let filter_shift = 32 - filter_bits.ilog2();
        let mut filter = vec![0u64; filter_bits / 64].into_boxed_slice();
        let mut tags = Box::new([0u64; 1 << 10]);
        for candidate in &list {
            let bit = filter_index(candidate.sum, filter_shift);
            filter[bit / 64] |= 1 << (bit % 64);
            tags[usize::from(candidate.tag) / 64] |= 1 << (candidate.tag % 64);
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
            tags,
            filter,
            filter_shift,
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

    /// First level: whether some block in the table has this tag.
    #[inline]
    pub fn has_tag(&self, tag: u16) -> bool {
        self.tag_bit(tag) != 0
    }

    #[inline]
    fn tag_bit(&self, tag: u16) -> u64 {
        self.tags[usize::from(tag) / 64] >> (tag % 64) & 1
    }

    #[inline]
    fn filter_bit(&self, sum: u32) -> u64 {
        let bit = filter_index(sum, self.filter_shift);
        self.filter[bit / 64] >> (bit % 64) & 1
    }

    /// Whether some block in the table may have this rolling checksum; false is certain.
    #[inline]
    pub fn may_have(&self, sum: u32) -> bool {
        self.filter_bit(sum) != 0
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

    /// Rolls a window of `length` bytes on over `out.len()` positions, byte `out[i]` leaving and `new[i]` entering, until
    /// its checksum may be in the table.
    ///
    /// Returns by how many positions it moved and whether the last of them may match; `hits` grows by the number
    /// of positions whose tag is in the table.
    pub fn scan(
        &self,
        window: &mut Rolling,
        out: &[u8],
        new: &[u8],
        length: u32,
        hits: &mut u64,
    ) -> (usize, bool) {
        let mut sums = *window;
        let mut found = 0u64;
        let mut moved = out.len().min(new.len());
        let mut may_match = false;
        for (i, (&out, &new)) in out.iter().zip(new).enumerate() {
            sums.roll(out, new, length);
            let sum = sums.value();
            // Arithmetic, not branches: whether a tag is there is as good as random.
            let tag_bit = self.tag_bit(tag(sum));
            found += tag_bit;
            if tag_bit & self.filter_bit(sum) != 0 {
                moved = i + 1;
                may_match = true;
                break;
            }
        }
        *window = sums;
        *hits += found;
        (moved, may_match)
    }
}

/// The filter's bit for a checksum: the top bits of a product with the golden ratio, which spreads both halves.
#[inline]
fn filter_index(sum: u32, shift: u32) -> usize {
    (sum.wrapping_mul(0x9e37_79b1) >> shift) as usize
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
                    prop_assert!(table.has_tag(tag(sum)) && table.may_have(sum));
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

        #[test]
        fn scan_stops_where_stepping_would(
            basis in proptest::collection::vec(0u8..4, 0..100),
            target in proptest::collection::vec(0u8..4, 4..200),
        ) {
            const LENGTH: usize = 4;
            let table = table(&basis, LENGTH as u32);
            let (out, new) = (&target[..target.len() - LENGTH], &target[LENGTH..]);
            let mut window = Rolling::of(&target[..LENGTH]);
            let mut hits = 0;
            let (moved, may_match) = table.scan(&mut window, out, new, LENGTH as u32, &mut hits);

            let sums: Vec<u32> = target.windows(LENGTH).skip(1).map(|window| Rolling::of(window).value()).collect();
            let stop = sums.iter().position(|sum| table.has_tag(tag(*sum)) && table.may_have(*sum));
            prop_assert_eq!(moved, stop.map_or(sums.len(), |stop| stop + 1));
            prop_assert_eq!(may_match, stop.is_some());
            let expected = sums[..moved].iter().filter(|sum| table.has_tag(tag(**sum))).count() as u64;
            prop_assert_eq!(hits, expected);
        }
    }
}
