// SPDX-License-Identifier: MIT OR Apache-2.0

//! The strong checksums, of blocks and of whole files: those that rsync 3.5.0 has (`--checksum-choice`).
//!
//! All guard against chance. Against an adversary only SHA-1 does at all, and that not well; a file whose whole-file
//! sum differs is transferred again with full-length block sums.

use md4::Md4;
use md5::{Digest as _, Md5};
use sha1::Sha1;
use std::{fmt, hash::Hasher as _};
use twox_hash::{XxHash3_64, XxHash3_128, XxHash64};

/// Bytes in the longest checksum.
pub const MAX_LENGTH: usize = 20;

/// The most bytes of a block's checksum that are kept.
pub const MAX_BLOCK_LENGTH: usize = 16;

/// How a strong checksum is computed.
///
/// # Examples
///
/// ```
/// use rsync_core::strong::{Algorithm, BlockSum};
///
/// assert_eq!(Algorithm::from_name("xxhash"), Some(Algorithm::Xxh64));
/// let sum = BlockSum::new(Algorithm::Md5, 0).of(b"message digest");
/// assert_eq!(sum.to_string(), "f96b697d7cb7938d525a2f31aaf161d0");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// XXH3 of 128 bits: the fastest, and what two rsyncs agree on.
    #[default]
    Xxh128,
    /// XXH3 of 64 bits.
    Xxh3,
    /// XXH64.
    Xxh64,
    /// MD5 (RFC 1321), which every rsync since 3.0.0 can.
    Md5,
    /// MD4 (RFC 1320), which all of them can.
    Md4,
    /// SHA-1 (FIPS 180).
    Sha1,
}

impl Algorithm {
    /// All of them, the preferred first.
    pub const ALL: [Self; 6] = [
        Self::Xxh128,
        Self::Xxh3,
        Self::Xxh64,
        Self::Md5,
        Self::Md4,
        Self::Sha1,
    ];

    /// rsync's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xxh128 => "xxh128",
            Self::Xxh3 => "xxh3",
            Self::Xxh64 => "xxh64",
            Self::Md5 => "md5",
            Self::Md4 => "md4",
            Self::Sha1 => "sha1",
        }
    }

    /// The one that rsync calls so; `xxhash` is another name of `xxh64`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if name == "xxhash" { "xxh64" } else { name };
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// Bytes in its checksums.
    pub fn length(self) -> usize {
        match self {
            Self::Xxh3 | Self::Xxh64 => 8,
            Self::Xxh128 | Self::Md5 | Self::Md4 => 16,
            Self::Sha1 => 20,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A checksum. Its bytes are those of rsync's wire; as text, the numbers of the XXH family have their highest digit
/// first, as everybody writes them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    // Zero behind the checksum.
    bytes: [u8; MAX_LENGTH],
}

impl Digest {
    fn new(algorithm: Algorithm, sum: &[u8]) -> Self {
        let mut bytes = [0; MAX_LENGTH];
        bytes[..sum.len()].copy_from_slice(sum);
        Self { algorithm, bytes }
    }

    /// How it was computed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.length()]
    }
}

impl fmt::Display for Digest {
    /// In hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.bytes;
        let bytes = &mut bytes[..self.algorithm.length()];
        if matches!(
            self.algorithm,
            Algorithm::Xxh128 | Algorithm::Xxh3 | Algorithm::Xxh64
        ) {
            bytes.reverse();
        }
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({} {self})", self.algorithm)
    }
}

/// How the blocks of a basis are summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockSum {
    algorithm: Algorithm,
    seed: u32,
}

impl BlockSum {
    /// Checksums that `seed` goes into (`--checksum-seed`); 0 for none.
    pub fn new(algorithm: Algorithm, seed: u32) -> Self {
        Self { algorithm, seed }
    }

    /// How they are computed.
    pub fn algorithm(self) -> Algorithm {
        self.algorithm
    }

    /// What goes into each; 0 for nothing.
    pub fn seed(self) -> u32 {
        self.seed
    }

    /// The most bytes that are kept of one.
    pub fn length(self) -> usize {
        self.algorithm.length().min(MAX_BLOCK_LENGTH)
    }

    /// The checksum of `data`. The seed's four bytes, little endian, go before the data, with MD4 behind it; the XXH
    /// family has a place for it.
    pub fn of(self, data: &[u8]) -> Digest {
        let algorithm = self.algorithm;
        // rsync's seed is a signed number.
        let wide = i64::from(self.seed as i32) as u64;
        let seed = self.seed.to_le_bytes();
        let seed = if self.seed == 0 { &[] } else { &seed[..] };
        let sum = |parts: [&[u8]; 2]| {
            let mut sum = FileSum::new(algorithm);
            for part in parts {
                sum.update(part);
            }
            sum.finish()
        };
        match algorithm {
            Algorithm::Xxh128 => Digest::new(
                algorithm,
                &XxHash3_128::oneshot_with_seed(wide, data).to_le_bytes(),
            ),
            Algorithm::Xxh3 => Digest::new(
                algorithm,
                &XxHash3_64::oneshot_with_seed(wide, data).to_le_bytes(),
            ),
            Algorithm::Xxh64 => {
                Digest::new(algorithm, &XxHash64::oneshot(wide, data).to_le_bytes())
            }
            Algorithm::Md4 => sum([data, seed]),
            Algorithm::Md5 | Algorithm::Sha1 => sum([seed, data]),
        }
    }
}

/// A whole-file checksum that grows piece by piece. No seed goes into it.
#[derive(Clone)]
pub struct FileSum(State);

#[derive(Clone)]
enum State {
    // They hold buffers of some hundred bytes.
    Xxh128(Box<XxHash3_128>),
    Xxh3(Box<XxHash3_64>),
    Xxh64(XxHash64),
    Md5(Md5),
    Md4(Md4),
    Sha1(Sha1),
}

impl FileSum {
    /// The sum of an empty file.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Xxh128 => State::Xxh128(Box::default()),
            Algorithm::Xxh3 => State::Xxh3(Box::default()),
            Algorithm::Xxh64 => State::Xxh64(XxHash64::with_seed(0)),
            Algorithm::Md5 => State::Md5(Md5::new()),
            Algorithm::Md4 => State::Md4(Md4::new()),
            Algorithm::Sha1 => State::Sha1(Sha1::new()),
        })
    }

    /// Appends `data`.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            State::Xxh128(sum) => sum.write(data),
            State::Xxh3(sum) => sum.write(data),
            State::Xxh64(sum) => sum.write(data),
            State::Md5(sum) => sum.update(data),
            State::Md4(sum) => sum.update(data),
            State::Sha1(sum) => sum.update(data),
        }
    }

    /// The checksum of all that was appended.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Xxh128(sum) => Digest::new(Algorithm::Xxh128, &sum.finish_128().to_le_bytes()),
            State::Xxh3(sum) => Digest::new(Algorithm::Xxh3, &sum.finish().to_le_bytes()),
            State::Xxh64(sum) => Digest::new(Algorithm::Xxh64, &sum.finish().to_le_bytes()),
            State::Md5(sum) => Digest::new(Algorithm::Md5, &sum.finalize()),
            State::Md4(sum) => Digest::new(Algorithm::Md4, &sum.finalize()),
            State::Sha1(sum) => Digest::new(Algorithm::Sha1, &sum.finalize()),
        }
    }
}

impl fmt::Debug for FileSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileSum(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `xxhsum`, `md5sum`, `sha1sum` and the RFCs say.
    #[test]
    fn sums_are_the_published_ones() {
        let sums = [
            (Algorithm::Xxh128, "99aa06d3014798d86001c324468d497f"),
            (Algorithm::Xxh3, "2d06800538d394c2"),
            (Algorithm::Xxh64, "ef46db3751d8e999"),
            (Algorithm::Md5, "d41d8cd98f00b204e9800998ecf8427e"),
            (Algorithm::Md4, "31d6cfe0d16ae931b73c59d7e0c089c0"),
            (Algorithm::Sha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ];
        assert_eq!(sums.map(|(algorithm, _)| algorithm), Algorithm::ALL);
        for (algorithm, sum) in sums {
            let digest = FileSum::new(algorithm).finish();
            assert_eq!(digest.to_string(), sum, "{algorithm}");
            assert_eq!(digest.as_bytes().len(), algorithm.length());
        }
        let of = |algorithm| {
            BlockSum::new(algorithm, 0)
                .of(b"message digest")
                .to_string()
        };
        assert_eq!(of(Algorithm::Md5), "f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(of(Algorithm::Md4), "d9130a8164549fe818874806e1c7014b");
    }

    #[test]
    fn the_seed_goes_where_rsync_has_it() {
        let (seed, none) = (0x6463_6261, 0);
        for (algorithm, seeded, plain) in [
            (Algorithm::Md5, b"e".as_slice(), b"abcde".as_slice()),
            (Algorithm::Sha1, b"e", b"abcde"),
            (Algorithm::Md4, b"e", b"eabcd"),
        ] {
            assert_eq!(
                BlockSum::new(algorithm, seed).of(seeded),
                BlockSum::new(algorithm, none).of(plain),
                "{algorithm}"
            );
        }
        for algorithm in [Algorithm::Xxh128, Algorithm::Xxh3, Algorithm::Xxh64] {
            assert_ne!(
                BlockSum::new(algorithm, seed).of(b"e"),
                BlockSum::new(algorithm, none).of(b"e"),
                "{algorithm}"
            );
        }
    }

    #[test]
    fn names_are_read_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
        }
        assert_eq!(Algorithm::from_name("xxhash"), Some(Algorithm::Xxh64));
        assert_eq!(Algorithm::from_name("none"), None);
    }

    proptest! {
        #[test]
        fn a_file_sum_does_not_depend_on_the_pieces(
            data in proptest::collection::vec(any::<u8>(), 0..2000),
            cut in 0usize..2000,
            algorithm in proptest::sample::select(&Algorithm::ALL[..]),
        ) {
            let (head, tail) = data.split_at(cut.min(data.len()));
            let mut sum = FileSum::new(algorithm);
            for piece in [head, &[], tail] {
                sum.update(piece);
            }
            prop_assert_eq!(sum.finish(), BlockSum::new(algorithm, 0).of(&data));
        }
    }
}
