// SPDX-License-Identifier: MIT OR Apache-2.0

//! The part of a target that a search keeps, with room behind it that the next piece is read into.

use std::ops::{Deref, Range};

/// Bytes, and room behind them.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// What is behind the bytes is room, cleared once and not again.
    all: Vec<u8>,
    length: usize,
}

impl Deref for Window {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.all[..self.length]
    }
}

impl Window {
    /// Appends a piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        let (mut all, room) = self.lend(piece.len());
        all[room].copy_from_slice(piece);
        self.take_back(all, piece.len());
    }

    /// Gives all away, with so much room, and says where that is.
    pub(super) fn lend(&mut self, room: usize) -> (Vec<u8>, Range<usize>) {
        let mut all = std::mem::take(&mut self.all);
        let end = self.length + room;
        if all.len() < end {
            all.resize(end, 0);
        }
        (all, self.length..end)
    }

    /// Takes it back with so many bytes more.
    pub(super) fn take_back(&mut self, all: Vec<u8>, more: usize) {
        self.length += more;
        assert!(self.length <= all.len(), "more than there was room for");
        self.all = all;
    }

    /// Removes bytes at the start.
    pub(super) fn shift(&mut self, count: usize) {
        self.all.copy_within(count..self.length, 0);
        self.length -= count;
    }
}
