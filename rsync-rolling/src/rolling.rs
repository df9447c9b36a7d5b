// SPDX-License-Identifier: MIT OR Apache-2.0

//! The weak rolling checksum: 32 bits that follow a sliding window at the cost of a few additions.
//!
//! Over a window `x[0..n]` of bytes taken as *signed* numbers it is two sums modulo 2^16,
//!
//! ```text
//! a = x[0] + x[1] + ... + x[n-1]
//! b = n*x[0] + (n-1)*x[1] + ... + 1*x[n-1]
//! ```
//!
//! put together as `a + 2^16 * b`. Reference: Tridgell and Mackerras, "The rsync algorithm", section 3; the
//! signedness and the offset of zero per byte are those of rsync's wire, so sums may be exchanged with a peer.

/// The two sums of one window.
///
/// # Examples
///
/// ```
/// use rsync_rolling::Rolling;
///
/// let mut window = Rolling::of(b"abcd");
/// window.roll(b'a', b'e', 4);
/// assert_eq!(window.value(), Rolling::of(b"bcde").value());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Rolling {
    // Only the low 16 bits of each count; the upper ones overflow freely.
    pub(crate) a: u32,
    pub(crate) b: u32,
}

/// A byte as the checksum sees it: signed, in 32-bit two's complement.
#[inline]
fn signed(byte: u8) -> u32 {
    i32::from(byte as i8) as u32
}

impl Rolling {
    /// The sums of `window`.
    pub fn of(window: &[u8]) -> Self {
        let mut sums = Self::default();
        sums.extend(window);
        sums
    }

    /// Lengthens the window by `bytes` at its end.
    pub fn extend(&mut self, bytes: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        let done = crate::avx2::extend(self, bytes);
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        self.append(&bytes[done..]);
    }

    /// [`Self::extend`] in plain Rust.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        // Eight bytes a step: b gains 8*a and then each byte with its weight, which breaks the chain of
        // dependent additions that a byte by byte sum would be.
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let x: [u32; 8] = std::array::from_fn(|i| signed(chunk[i]));
            let sum = x.iter().fold(0u32, |sum, x| sum.wrapping_add(*x));
            let weighted = (x.iter().zip((1..=8u32).rev())).fold(0u32, |sum, (x, weight)| {
                sum.wrapping_add(x.wrapping_mul(weight))
            });
            self.b = self
                .b
                .wrapping_add(self.a.wrapping_mul(8))
                .wrapping_add(weighted);
            self.a = self.a.wrapping_add(sum);
        }
        for &byte in chunks.remainder() {
            self.a = self.a.wrapping_add(signed(byte));
            self.b = self.b.wrapping_add(self.a);
        }
    }

    /// Moves a window of `length` bytes on by one: `out` leaves at its start, `new` enters at its end.
    #[inline]
    pub fn roll(&mut self, out: u8, new: u8, length: u32) {
        let out = signed(out);
        self.a = self.a.wrapping_sub(out).wrapping_add(signed(new));
        self.b = self
            .b
            .wrapping_sub(out.wrapping_mul(length))
            .wrapping_add(self.a);
    }

    /// The checksum: `a` in the low half, `b` in the high half.
    #[inline]
    pub fn value(self) -> u32 {
        (self.a & 0xffff) | (self.b << 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, term by term.
    fn naive(window: &[u8]) -> u32 {
        let n = window.len() as i64;
        let a: i64 = window.iter().map(|x| i64::from(*x as i8)).sum();
        let b: i64 = window
            .iter()
            .enumerate()
            .map(|(i, x)| (n - i as i64) * i64::from(*x as i8))
            .sum();
        ((a & 0xffff) + ((b & 0xffff) << 16)) as u32
    }

    #[test]
    fn bytes_are_signed() {
        assert_eq!(Rolling::of(&[0xff]).value(), 0xffff_ffff);
        assert_eq!(Rolling::of(&[0x7f, 0x80]).value(), 0x007e_ffff);
    }

    /// No sum of so long a window fits its half.
    #[test]
    fn long_windows_of_extreme_bytes_overflow_as_defined() {
        for byte in [0x7f, 0x80, 0xff] {
            let window = vec![byte; 200_000];
            assert_eq!(Rolling::of(&window).value(), naive(&window), "{byte}");
        }
    }

    #[test]
    fn an_empty_window_sums_to_zero() {
        assert_eq!(Rolling::of(b"").value(), 0);
    }

    proptest! {
        #[test]
        fn sum_is_the_definition(window in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(Rolling::of(&window).value(), naive(&window));
            let mut plain = Rolling::default();
            plain.append(&window);
            prop_assert_eq!(plain.value(), naive(&window));
        }

        #[test]
        fn a_window_grows_piece_by_piece(window in proptest::collection::vec(any::<u8>(), 0..600), cut in 0usize..600) {
            let (head, tail) = window.split_at(cut.min(window.len()));
            let mut sums = Rolling::of(head);
            sums.extend(tail);
            prop_assert_eq!(sums.value(), naive(&window));
        }

        #[test]
        fn rolling_is_summing_anew(data in proptest::collection::vec(any::<u8>(), 1..600), length in 1usize..200) {
            let length = length.min(data.len());
            let mut sums = Rolling::of(&data[..length]);
            for start in 1..=data.len() - length {
                sums.roll(data[start - 1], data[start + length - 1], length as u32);
                prop_assert_eq!(sums.value(), naive(&data[start..start + length]));
            }
        }
    }
}
