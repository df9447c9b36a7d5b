// SPDX-License-Identifier: GPL-2.0

//! A queue of entry indices with room for all of a context's entries.

use kernel::{
    alloc::KVVec,
    prelude::*, //
};

/// A first-in, first-out queue of entry indices.
///
/// # Invariants
///
/// `len <= ring.len()`, and `head < ring.len()`.
pub(crate) struct Fifo {
    ring: KVVec<u16>,
    head: usize,
    len: usize,
}

impl Fifo {
    /// An empty queue with room for `capacity` indices.
    pub(crate) fn new(capacity: usize) -> Result<Self> {
        // INVARIANT: Both are 0, and the capacity is not.
        Ok(Self {
            ring: KVVec::from_elem(0, capacity, GFP_KERNEL_ACCOUNT)?,
            head: 0,
            len: 0,
        })
    }

    /// Whether there is nothing queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends an index. An index is queued at most once, so there is always room; one that
    /// is too many is dropped.
    pub(crate) fn push(&mut self, index: u16) {
        if self.len < self.ring.len() {
            let slot = (self.head + self.len) % self.ring.len();
            if let Some(place) = self.ring.get_mut(slot) {
                *place = index;
                self.len += 1;
            }
        }
    }

    /// Takes an index out of the middle; false if it is not queued.
    pub(crate) fn remove(&mut self, index: u16) -> bool {
        let mut found = false;
        for _ in 0..self.len {
            match self.pop() {
                Some(other) if other == index => found = true,
                Some(other) => self.push(other),
                None => {}
            }
        }
        found
    }

    /// Takes the oldest index that is one of `which`.
    pub(crate) fn pop_if(&mut self, which: impl Fn(u16) -> bool) -> Option<u16> {
        let first = self.ring.get(self.head).copied();
        if first.is_some_and(&which) {
            return self.pop();
        }
        let mut found = None;
        // As often as there are any, so that the others keep their order.
        for _ in 0..self.len {
            match self.pop() {
                Some(index) if found.is_none() && which(index) => found = Some(index),
                Some(index) => self.push(index),
                None => {}
            }
        }
        found
    }

    /// Whether any index is one of `which`.
    pub(crate) fn has(&self, which: impl Fn(u16) -> bool) -> bool {
        let queued = |at| self.ring.get((self.head + at) % self.ring.len());
        (0..self.len).any(|at| queued(at).is_some_and(|&index| which(index)))
    }

    /// Takes the oldest index.
    pub(crate) fn pop(&mut self) -> Option<u16> {
        if self.len == 0 {
            return None;
        }
        let index = self.ring.get(self.head).copied();
        self.head = (self.head + 1) % self.ring.len();
        self.len -= 1;
        index
    }
}
