// SPDX-License-Identifier: MIT OR Apache-2.0
//! The application's side of a region.

use core::fmt;
use std::sync::Arc;

use super::{Region, barrier, region::Entry};
use crate::{sync::Ordering, sys};

/// The mark of an entry that is not posted.
const NOT_POSTED: u32 = u32::MAX;

/// Posts entries and reaps their completions. A region has one submitter.
///
/// # Examples
///
/// ```
/// use libflexsc::{page::{Executor, Region, Submitter}, sys};
/// let region = Region::new(64)?;
/// let (mut submitter, executor) = (Submitter::new(region.clone()), Executor::new(region));
/// for token in 0..3 {
///     // SAFETY: The executor below does not look at the arguments.
///     assert!(unsafe { submitter.push(sys::NR_NOP, &[0; 6], token) });
/// }
/// assert_eq!((submitter.unpublished(), submitter.free()), (3, 61));
/// submitter.publish();
/// if submitter.need_wakeup() {
///     // Here a thread that sleeps would be woken.
/// }
/// while let Some(entry) = executor.take() {
///     executor.complete(entry, 0, 0);
/// }
/// assert_eq!(submitter.completions(), 3);
/// while let Some(done) = submitter.reap() {
///     assert!(done.token < 3 && done.ret == 0);
/// }
/// assert_eq!(submitter.outstanding(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Submitter {
    region: Arc<Region>,
    /// Entries that may be filled in; the one used last is taken first, it is still in the cache.
    free: Vec<u32>,
    /// The caller's token of each posted entry. Only what is posted can complete, once, whatever
    /// the rings say.
    tokens: Box<[u32]>,
    /// Which of them were posted with `sys::ENTRY_MULTI`.
    multi: Box<[bool]>,
    /// Entries pushed, of which `published` may be seen by the other side.
    tail: u32,
    published: u32,
    /// Completions taken, and completions known to be there.
    head: u32,
    ready: u32,
}

/// How an entry is to be executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// `sys::ENTRY_*`.
    pub flags: u16,
    /// With `sys::ENTRY_TIMEOUT`: after how many nanoseconds it is cancelled.
    pub span: i64,
}

/// A call that was executed, or handed back; or with `more` a readiness of one that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What was given to [`Submitter::push`].
    pub token: u32,
    /// The entry's index.
    pub index: u32,
    /// `sys::ENTRY_*`.
    pub flags: u16,
    /// What the call returned, or a negative errno.
    pub ret: i64,
    /// The entry is still posted: it was with `sys::ENTRY_MULTI`.
    pub more: bool,
}

impl Submitter {
    /// The application's side of a region nobody submits to yet.
    pub fn new(region: Arc<Region>) -> Self {
        let count = region.entries();
        Self {
            free: (0..count).rev().collect(),
            tokens: vec![NOT_POSTED; count as usize].into(),
            multi: vec![false; count as usize].into(),
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

    /// Fills in an entry without any terms: [`Self::push_with`]. `false`, and nothing was done, if
    /// none is free.
    ///
    /// # Safety
    ///
    /// As for [`Self::push_with`].
    pub unsafe fn push(&mut self, nr: u16, args: &[u64; 6], token: u32) -> bool {
        // SAFETY: As the caller promises.
        unsafe { self.push_with(nr, args, Terms::default(), token) }.is_some()
    }

    /// Fills in an entry, and gives its index; `None`, and nothing was done, if none is free.
    /// `token` is any number but `u32::MAX`, and comes back with the completion.
    ///
    /// The entries of a chain (`sys::ENTRY_LINK`) are pushed one after the other, and then
    /// published together.
    ///
    /// # Safety
    ///
    /// - The region has no other submitter.
    /// - The other side will make the call on behalf of this process: until the completion is
    ///   reaped, every address among the arguments is valid for what the call does with it, and
    ///   nobody accesses what it writes.
    #[inline]
    pub unsafe fn push_with(
        &mut self,
        nr: u16,
        args: &[u64; 6],
        terms: Terms,
        token: u32,
    ) -> Option<u32> {
        debug_assert_ne!(token, NOT_POSTED);
        let index = self.free.pop()?;
        let entry = self.region.entry(index)?;
        self.tokens[index as usize] = token;
        self.multi[index as usize] = terms.flags & sys::ENTRY_MULTI != 0;
        entry.nr.store(nr, Ordering::Relaxed);
        entry.flags.store(terms.flags, Ordering::Relaxed);
        entry.ret.store(terms.span, Ordering::Relaxed);
        for (word, &arg) in entry.args.iter().zip(args) {
            word.store(arg, Ordering::Relaxed);
        }
        entry.status.store(sys::SUBMITTED, Ordering::Release);
        self.region
            .sub_slot(self.tail)
            .store(index, Ordering::Relaxed);
        self.tail = self.tail.wrapping_add(1);
        if crate::sync::mutant("split_chain") {
            self.publish();
        }
        Some(index)
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

    /// Lets the other side see the first entries alone that were ever pushed.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn show_only(&self, count: u32) {
        let tail = &self.region.control().sub_tail;
        tail.word.store(count, Ordering::Release);
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

    /// The token of a posted entry.
    pub(crate) fn token(&self, index: u32) -> Option<u32> {
        let token = self.tokens.get(index as usize).copied()?;
        (token != NOT_POSTED).then_some(token)
    }

    /// The call that an entry was last filled in with.
    #[cfg(not(loom))]
    pub(crate) fn call(&self, index: u32) -> (u16, [u64; 6]) {
        match self.region.entry(index) {
            Some(entry) => (
                entry.nr.load(Ordering::Relaxed),
                core::array::from_fn(|i| entry.args[i].load(Ordering::Relaxed)),
            ),
            None => (sys::NR_NOP, [0; 6]),
        }
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

    /// Whether a posted entry was completed, and not reaped yet.
    pub fn is_done(&self, index: u32) -> bool {
        self.region
            .entry(index)
            .is_some_and(|entry| entry.status.load(Ordering::Acquire) == sys::DONE)
    }

    /// Takes back an entry that was posted to the module and that nobody has taken: it is not executed,
    /// and does not complete. `false` if somebody has. The page is not to be posted to any more.
    ///
    /// The module takes an entry by one exchange; an [`Executor`](super::Executor) does not.
    #[cfg(not(loom))]
    pub(crate) fn withdraw(&mut self, index: u32) -> bool {
        self.region.entry(index).is_some_and(|entry| {
            entry
                .status
                .compare_exchange(
                    sys::SUBMITTED,
                    sys::FREE,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                )
                .is_ok()
        })
    }

    /// Takes back all entries that were posted to the module and that nobody has taken; gives their tokens
    /// and indices, in the order in which they were pushed. The page is not to be posted to any more.
    ///
    /// The module takes entries in that order, so that it has taken those before, and none after, the last
    /// one that cannot be taken back.
    #[cfg(not(loom))]
    pub(crate) fn withdraw_all(&mut self) -> Vec<(u32, u32)> {
        let mut withdrawn = Vec::new();
        for back in 1..=self.region.entries() {
            let slot = self.region.sub_slot(self.tail.wrapping_sub(back));
            let index = slot.load(Ordering::Relaxed);
            if !self.withdraw(index) {
                break;
            }
            withdrawn.push((self.tokens[index as usize], index));
            self.tokens[index as usize] = NOT_POSTED;
            self.free.push(index);
        }
        withdrawn.reverse();
        withdrawn
    }

    /// What a posted entry that was completed, and not reaped yet, has returned.
    pub fn returned(&self, index: u32) -> Option<i64> {
        let done = self.is_done(index);
        let entry = self.region.entry(index).filter(|_| done)?;
        Some(entry.ret.load(Ordering::Relaxed))
    }

    /// Takes the next completion, and makes its entry free unless there is more to come from it.
    #[inline]
    pub fn reap(&mut self) -> Option<Completion> {
        loop {
            if self.head == self.ready {
                self.ready = self.region.control().comp_tail.word.load(Ordering::Acquire);
                if self.head == self.ready {
                    return None;
                }
                // A tail that is farther away was scribbled on: what the ring holds is all there is.
                let count = self.region.entries();
                if self.ready.wrapping_sub(self.head) > count {
                    self.head = self.ready.wrapping_sub(count);
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
            if token == NOT_POSTED {
                continue;
            }
            let ret = if self.multi[index as usize] {
                // The index may be published again from the exchange on: its slot is free before.
                self.region
                    .control()
                    .comp_head
                    .word
                    .store(self.head, Ordering::Release);
                match take_events(entry) {
                    0 => continue,
                    events @ 1.. => {
                        return Some(Completion {
                            token,
                            index,
                            flags: 0,
                            ret: events,
                            more: true,
                        });
                    }
                    end => end,
                }
            } else {
                entry.ret.load(Ordering::Relaxed)
            };
            if entry.status.load(Ordering::Acquire) != sys::DONE {
                continue;
            }
            let flags = entry.flags.load(Ordering::Relaxed);
            entry.status.store(sys::FREE, Ordering::Release);
            self.tokens[index as usize] = NOT_POSTED;
            self.free.push(index);
            return Some(Completion {
                token,
                index,
                flags,
                ret,
                more: false,
            });
        }
    }
}

/// Takes what an entry with `sys::ENTRY_MULTI` has gathered; the other side publishes it again for
/// what comes after that.
fn take_events(entry: &Entry) -> i64 {
    if crate::sync::mutant("no_exchange") {
        let events = entry.ret.load(Ordering::Acquire);
        entry.ret.store(0, Ordering::Release);
        return events;
    }
    entry.ret.swap(0, Ordering::AcqRel)
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A page with these tokens published, of which the module has taken some.
    fn taken(count: usize, tokens: core::ops::Range<u32>) -> Submitter {
        let mut submitter = Submitter::new(Region::new(64).unwrap());
        for token in tokens {
            // SAFETY: Nobody executes it.
            assert!(unsafe { submitter.push(sys::NR_NOP, &[0; 6], token) });
        }
        submitter.publish();
        for slot in 0..count as u32 {
            let index = submitter.region.sub_slot(slot).load(Ordering::Relaxed);
            let entry = submitter.region.entry(index).unwrap();
            entry.status.store(sys::BUSY, Ordering::Relaxed);
        }
        submitter
    }

    #[test]
    fn what_was_not_taken_comes_back_in_its_order() {
        let mut submitter = taken(3, 10..20);
        // SAFETY: Nobody executes it.
        assert!(unsafe { submitter.push(sys::NR_NOP, &[0; 6], 20) });
        let withdrawn = submitter.withdraw_all();
        let tokens: Vec<_> = withdrawn.into_iter().map(|(token, _)| token).collect();
        assert_eq!(tokens, (13..=20).collect::<Vec<_>>());
        assert_eq!(submitter.outstanding(), 3);
        assert!(submitter.withdraw_all().is_empty());
    }

    #[test]
    fn full_page_comes_back_whole() {
        let mut submitter = taken(0, 0..64);
        assert_eq!(submitter.withdraw_all().len(), 64);
        assert_eq!(submitter.outstanding(), 0);
        assert!(taken(64, 0..64).withdraw_all().is_empty());
        assert!(taken(0, 0..0).withdraw_all().is_empty());
    }
}
