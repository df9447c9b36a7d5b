// SPDX-License-Identifier: GPL-2.0

//! What a page worker or a system call thread has in hand: entries that it has taken from the ring at once.
//!
//! To begin one takes no lock. What is not begun is taken back, under the lock, when the call before it blocks, when
//! others have nothing to do, and to be cancelled.

use crate::{
    crew::Member,
    drain::Drain,
    file::HeldFile,
    intake::{
        Source,
        HANDFUL, //
    },
    once::Once,
    shared::Shared,
    slots::{
        Place,
        Run, //
    },
    state::State, //
};
use core::cell::UnsafeCell;
use kernel::{
    bindings,
    sync::Arc, //
};

/// How many have been begun, in the word's lowest byte, and how many there are, in the next.
const BEGUN: u32 = 0xff;
const THERE: u32 = 8;
/// Who has it is interrupted for the sake of the entry that it began last, and begins no other before it has seen that.
const STOP: u32 = 1 << 16;

/// What others may know of an entry that they may not look at.
#[derive(Clone, Copy)]
struct Mark {
    index: u16,
    /// The file that it is to have from the one before it, if any.
    file: *mut bindings::file,
}

/// The entries that somebody has in hand.
///
/// # Invariants
///
/// - The first of `runs`, as many as `word` says are begun, are accessed by the [`Grip`] alone; the others, and `marks`, only
///   under the lock of the context's state.
/// - The number of those begun grows by the grip alone. That of those that there are grows under the lock by the grip,
///   which holds none of them then, and shrinks under the lock, never below those begun.
/// - The file of a mark is valid as long as the entry before it is not over, and one that is to pass it on is over only when
///   the next one has been begun, or the lock has been taken since it was found taken back.
pub(crate) struct Hand {
    word: Once<u32>,
    runs: UnsafeCell<[Run; HANDFUL]>,
    marks: UnsafeCell<[Mark; HANDFUL]>,
}

// SAFETY: By the type invariants nothing is accessed by two at a time.
unsafe impl Sync for Hand {}
// SAFETY: Entries may be sent, and the pointers are not followed but as the invariants say.
unsafe impl Send for Hand {}

fn begun(word: u32) -> usize {
    // CAST: A byte.
    (word & BEGUN) as usize
}

fn there(word: u32) -> usize {
    // CAST: A byte.
    (word >> THERE & BEGUN) as usize
}

/// What is found by who wants to begin what it has in hand.
pub(crate) enum Begun {
    /// The entry at this place.
    At(usize),
    /// Not before it is known for what it was stopped.
    Stopped,
    Nothing,
}

impl Hand {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        let mark = Mark {
            index: 0,
            file: core::ptr::null_mut(),
        };
        // INVARIANT: There are none.
        Self {
            word: Once::new(0),
            runs: UnsafeCell::new([const { Run::none() }; HANDFUL]),
            marks: UnsafeCell::new([mark; HANDFUL]),
        }
    }

    /// The right to begin what is in it.
    ///
    /// # Safety
    ///
    /// There may be no other one of the same hand.
    pub(crate) unsafe fn grip(&self) -> Grip<'_> {
        // INVARIANT: The caller promises it.
        Grip(self)
    }

    /// Whether nothing was begun, and nothing is there to be.
    pub(crate) fn is_closed(&self) -> bool {
        self.word.load() == 0
    }

    /// How many have been begun since it was filled.
    pub(crate) fn begun(&self) -> u32 {
        self.word.load() & BEGUN
    }

    /// Takes all back that was not begun, in order.
    ///
    /// # Safety
    ///
    /// Only under the lock of the context's state.
    pub(crate) unsafe fn take_back(&self, mut take: impl FnMut(&mut Run)) {
        let (first, last) = loop {
            let word = self.word.load();
            let (first, last) = (begun(word), there(word));
            if first >= last {
                return;
            }
            let without = word & !(BEGUN << THERE) | (word & BEGUN) << THERE;
            // INVARIANT: As many as are begun.
            if self.word.exchange_acquire(word, without) {
                break (first, last);
            }
        };
        for at in first..last.min(HANDFUL) {
            // SAFETY: In bounds, and under the lock as the caller promises.
            let mark = unsafe { *self.marks.get().cast::<Mark>().add(at) };
            // SAFETY: In bounds. By the type invariants nobody but the holder of the lock accesses what was not
            // begun, and it was just taken from who could begin it.
            let run = unsafe { &mut *self.runs.get().cast::<Run>().add(at) };
            if !mark.file.is_null() && !mutant!("hand_file") {
                // SAFETY: The one before it is not over, or was just taken back as well, and has it.
                run.taken.lend(unsafe { HeldFile::another(mark.file) });
            }
            take(run);
        }
    }

    /// If the entry that was begun last is one of `which`, keeps who has it from beginning the next one before it
    /// has taken the same lock. True if it is to be interrupted: it is inside that one, or between two.
    ///
    /// # Safety
    ///
    /// As for [`Hand::take_back`].
    pub(crate) unsafe fn stop(&self, which: impl Fn(u16) -> bool) -> bool {
        loop {
            let word = self.word.load_acquire();
            let last = begun(word).checked_sub(1);
            // SAFETY: Under the lock as the caller promises.
            let marks = unsafe { &*self.marks.get() };
            let Some(mark) = last.and_then(|at| marks.get(at)) else {
                return false;
            };
            if !which(mark.index) {
                return false;
            }
            if self.word.exchange_acquire(word, word | STOP) {
                return true;
            }
        }
    }
}

/// The right to begin what is in a hand.
///
/// # Invariants
///
/// It is the only one of its hand.
pub(crate) struct Grip<'a>(&'a Hand);

impl Grip<'_> {
    /// Begins the next one.
    #[inline(always)]
    pub(crate) fn begin(&mut self) -> Begun {
        loop {
            let word = self.0.word.load();
            if word & STOP != 0 {
                return Begun::Stopped;
            }
            if begun(word) >= there(word) {
                return Begun::Nothing;
            }
            // INVARIANT: Only the grip says that one more is begun.
            if self.0.word.exchange_acquire(word, word + 1) {
                return Begun::At(begun(word));
            }
        }
    }

    /// The entry at `at`, which was begun since the hand was filled; `None` of any other.
    #[inline(always)]
    pub(crate) fn run(&mut self, at: usize) -> Option<&mut Run> {
        if at >= begun(self.0.word.load()).min(HANDFUL) {
            return None;
        }
        // SAFETY: In bounds. By the type invariants nobody but the grip, which is borrowed, accesses it.
        Some(unsafe { &mut *self.0.runs.get().cast::<Run>().add(at) })
    }

    /// The entry at `at` and the one behind it, if both were begun.
    #[inline(always)]
    pub(crate) fn pair(&mut self, at: usize) -> Option<(&mut Run, &mut Run)> {
        if at + 1 >= begun(self.0.word.load()).min(HANDFUL) {
            return None;
        }
        let runs = self.0.runs.get().cast::<Run>();
        // SAFETY: In bounds, two of them. By the type invariants nobody but the grip, which is borrowed, accesses any.
        Some(unsafe { (&mut *runs.add(at), &mut *runs.add(at + 1)) })
    }

    /// Whether there is one to begin.
    pub(crate) fn has_more(&self) -> bool {
        let word = self.0.word.load();
        begun(word) < there(word)
    }

    /// Whether who has it was stopped for what it began last; from now on it is not. To be asked under the state's lock,
    /// so that who has stopped it has interrupted it, too.
    pub(crate) fn was_stopped(&mut self) -> bool {
        loop {
            let word = self.0.word.load();
            if word & STOP == 0 {
                return false;
            }
            if self.0.word.exchange_acquire(word, word & !STOP) {
                return true;
            }
        }
    }

    /// Nothing of what was in hand is executed any more; there must be none to begin.
    pub(crate) fn close(&mut self) {
        debug_assert!(!self.has_more());
        // INVARIANT: There are none, and the grip holds none.
        self.0.word.store(0);
    }

    /// Fills an empty hand with posted entries for a page worker if `W`, else for a thread. True if there are any.
    ///
    /// # Safety
    ///
    /// `state` must be that of the context whose hand it is.
    #[inline(always)]
    pub(crate) unsafe fn fill<const W: bool>(
        &mut self,
        state: &mut State,
        source: &Source<'_>,
    ) -> bool {
        if self.has_more() {
            return true;
        }
        // SAFETY: The state can be changed under its lock only. Those that were begun the grip may access, and it is not
        // borrowed for any.
        let runs = unsafe { &mut *self.0.runs.get() };
        // SAFETY: As above.
        let marks = unsafe { &mut *self.0.marks.get() };
        let count = state.pull_for_lane::<W>(source, runs);
        let mut file = core::ptr::null_mut();
        let mut leads = false;
        for (mark, run) in marks.iter_mut().zip(&*runs).take(count) {
            let led = leads;
            if !led {
                [file, _] = run.taken.as_ptrs();
            }
            leads = run.leads;
            *mark = Mark {
                index: run.index,
                file: if led { file } else { core::ptr::null_mut() },
            };
        }
        // INVARIANT: As many as there are; none is begun.
        // CAST: `HANDFUL` is small.
        self.0.word.store_release((count as u32) << THERE);
        count > 0
    }
}

impl State {
    /// Takes what page workers have in hand or is queued for them, and has not begun, into `handful`, which hold nothing, for
    /// the calling thread; returns how many.
    #[inline(always)]
    pub(crate) fn take_from_w(&mut self, handful: &mut [Run; HANDFUL]) -> usize {
        self.take_back_w();
        if self.w.is_empty() || mutant!("hand_caller") {
            return 0;
        }
        let mut count = 0;
        for run in handful {
            let slots = &self.slots;
            let Some(index) = self.w.pop_if(|index| slots.is_unbegun(index)) else {
                break;
            };
            count += usize::from(self.slots.take_into(index, Place::InHand, run));
        }
        count
    }

    /// Whether there is something for a caller that executes: on the ring, or queued for page workers and not begun.
    pub(crate) fn caller_ready(&self, shared: &Shared) -> bool {
        self.ring_ready(shared) || self.w.has(|index| self.slots.is_unbegun(index))
    }

    /// Queues what the threads of `which` have in hand and have not begun.
    pub(crate) fn take_back(&mut self, which: impl Fn(&Member) -> bool) {
        let Self { slots, t, crew, .. } = self;
        for thread in crew.iter().filter(|thread| which(thread)) {
            // SAFETY: The state, which is of the thread's context, can be changed under its lock only.
            unsafe { thread.handle.hand().take_back(|run| slots.queue(run, t)) };
        }
    }

    /// Queues what page workers have in hand and have not begun.
    pub(crate) fn take_back_w(&mut self) {
        let Self {
            slots, w, running, ..
        } = self;
        if mutant!("hand_successor") {
            return;
        }
        for drain in running.iter() {
            // SAFETY: As in `take_back`.
            unsafe { drain.hand().take_back(|run| slots.queue(run, w)) };
        }
    }

    /// Queues what anybody has in hand and has not begun.
    pub(crate) fn take_all_back(&mut self) {
        self.take_back(|_| true);
        self.take_back_w();
    }

    /// The system call thread number `id` has filled its hand.
    pub(crate) fn begin_hand(&mut self, id: u64) {
        if let Some(thread) = self.crew.get_mut(id) {
            thread.begun = thread.begun.wrapping_add(1);
        }
    }

    /// What the system call thread number `id` had in hand is over.
    pub(crate) fn end_hand(&mut self, id: u64, grip: &mut Grip<'_>) {
        if let Some(thread) = self.crew.get_mut(id) {
            thread.begun = thread.begun.wrapping_add(thread.handle.hand().begun());
        }
        grip.close();
    }

    /// A drain item runs, and may have entries in hand from now on. What others have is queued: it is older than what is
    /// posted, and one that sleeps would keep it.
    pub(crate) fn add_running(&mut self, drain: &Arc<Drain>) {
        self.take_back_w();
        // There is room for all.
        let _ = self.running.push_within_capacity(drain.clone());
    }

    /// The drain item ends, and what it had in hand is queued.
    pub(crate) fn remove_running(&mut self, drain: &Arc<Drain>, grip: &mut Grip<'_>) {
        let Self {
            slots, w, running, ..
        } = self;
        // SAFETY: As in `take_back`.
        unsafe { drain.hand().take_back(|run| slots.queue(run, w)) };
        grip.close();
        let place = running.iter().position(|other| Arc::ptr_eq(other, drain));
        if let Some(place) = place {
            // The caller has a reference, too.
            let _ = running.remove(place);
        }
    }
}
