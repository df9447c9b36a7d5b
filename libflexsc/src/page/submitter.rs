// SPDX-License-Identifier: MIT OR Apache-2.0
//! The application's side of a region.

use core::fmt;
use std::sync::Arc;

use super::{Region, barrier};
use crate::{sync::Ordering, sys};

/// The mark of an entry that is not posted.
const NOT_POSTED: u32 = u32::MAX;

/// Posts entries and reaps their completions. A region has one submitter.
pub struct Submitter {
    region: Arc<Region>,
    /// Entries that may be filled in; the one used last is taken first, it is still in the cache.
    free: Vec<u32>,
    /// The caller's token of each posted entry. Only what is posted can complete, once, whatever
    /// the rings say.
    tokens: Box<[u32]>,
    /// Entries pushed, of which `published` may be seen by the other side.
    tail: u32,
    published: u32,
    /// Completions taken, and completions known to be there.
    head: u32,
    ready: u32,
}

/// A call that was executed, or handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What was given to [`Submitter::push`].
    pub token: u32,
    /// `sys::ENTRY_*`.
    pub flags: u16,
    /// What the call returned, or a negative errno.
    pub ret: i64,
}

impl Submitter {
    /// The application's side of a region nobody submits to yet.
    pub fn new(region: Arc<Region>) -> Self {
        let count = region.entries();
        Self {
            free: (0..count).rev().collect(),
            tokens: vec![NOT_POSTED; count as usize].into(),
            tail: 0,
            published: 0,
            head: 0,
            ready: 0,
            region,
        }
    }

    /// The shared memory.
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// How many entries may be pushed before one is reaped.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// How many entries were pushed and not reaped.
    pub fn outstanding(&self) -> usize {
        self.tokens.len() - self.free.len()
    }

    /// How many entries were pushed since the last [`Self::publish`].
    pub fn unpublished(&self) -> u32 {
        self.tail.wrapping_sub(self.published)
    }

    /// Fills in an entry. `false`, and nothing was done, if none is free. `token` is any number but
    /// `u32::MAX`, and comes back with the completion.
    ///
    /// # Safety
    ///
    /// - The region has no other submitter.
    /// - The other side will make the call on behalf of this process: until the completion is
    ///   reaped, every address among the arguments is valid for what the call does with it, and
    ///   nobody accesses what it writes.
    pub unsafe fn push(&mut self, nr: u16, args: &[u64; 6], token: u32) -> bool {
        debug_assert_ne!(token, NOT_POSTED);
        let Some(index) = self.free.pop() else {
            return false;
        };
        let Some(entry) = self.region.entry(index) else {
            return false;
        };
        self.tokens[index as usize] = token;
        entry.nr.store(nr, Ordering::Relaxed);
        entry.flags.store(0, Ordering::Relaxed);
        for (word, &arg) in entry.args.iter().zip(args) {
            word.store(arg, Ordering::Relaxed);
        }
        entry.status.store(sys::SUBMITTED, Ordering::Release);
        self.region
            .sub_slot(self.tail)
            .store(index, Ordering::Relaxed);
        self.tail = self.tail.wrapping_add(1);
        true
    }

    /// Lets the other side see what was pushed.
    pub fn publish(&mut self) {
        self.region
            .control()
            .sub_tail
            .word
            .store(self.tail, Ordering::Release);
        self.published = self.tail;
    }

    /// Whether, after what was published, nobody polls the ring: somebody must be woken.
    pub fn need_wakeup(&self) -> bool {
        barrier();
        self.region.control().wakeup.word.load(Ordering::Relaxed) & sys::NEED_WAKEUP != 0
    }

    /// Whether the other side has taken all that was published.
    pub fn all_taken(&self) -> bool {
        self.region.control().sub_head.word.load(Ordering::Relaxed) == self.published
    }

    /// How many completions can be reaped now.
    pub fn completions(&self) -> u32 {
        self.region
            .control()
            .comp_tail
            .word
            .load(Ordering::Acquire)
            .wrapping_sub(self.head)
    }

    /// Takes the next completion, and makes its entry free.
    pub fn reap(&mut self) -> Option<Completion> {
        loop {
            if self.head == self.ready {
                self.ready = self.region.control().comp_tail.word.load(Ordering::Acquire);
                if self.head == self.ready {
                    return None;
                }
            }
            let index = self.region.comp_slot(self.head).load(Ordering::Relaxed);
            self.head = self.head.wrapping_add(1);
            if self.head == self.ready {
                self.region
                    .control()
                    .comp_head
                    .word
                    .store(self.head, Ordering::Release);
            }
            // What is not posted or not done cannot complete: the page was scribbled on.
            let Some(entry) = self.region.entry(index) else {
                continue;
            };
            let token = self.tokens[index as usize];
            if token == NOT_POSTED || entry.status.load(Ordering::Acquire) != sys::DONE {
                continue;
            }
            let ret = entry.ret.load(Ordering::Relaxed);
            let flags = entry.flags.load(Ordering::Relaxed);
            entry.status.store(sys::FREE, Ordering::Release);
            self.tokens[index as usize] = NOT_POSTED;
            self.free.push(index);
            return Some(Completion { token, flags, ret });
        }
    }
}

impl fmt::Debug for Submitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitter")
            .field("entries", &self.tokens.len())
            .field("free", &self.free.len())
            .field("unpublished", &self.unpublished())
            .finish_non_exhaustive()
    }
}
