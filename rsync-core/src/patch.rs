// SPDX-License-Identifier: MIT OR Apache-2.0

//! The receiver's side: basis and tokens make the target, and its whole-file checksum proves it.

use crate::block::Layout;
use crate::strong::{Digest, FileSum};
use crate::token::OwnedToken;
use std::fmt;
use std::ops::Range;

/// Why tokens did not give the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatchError {
    /// A token names a block that the basis does not have.
    NoSuchBlock {
        /// The first block named.
        first: u32,
        /// How many blocks are named.
        count: u32,
        /// How many blocks the basis has.
        blocks: u32,
    },
    /// The basis is not as long as its layout says.
    Basis,
    /// The result does not have the whole-file checksum that the sender computed.
    Digest,
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchBlock {
                first,
                count,
                blocks,
            } => {
                write!(
                    f,
                    "{count} blocks from {first} on were referred to, but the basis has {blocks}"
                )
            }
            Self::Basis => {
                f.write_str("the basis is shorter than its signature says: it changed meanwhile")
            }
            Self::Digest => {
                f.write_str("the result's checksum is not the source's: transfer the file again")
            }
        }
    }
}

impl std::error::Error for PatchError {}

/// Where the blocks of a token lie in the basis.
///
/// # Errors
///
/// [`PatchError::NoSuchBlock`] when the basis does not have all of them.
pub fn range(layout: &Layout, first: u32, count: u32) -> Result<Range<u64>, PatchError> {
    let blocks = layout.count();
    layout.range(first, count).ok_or(PatchError::NoSuchBlock {
        first,
        count,
        blocks,
    })
}

/// The target that `tokens` describe, when everything is in memory.
///
/// # Errors
///
/// [`PatchError`] when a token is bad, the basis is not the layout's, or the result has another checksum than `digest`.
pub fn apply(
    basis: &[u8],
    layout: &Layout,
    tokens: &[OwnedToken],
    digest: &Digest,
) -> Result<Vec<u8>, PatchError> {
    let mut target = Vec::new();
    for token in tokens {
        match token {
            OwnedToken::Data(data) => target.extend_from_slice(data),
            OwnedToken::Blocks { first, count } => {
                let range = range(layout, *first, *count)?;
                let range = usize::try_from(range.start)
                    .ok()
                    .zip(usize::try_from(range.end).ok());
                let blocks = range.and_then(|(start, end)| basis.get(start..end));
                target.extend_from_slice(blocks.ok_or(PatchError::Basis)?);
            }
        }
    }
    let mut sum = FileSum::new(digest.algorithm());
    sum.update(&target);
    if sum.finish() == *digest {
        Ok(target)
    } else {
        Err(PatchError::Digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strong::BlockSum;

    fn digest(data: &[u8]) -> Digest {
        BlockSum::default().of(data)
    }

    #[test]
    fn tokens_beyond_the_basis_are_refused() {
        let layout = Layout::new(5, Some(2)).unwrap();
        let empty = digest(b"");
        for (first, count) in [(3, 1), (2, 2), (u32::MAX, 1), (1, u32::MAX)] {
            let tokens = [OwnedToken::Blocks { first, count }];
            let expected = PatchError::NoSuchBlock {
                first,
                count,
                blocks: 3,
            };
            assert_eq!(apply(b"abcde", &layout, &tokens, &empty), Err(expected));
        }
    }

    #[test]
    fn a_basis_that_shrank_is_noticed() {
        let layout = Layout::new(5, Some(2)).unwrap();
        let tokens = [OwnedToken::Blocks { first: 2, count: 1 }];
        assert_eq!(
            apply(b"abcd", &layout, &tokens, &digest(b"e")),
            Err(PatchError::Basis)
        );
    }

    #[test]
    fn another_digest_is_an_error() {
        let layout = Layout::new(0, None).unwrap();
        let tokens = [OwnedToken::Data(b"x".to_vec())];
        assert_eq!(
            apply(b"", &layout, &tokens, &digest(b"y")),
            Err(PatchError::Digest)
        );
        assert_eq!(
            apply(b"", &layout, &tokens, &digest(b"x")),
            Ok(b"x".to_vec())
        );
    }
}
