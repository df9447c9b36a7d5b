// SPDX-License-Identifier: MIT OR Apache-2.0

//! A set of checksums that is asked for each position of a target.

/// Bits of each stage for a checksum that is in the set: so many as long as a stage has no more than [`NEAR`], but never
/// fewer than the second.
const BITS: [usize; 2] = [128, 32];

/// Bits that stay in the processor's second cache: 256 KiB. To look at what passes by chance costs more than to fetch a word from
/// there in place of the first.
const NEAR: usize = 1 << 21;

/// A set that says for certain of most checksums that they are not in it, and of all that are that they may be.
///
/// It has two stages of bits. The first stays in the processor's nearer caches if the set is small enough, and has both bits of a
/// checksum in one word; one of 800 to 1700 checksums that are not in the set passes it by chance, of a large set one of 128 to
/// 340, and is asked for in the second.
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
    // 2^(32 - shift) words each. The shift is at least 11.
    first: Box<[u32]>,
    second: Box<[u32]>,
    shift: u32,
}

impl Filter {
    /// An empty set with room for `count` checksums; with more, more that are not in it pass.
    pub fn new(count: usize) -> Self {
        let [many, few] = BITS.map(|bits| count.saturating_mul(bits));
        let bits = many
            .min(NEAR)
            .max(few)
            .clamp(1 << 10, 1 << 26)
            .next_power_of_two();
        let words = vec![0; bits / 32].into_boxed_slice();
        Self {
            first: words.clone(),
            second: words,
            shift: 32 - (bits / 32).ilog2(),
        }
    }

    /// Puts a checksum in.
    pub fn insert(&mut self, sum: u32) {
        let (word, bits) = first(sum, self.shift);
        self.first[word] |= bits;
        let (word, bit) = second(sum, self.shift);
        self.second[word] |= bit;
    }

    /// Whether a checksum may be in the set; false is certain.
    #[inline]
    pub fn may_have(&self, sum: u32) -> bool {
        has(&self.first, first(sum, self.shift)) && self.passes_second(sum)
    }

    #[inline]
    pub(crate) fn passes_second(&self, sum: u32) -> bool {
        has(&self.second, second(sum, self.shift))
    }

    /// The words of the first stage, and by how much a product with [`FIRST`] is shifted to be the number of a word. There is
    /// such a word, whatever the product. The five bits below that number, and the five below those, are the bits in it.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn first_stage(&self) -> (&[u32], u32) {
        (&self.first, self.shift)
    }
}

/// 2^32 by the golden ratio: the top bits of a product with it depend on all bits of a checksum.
pub(crate) const FIRST: u32 = 0x9e37_79b1;

/// Another odd number whose bits have no pattern.
const SECOND: u32 = 0x85eb_ca77;

/// A word's number, and two bits in it, which may be the same one.
#[inline]
fn first(sum: u32, shift: u32) -> (usize, u32) {
    let product = sum.wrapping_mul(FIRST);
    let bit = |shift| 1u32 << (product >> shift & 31);
    (
        (product >> shift) as usize,
        bit(shift - 5) | bit(shift - 10),
    )
}

/// With the halves changed, so that it does not only say again what the first stage has said.
#[inline]
fn second(sum: u32, shift: u32) -> (usize, u32) {
    let product = sum.rotate_left(16).wrapping_mul(SECOND);
    (
        (product >> shift) as usize,
        1 << (product >> (shift - 5) & 31),
    )
}

#[inline]
fn has(words: &[u32], (word, bits): (usize, u32)) -> bool {
    words[word] & bits == bits
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
    fn as_many_pass_the_first_stage_as_is_said() {
        let mut next = sums();
        // Of how many others one may pass, for sets that the nearer caches hold and for one that they do not.
        for (count, most) in [
            (1000, 800),
            (2000, 800),
            (10_000, 800),
            (16_000, 800),
            (100_000, 128),
        ] {
            let mut filter = Filter::new(count);
            for _ in 0..count {
                filter.insert(next());
            }
            let tried = 1_000_000;
            let passed = (0..tried)
                .filter(|_| has(&filter.first, first(next(), filter.shift)))
                .count();
            // By chance it may be somewhat more.
            let bound = tried / most * 5 / 4;
            assert!(passed <= bound, "{count}: {passed} of {tried}, not {bound}");
        }
    }

    #[test]
    fn an_empty_set_has_nothing() {
        let filter = Filter::new(0);
        assert!((0..100_000).all(|sum| !filter.may_have(sum * 40_009)));
    }
}
