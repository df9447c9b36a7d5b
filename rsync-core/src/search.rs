// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the delta algorithm found in one file, for those who want to see it work (`--debug=deltasum`).

use crate::block::Layout;
use crate::matcher::MatchStats;
use crate::signature::Signature;
use crate::token::Token;

/// A block of the basis that was found in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Where in the source, bytes.
    pub at: u64,
    /// Where the last match ended.
    pub last: u64,
    /// The block's number.
    pub block: u32,
    /// The block's length, bytes.
    pub length: u64,
}

impl Match {
    /// The literal bytes since the last match.
    pub fn literal(&self) -> u64 {
        self.at - self.last
    }
}

/// One file's search, once it is over.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// The file's path in the source.
    pub path: &'a [u8],
    /// Its length, bytes.
    pub size: u64,
    /// The basis.
    pub signature: &'a Signature,
    /// What was found, in the order of the source.
    pub matches: &'a [Match],
    /// How much.
    pub stats: &'a MatchStats,
}

/// Follows the tokens of a search.
#[derive(Debug)]
pub(crate) struct Recorder {
    layout: Layout,
    at: u64,
    last: u64,
    matches: Vec<Match>,
}

impl Recorder {
    pub(crate) fn new(layout: Layout) -> Self {
        Self {
            layout,
            at: 0,
            last: 0,
            matches: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, token: &Token<'_>) {
        match *token {
            Token::Data(data) => self.at += data.len() as u64,
            Token::Block(block) => {
                let range = self.layout.range(block, 1).unwrap_or_default();
                let length = range.end - range.start;
                self.matches.push(Match {
                    at: self.at,
                    last: self.last,
                    block,
                    length,
                });
                self.at += length;
                self.last = self.at;
            }
        }
    }

    pub(crate) fn matches(&self) -> &[Match] {
        &self.matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_stand_where_the_tokens_put_them() {
        let mut recorder = Recorder::new(Layout::new(8, Some(3)).unwrap());
        for token in [
            Token::Block(1),
            Token::Data(b"ab"),
            Token::Data(b"c"),
            Token::Block(0),
            Token::Block(2),
        ] {
            recorder.push(&token);
        }
        let found: Vec<_> = (recorder.matches().iter())
            .map(|found| (found.at, found.literal(), found.block, found.length))
            .collect();
        assert_eq!(found, [(0, 0, 1, 3), (6, 3, 0, 3), (9, 0, 2, 2)]);
    }
}
