// SPDX-License-Identifier: MIT OR Apache-2.0
//! What tickets and watches hold of a context: the right to a slot, which they may drop anywhere.

use core::mem;
use std::sync::Arc;

use crossbeam_queue::SegQueue;

use crate::slab::NIL;

/// A context as its claims know it: who they belong to, and where those that are dropped are left.
#[derive(Debug, Default)]
pub(crate) struct Home {
    /// The keys of claims that were dropped, by any thread.
    dropped: SegQueue<u32>,
}

impl Home {
    /// Whether no claim was dropped that the context does not know of.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.dropped.is_empty()
    }

    /// The key of a claim that was dropped.
    pub(crate) fn pop(&self) -> Option<u32> {
        self.dropped.pop()
    }
}

/// The one right to what a slot holds.
#[derive(Debug)]
pub(crate) struct Claim {
    /// `NIL` when it was redeemed.
    key: u32,
    home: Arc<Home>,
}

impl Claim {
    pub(crate) fn new(key: u32, home: Arc<Home>) -> Self {
        Self { key, home }
    }

    /// Whether it is one to a slot of this context.
    pub(crate) fn is_of(&self, home: &Arc<Home>) -> bool {
        Arc::ptr_eq(&self.home, home)
    }

    /// The slot.
    pub(crate) fn key(&self) -> u32 {
        self.key
    }

    /// The slot, by who will see to it.
    pub(crate) fn redeem(mut self) -> u32 {
        mem::replace(&mut self.key, NIL)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.key != NIL {
            self.home.dropped.push(self.key);
        }
    }
}
