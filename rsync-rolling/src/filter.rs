// SPDX-License-Identifier: MIT OR Apache-2.0

//! A set of checksums that is asked for each position of a target.

/// The bits that a stage has.
struct Size {
    /// For a checksum that is in the set, as long as there are no more than `near`.
    many: usize,
    near: usize,
    /// But never fewer than these.
    few: usize,
}

/// Each position of a target looks at a byte of it: 16 KiB, and 32 for as many blocks as 256 MiB have, stay in the
/// processor's first cache for the most part. To fetch a byte from the second takes as long as all else about a position.
const FIRST_SIZE: Size = Size {
    many: 128,
    near: 1 << 17,
    few: 16,
};

/// What passes by chance is looked at only here: 256 KiB stay in the second cache.
const SECOND_SIZE: Size = Size {
    many: 128,
    near: 1 << 21,
    few: 32,
};

impl Size {
    fn bits(&self, count: usize) -> usize {
        let [many, few] = [self.many, self.few].map(|bits| count.saturating_mul(bits));
        let bits = many.min(self.near).max(few);
        bits.clamp(1 << 10, 1 << 26).next_power_of_two()
    }
}

/// A set that says for certain of most checksums that they are not in it, and of all that are that they may be.
///
/// It has two stages of bits. The first has those of a checksum in one byte: of checksums that are not in the set one of 300 to 700
/// passes it by chance if there are up to 1000 in it, one of 25 to 70 if there are more than 4000. Of these one of 2500 to 8000
/// passes the second, which has its bits in one word; with more than 16 384 in the set one of 300 to 3000.
///
/// # Examples
///
/// ```
/// use rsync_rolling::Filter;
///
/// let mut filter = Filter::new(100);
/// filter.insert(7);
/// assert!(filter.may_have(7));
/// assert!(!filter.may_have(8));
/// ```
#[derive(Clone, Debug)]
pub struct Filter {
    // 2^(32 - shift) bytes. The shift is at least 9.
    first: Box<[u8]>,
    first_shift: u32,
    // 2^(32 - shift) words. The shift is at least 11.
    second: Box<[u32]>,
    second_shift: u32,
}

impl Filter {
    /// An empty set with room for `count` checksums; with more, more that are not in it pass.
    pub fn new(count: usize) -> Self {
        let first = FIRST_SIZE.bits(count) / 8;
        let second = SECOND_SIZE.bits(count) / 32;
        Self {
            first: vec![0; first].into_boxed_slice(),
            first_shift: 32 - first.ilog2(),
            second: vec![0; second].into_boxed_slice(),
            second_shift: 32 - second.ilog2(),
        }
    }

    /// Puts a checksum in.
    pub fn insert(&mut self, sum: u32) {
        let (byte, bits) = first(sum, self.first_shift);
        self.first[byte] |= bits;
        let (word, bits) = second(sum, self.second_shift);
        self.second[word] |= bits;
    }

    /// Whether a checksum may be in the set; false is certain.
    #[inline]
    pub fn may_have(&self, sum: u32) -> bool {
        self.passes_first(sum) && self.passes_second(sum)
    }

    #[inline]
    fn passes_first(&self, sum: u32) -> bool {
        let (byte, bits) = first(sum, self.first_shift);
        self.first[byte] & bits == bits
    }

    #[inline]
    pub(crate) fn passes_second(&self, sum: u32) -> bool {
        let (word, bits) = second(sum, self.second_shift);
        self.second[word] & bits == bits
    }

    /// The bytes of the first stage, and by how much a product with [`FIRST`] is shifted to be the number of one. There is
    /// such a byte, whatever the product. Which bits of it are looked at say [`ONE`] and [`TWO`].
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn first_stage(&self) -> (&[u8], u32) {
        (&self.first, self.first_shift)
    }
}

/// 2^32 by the golden ratio: the top bits of a product with it depend on all bits of a checksum.
pub(crate) const FIRST: u32 = 0x9e37_79b1;

/// Another odd number whose bits have no pattern.
const SECOND: u32 = 0x85eb_ca77;

/// The bit that the lowest four bits of a checksum stand for. Tables, since vectors look up sixteen at a time.
pub(crate) const ONE: [u8; 16] = [
    0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80,
];

/// The two bits that the next four stand for.
pub(crate) const TWO: [u8; 16] = [
    0x03, 0x05, 0x09, 0x11, 0x21, 0x41, 0x06, 0x0a, 0x12, 0x22, 0x42, 0x0c, 0x14, 0x24, 0x44, 0x18,
];

/// A byte's number, and two or three bits in it.
#[inline]
fn first(sum: u32, shift: u32) -> (usize, u8) {
    let bits = ONE[(sum & 15) as usize] | TWO[(sum >> 4 & 15) as usize];
    ((sum.wrapping_mul(FIRST) >> shift) as usize, bits)
}

/// A word's number, and three bits in it, some of which may be the same one. With the halves changed, so that it does not only say
/// again what the first stage has said.
#[inline]
fn second(sum: u32, shift: u32) -> (usize, u32) {
    let product = sum.rotate_left(16).wrapping_mul(SECOND);
    let bit = |number: u32| 1u32 << (number & 31);
    (
        (product >> shift) as usize,
        bit(product >> (shift - 5)) | bit(product >> (shift - 10)) | bit(sum >> 8),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_in_may_be_there(sums in proptest::collection::vec(any::<u32>(), 0..2000), room in 0usize..3000) {
            let mut filter = Filter::new(room);
            for &sum in &sums {
                filter.insert(sum);
            }
            for &sum in &sums {
                prop_assert!(filter.may_have(sum));
            }
        }
    }

    /// Checksums of random blocks, which are random numbers.
    fn sums() -> impl FnMut() -> u32 {
        let mut state = 1u32;
        move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        }
    }

    #[test]
    fn few_others_pass() {
        let mut filter = Filter::new(1000);
        let mut next = sums();
        for _ in 0..1000 {
            filter.insert(next());
        }
        let passed = (0..100_000).filter(|_| filter.may_have(next())).count();
        assert!(passed < 300, "{passed} of 100 000");
    }

    #[test]
    fn as_many_pass_each_stage_as_is_said() {
        let mut next = sums();
        // Of how many others one passes the first and the second.
        for (count, most) in [
            (100, [300, 2500]),
            (1000, [300, 2500]),
            (2000, [150, 2500]),
            (8192, [25, 2500]),
            (10_000, [25, 2500]),
            (16_384, [25, 2500]),
            (100_000, [25, 300]),
            (1 << 20, [25, 300]),
        ] {
            let mut filter = Filter::new(count);
            for _ in 0..count {
                filter.insert(next());
            }
            let tried = 1_000_000;
            let mut passed = [0; 2];
            for _ in 0..tried {
                let sum = next();
                passed[0] += usize::from(filter.passes_first(sum));
                passed[1] += usize::from(filter.passes_second(sum));
            }
            // By chance it may be somewhat more.
            let bounds = most.map(|most| tried / most * 5 / 4);
            assert!(
                passed[0] <= bounds[0] && passed[1] <= bounds[1],
                "{count}: {passed:?} of {tried}, not {bounds:?}"
            );
        }
    }

    #[test]
    fn an_empty_set_has_nothing() {
        let filter = Filter::new(0);
        assert!((0..100_000).all(|sum| !filter.may_have(sum * 40_009)));
    }
}
