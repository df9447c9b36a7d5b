// SPDX-License-Identifier: MIT OR Apache-2.0

//! The strong checksum: MD5 (RFC 1321), of blocks and of whole files.
//!
//! MD5 is what every rsync of protocol 30 and later can speak. It guards against chance, not against an
//! adversary; a file whose whole-file sum differs is transferred again with full-length block sums.

use md5::{Digest as _, Md5};

/// Bytes in a full strong checksum.
pub const LENGTH: usize = 16;

/// A full strong checksum.
pub type Digest = [u8; LENGTH];

/// The strong checksum of one block: of the seed's four bytes, little endian, then `data`; a seed of zero is left out.
pub fn block_sum(seed: u32, data: &[u8]) -> Digest {
    let mut md5 = Md5::new();
    if seed != 0 {
        md5.update(seed.to_le_bytes());
    }
    md5.update(data);
    md5.finalize().into()
}

/// A whole-file checksum that grows piece by piece.
#[derive(Clone, Default)]
pub struct FileSum(Md5);

impl FileSum {
    /// The sum of an empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The checksum of all that was appended.
    pub fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

impl std::fmt::Debug for FileSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileSum(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digest: Digest) -> String {
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn sums_are_those_of_rfc_1321() {
        assert_eq!(hex(block_sum(0, b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(
            hex(block_sum(0, b"message digest")),
            "f96b697d7cb7938d525a2f31aaf161d0"
        );
    }

    #[test]
    fn the_seed_goes_first() {
        assert_eq!(block_sum(0x6463_6261, b"e"), block_sum(0, b"abcde"));
    }

    #[test]
    fn a_file_sum_does_not_depend_on_the_pieces() {
        let mut sum = FileSum::new();
        sum.update(b"message");
        sum.update(b"");
        sum.update(b" digest");
        assert_eq!(sum.finish(), block_sum(0, b"message digest"));
    }
}
