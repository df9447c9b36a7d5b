// SPDX-License-Identifier: MIT OR Apache-2.0
//! The application's side of a region.

use core::fmt;
use std::sync::Arc;

use super::{Region, barrier, region::Entry};
use crate::{sync::Ordering, sys};

/// The end of the list of free entries: no entry has this index.
const NONE: u32 = u32::MAX;

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
    /// By entry. Only what is posted can complete, once, whatever the rings say.
    notes: Box<[Note]>,
    /// The first of the entries that may be filled in; the one used last is taken first, it is still
    /// in the cache.
    free: u32,
    /// Entries pushed, of which `published` may be seen by the other side, and how many of them are
    /// free again.
    tail: u32,
    published: u32,
    freed: u32,
    /// Completions taken, and completions known to be there.
    head: u32,
    ready: u32,
}

/// What this side knows of an entry: it looks nothing up in the page that it can know by itself.
#[derive(Clone, Copy)]
struct Note {
    status: Status,
    /// What the poster has said that it is to be known by, besides its token.
    #[cfg_attr(loom, allow(dead_code))]
    mark: u64,
}

/// Whether an entry is posted, in one word: that it is, for one call, with a certain token is one comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Status(u64);

impl Status {
    const POSTED: u64 = 1 << 32;
    /// It was posted with `sys::ENTRY_MULTI`.
    const MULTI: u64 = 1 << 33;

    const fn free(next: u32) -> Self {
        Self(next as u64)
    }

    const fn posted(token: u32, flags: u16) -> Self {
        let multi = flags & sys::ENTRY_MULTI != 0;
        Self(token as u64 | Self::POSTED | if multi { Self::MULTI } else { 0 })
    }

    /// The caller's token, if it is posted.
    const fn token(self) -> Option<u32> {
        if self.0 & Self::POSTED != 0 {
            Some(self.0 as u32)
        } else {
            None
        }
    }

    /// The caller's token, if it is posted for one call.
    #[cfg(not(loom))]
    const fn single(self) -> Option<u32> {
        if self.0 >> 32 == Self::POSTED >> 32 {
            Some(self.0 as u32)
        } else {
            None
        }
    }

    /// The next free entry, of one that is free.
    const fn next(self) -> u32 {
        self.0 as u32
    }

    const fn is_multi(self) -> bool {
        self.0 & Self::MULTI != 0
    }
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
        let note = |index| Note {
            status: Status::free(if index + 1 < count { index + 1 } else { NONE }),
            mark: 0,
        };
        Self {
            notes: (0..count).map(note).collect(),
            free: 0,
            tail: 0,
            published: 0,
            freed: 0,
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
        self.notes.len() - self.outstanding()
    }

    /// How many entries were pushed and not reaped.
    pub fn outstanding(&self) -> usize {
        self.tail.wrapping_sub(self.freed) as usize
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
    /// `token` is any number, and comes back with the completion.
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
        // SAFETY: As the caller promises.
        unsafe { self.push_marked(nr, args, terms, token, 0) }
    }

    /// As [`Self::push_with`], and notes a mark for [`Self::mark`].
    ///
    /// # Safety
    ///
    /// As there.
    #[inline]
    pub(crate) unsafe fn push_marked(
        &mut self,
        nr: u16,
        args: &[u64; 6],
        terms: Terms,
        token: u32,
        mark: u64,
    ) -> Option<u32> {
        let index = self.free;
        // There is no note of the list's end.
        let note = self.notes.get_mut(index as usize)?;
        self.free = note.status.next();
        *note = Note {
            status: Status::posted(token, terms.flags),
            mark,
        };
        self.region.entry_at(index).fill_in(nr, args, terms);
        self.region
            .sub_slot(self.tail)
            .store(index, Ordering::Relaxed);
        self.tail = self.tail.wrapping_add(1);
        if crate::sync::mutant("split_chain") {
            self.publish();
        }
        Some(index)
    }

    /// Pushes calls without terms and with this token, each with its mark, as they come from `next`: until
    /// that has none, no entry is free, or `left`, from which each is taken off, is 0.
    ///
    /// As as many times [`Self::push_marked`], but the words that only this side writes stay in registers.
    ///
    /// # Safety
    ///
    /// As there, for each.
    #[cfg(not(loom))]
    #[inline(always)]
    pub(crate) unsafe fn push_all(
        &mut self,
        token: u32,
        left: &mut u32,
        mut next: impl FnMut() -> Option<(u16, [u64; 6], u64)>,
    ) {
        let (rings, notes) = (self.region.rings(), &mut *self.notes);
        let mut ends = Ends {
            free: self.free,
            tail: self.tail,
            left: *left,
            into: (&mut self.free, &mut self.tail, left),
        };
        while ends.left != 0 {
            let index = ends.free;
            let Some(note) = notes.get_mut(index as usize) else {
                break;
            };
            let Some((nr, args, mark)) = next() else {
                break;
            };
            ends.free = note.status.next();
            *note = Note {
                status: Status::posted(token, 0),
                mark,
            };
            rings.entry_at(index).fill_in(nr, &args, Terms::default());
            rings.sub_slot(ends.tail).store(index, Ordering::Relaxed);
            ends.tail = ends.tail.wrapping_add(1);
            ends.left -= 1;
        }
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
    #[cfg(not(loom))]
    pub(crate) fn token(&self, index: u32) -> Option<u32> {
        self.notes.get(index as usize)?.status.token()
    }

    /// The mark that an entry was last posted with.
    #[cfg(not(loom))]
    pub(crate) fn mark(&self, index: u32) -> u64 {
        self.notes.get(index as usize).map_or(0, |note| note.mark)
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
            // One that is not posted is SUBMITTED only where the page was scribbled on.
            let Some(token) = self.token(index).filter(|_| self.withdraw(index)) else {
                break;
            };
            withdrawn.push((token, index));
            self.set_free(index);
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

    /// Notes that an entry is not posted any more.
    #[inline]
    fn set_free(&mut self, index: u32) {
        if let Some(note) = self.notes.get_mut(index as usize) {
            note.status = Status::free(self.free);
            self.free = index;
            self.freed = self.freed.wrapping_add(1);
        }
    }

    /// Looks how many completions there are. `false` if there is none to reap.
    #[inline]
    fn look(&mut self) -> bool {
        if self.head != self.ready {
            return true;
        }
        self.ready = self.region.control().comp_tail.word.load(Ordering::Acquire);
        // A tail that is farther away was scribbled on: what the ring holds is all there is.
        let count = self.region.entries();
        if self.ready.wrapping_sub(self.head) > count {
            self.head = self.ready.wrapping_sub(count);
        }
        self.head != self.ready
    }

    /// Lets the other side see up to where the completion ring may be filled again.
    #[inline]
    fn pass(&self) {
        let word = &self.region.control().comp_head.word;
        word.store(self.head, Ordering::Release);
    }

    /// Takes the next completion, and makes its entry free unless there is more to come from it.
    pub fn reap(&mut self) -> Option<Completion> {
        loop {
            if !self.look() {
                return None;
            }
            let index = self.region.comp_slot(self.head).load(Ordering::Relaxed);
            self.head = self.head.wrapping_add(1);
            if self.head == self.ready {
                self.pass();
            }
            // What is not posted or not done cannot complete: the page was scribbled on.
            let Some(note) = self.notes.get(index as usize) else {
                continue;
            };
            let Some(token) = note.status.token() else {
                continue;
            };
            let entry = self.region.entry_at(index);
            let ret = if note.status.is_multi() {
                // The index may be published again from the exchange on: its slot is free before.
                self.pass();
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
            self.set_free(index);
            return Some(Completion {
                token,
                index,
                flags,
                ret,
                more: false,
            });
        }
    }

    /// Takes completions of entries that were posted with this token, for one call each, and that were
    /// executed, and makes the entries free; ends before the first other one, and where there is no place
    /// left. `make` makes what is left in a place of the mark that the entry was posted with, and of
    /// what the call returned. Returns how many completions it took.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn reap_marked<T>(
        &mut self,
        token: u32,
        places: &mut [T],
        make: impl Fn(u64, i64) -> T,
    ) -> usize {
        let mut places = places.iter_mut();
        self.reap_while(|note, ret| {
            if note.status != Status::posted(token, 0) {
                return false;
            }
            let Some(place) = places.next() else {
                return false;
            };
            *place = make(note.mark, ret);
            true
        })
    }

    /// Gives the tokens of entries that were posted for one call each and executed, with what that
    /// returned, and makes the entries free; ends before the first other one, and before one that is
    /// not accepted. Returns how many were.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn reap_single(&mut self, mut accept: impl FnMut(u32, i64) -> bool) -> usize {
        self.reap_while(|note, ret| note.status.single().is_some_and(|token| accept(token, ret)))
    }

    /// Takes completions of entries that were executed, as long as they are accepted.
    ///
    /// As as many times [`Self::reap`], but for what entries for one call have no need of, and the words that
    /// only this side writes stay in registers.
    #[cfg(not(loom))]
    #[inline]
    fn reap_while(&mut self, mut accept: impl FnMut(&Note, i64) -> bool) -> usize {
        if !self.look() {
            return 0;
        }
        let (rings, notes) = (self.region.rings(), &mut *self.notes);
        let (mut head, ready, mut free) = (self.head, self.ready, self.free);
        while head != ready {
            let index = rings.comp_slot(head).load(Ordering::Relaxed);
            let Some(note) = notes.get_mut(index as usize) else {
                break;
            };
            let entry = rings.entry_at(index);
            let done = entry.status.load(Ordering::Acquire) == sys::DONE;
            if !done || entry.flags.load(Ordering::Relaxed) & sys::ENTRY_HANDED_BACK != 0 {
                break;
            }
            if !accept(note, entry.ret.load(Ordering::Relaxed)) {
                break;
            }
            entry.status.store(sys::FREE, Ordering::Release);
            note.status = Status::free(free);
            free = index;
            head = head.wrapping_add(1);
        }
        let count = head.wrapping_sub(self.head);
        self.free = free;
        self.freed = self.freed.wrapping_add(count);
        self.head = head;
        if count != 0 && head == ready {
            self.pass();
        }
        count as usize
    }
}

/// Where the ring and the list of free entries end while calls are pushed, and how many are left. It is written
/// back, also when what gives the calls panics.
#[cfg(not(loom))]
struct Ends<'a> {
    free: u32,
    tail: u32,
    left: u32,
    into: (&'a mut u32, &'a mut u32, &'a mut u32),
}

#[cfg(not(loom))]
impl Drop for Ends<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let (free, tail, left) = &mut self.into;
        (**free, **tail, **left) = (self.free, self.tail, self.left);
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
            .field("entries", &self.notes.len())
            .field("free", &self.free())
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
