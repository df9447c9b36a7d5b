// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tokens: what a target is described by, literal data and references to blocks of the basis.

/// The most literal bytes that one token carries.
pub const MAX_DATA: usize = 32 * 1024;

/// A token as the matcher emits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// These bytes, 1 to [`MAX_DATA`] of them.
    Data(&'a [u8]),
    /// The block of the basis with this number.
    Block(u32),
}

/// A token that owns its data, with adjacent blocks put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedToken {
    /// These bytes.
    Data(Vec<u8>),
    /// `count` blocks of the basis, from number `first` on.
    Blocks {
        /// The first block.
        first: u32,
        /// How many blocks, at least 1.
        count: u32,
    },
}

impl OwnedToken {
    /// About how many bytes it would take on a wire.
    pub fn weight(&self) -> u64 {
        match self {
            Self::Data(data) => 4 + data.len() as u64,
            Self::Blocks { count, .. } => 4 * u64::from(*count),
        }
    }
}

/// Collects tokens into owned ones.
#[derive(Debug, Default)]
pub struct Collector {
    tokens: Vec<OwnedToken>,
}

impl Collector {
    /// An empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a token; a block that follows the last one directly lengthens it.
    pub fn push(&mut self, token: Token<'_>) {
        match token {
            Token::Data(data) => self.tokens.push(OwnedToken::Data(data.to_vec())),
            Token::Block(block) => {
                if let Some(OwnedToken::Blocks { first, count }) = self.tokens.last_mut() {
                    if first.checked_add(*count) == Some(block) {
                        *count += 1;
                        return;
                    }
                }
                self.tokens.push(OwnedToken::Blocks {
                    first: block,
                    count: 1,
                });
            }
        }
    }

    /// Takes what was collected, leaving nothing.
    pub fn take(&mut self) -> Vec<OwnedToken> {
        std::mem::take(&mut self.tokens)
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_in_sequence_are_put_together() {
        let mut collector = Collector::new();
        let tokens = [
            Token::Block(3),
            Token::Block(4),
            Token::Block(6),
            Token::Data(b"x"),
            Token::Data(b"y"),
            Token::Block(7),
            Token::Block(7),
        ];
        tokens.into_iter().for_each(|token| collector.push(token));
        let blocks = |first, count| OwnedToken::Blocks { first, count };
        let data = |data: &[u8]| OwnedToken::Data(data.to_vec());
        assert_eq!(
            collector.take(),
            [
                blocks(3, 2),
                blocks(6, 1),
                data(b"x"),
                data(b"y"),
                blocks(7, 1),
                blocks(7, 1)
            ]
        );
        assert!(collector.is_empty());
    }
}
