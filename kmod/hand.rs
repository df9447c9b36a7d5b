// SPDX-License-Identifier: GPL-2.0

//! What a system call thread has in hand: entries that it has taken from the ring at once.
//!
//! To begin one takes no lock. What it has not begun is taken back from it, under the lock, when its call blocks, when
//! another thread has nothing to do, and to be cancelled.

use crate::{
    intake::{
        Source,
        HANDFUL, //
    },
    once::Once,
    slots::Run,
    state::State, //
};
use core::{
    array,
    cell::UnsafeCell, //
};

/// How many have been begun, in the word's lowest byte, and how many there are, in the next.
const BEGUN: u32 = 0xff;
const THERE: u32 = 8;
/// The thread is interrupted for the sake of the one that it began last, and begins no other before it has seen that.
const STOP: u32 = 1 << 16;

/// The entries that a thread has in hand.
///
/// # Invariants
///
/// - The first entries of `runs`, as many as `word` says are begun, and those from where it says that there are no more,
///   are accessed by the [`Grip`] alone; the rest only under the lock of the thread's context's state.
/// - The number of those begun grows by the grip alone. That of those that there are grows under the lock by the grip, which
///   holds none of them then, and shrinks under the lock, never below those begun.
pub(crate) struct Hand {
    word: Once<u32>,
    runs: UnsafeCell<[Run; HANDFUL]>,
    /// Whose these are, for who may not look at them.
    indices: [Once<u32>; HANDFUL],
}

// SAFETY: By the type invariants no entry is accessed by two at a time, and the rest is `Sync`.
unsafe impl Sync for Hand {}

fn begun(word: u32) -> usize {
    // CAST: A byte.
    (word & BEGUN) as usize
}

fn there(word: u32) -> usize {
    // CAST: A byte.
    (word >> THERE & BEGUN) as usize
}

/// What a thread finds that wants to begin what it has in hand.
pub(crate) enum Begun<'a> {
    Run(&'a mut Run),
    Stopped,
    Nothing,
}

impl Hand {
    /// An empty one.
    pub(crate) fn new() -> Self {
        // INVARIANT: There are none.
        Self {
            word: Once::new(0),
            runs: UnsafeCell::new([const { Run::none() }; HANDFUL]),
            indices: array::from_fn(|_| Once::new(0)),
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

    /// Whether the thread has neither begun nor got to begin anything since it has opened it.
    pub(crate) fn is_closed(&self) -> bool {
        self.word.load() == 0
    }

    /// How many the thread has begun since it was filled.
    pub(crate) fn begun(&self) -> u32 {
        self.word.load() & BEGUN
    }

    /// Takes all back that was not begun, in order.
    ///
    /// # Safety
    ///
    /// Only under the lock of the state of the thread's context.
    pub(crate) unsafe fn take_back(&self, mut take: impl FnMut(&mut Run)) {
        let (first, last) = loop {
            let word = self.word.load();
            let (first, last) = (begun(word), there(word));
            if first >= last {
                return;
            }
            let without = word & !(BEGUN << THERE) | (word & BEGUN) << THERE;
            // INVARIANT: As many as are begun.
            if self.word.exchange(word, without) {
                break (first, last);
            }
        };
        for at in first..last.min(HANDFUL) {
            // SAFETY: In bounds. By the type invariants nobody but the holder of the lock accesses what was not
            // begun, and it was just taken from who could begin it.
            take(unsafe { &mut *self.runs.get().cast::<Run>().add(at) });
        }
    }

    /// If the entry that was begun last is one of `which`, keeps the thread from beginning the next one before it
    /// has taken the same lock. True if it is to be interrupted: it is inside that one, or between two.
    pub(crate) fn stop(&self, which: impl Fn(u16) -> bool) -> bool {
        loop {
            let word = self.word.load_acquire();
            let last = begun(word).checked_sub(1);
            let Some(index) = last.and_then(|at| self.indices.get(at)) else {
                return false;
            };
            // CAST: It came from a u16.
            if !which(index.load() as u16) {
                return false;
            }
            if mutant!("hand_stop") || self.word.exchange(word, word | STOP) {
                return true;
            }
        }
    }
}

/// The right to begin what is in a thread's hand.
///
/// # Invariants
///
/// It is the only one of its hand.
pub(crate) struct Grip<'a>(&'a Hand);

impl Grip<'_> {
    /// Begins the next one.
    #[inline(always)]
    pub(crate) fn begin(&mut self) -> Begun<'_> {
        let hand = self.0;
        loop {
            let word = hand.word.load();
            if word & STOP != 0 {
                return Begun::Stopped;
            }
            let at = begun(word);
            if at >= there(word).min(HANDFUL) {
                return Begun::Nothing;
            }
            // INVARIANT: Only the grip, which is borrowed for as long as the entry, says that one more is begun.
            if hand.word.exchange(word, word + 1) {
                // SAFETY: In bounds. By the type invariants nobody else accesses it from here on.
                return Begun::Run(unsafe { &mut *hand.runs.get().cast::<Run>().add(at) });
            }
        }
    }

    /// Whether there is one to begin.
    pub(crate) fn has_more(&self) -> bool {
        let word = self.0.word.load();
        begun(word) < there(word)
    }

    /// Whether the thread was stopped for what it began last; from now on it is not. To be asked under the state's lock, so
    /// that who has stopped it has interrupted it, too.
    pub(crate) fn was_stopped(&mut self) -> bool {
        loop {
            let word = self.0.word.load();
            if word & STOP == 0 {
                return false;
            }
            if self.0.word.exchange(word, word & !STOP) {
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

    /// Takes entries from the ring into an empty hand. True if there are any for it.
    ///
    /// # Safety
    ///
    /// `state` must be that of the thread's context.
    pub(crate) unsafe fn fill(&mut self, state: &mut State, source: &Source<'_>) -> bool {
        if self.has_more() {
            return true;
        }
        // SAFETY: By the type invariants nobody but the grip accesses any, since there are none that were not begun, and
        // it is not borrowed for one that was.
        let runs = unsafe { &mut *self.0.runs.get() };
        let count = state.pull_for_thread(source, runs);
        for (index, run) in self.0.indices.iter().zip(&*runs).take(count) {
            index.store(u32::from(run.index));
        }
        // INVARIANT: As many as there are; none is begun.
        // CAST: `HANDFUL` is small.
        self.0.word.store_release((count as u32) << THERE);
        count > 0
    }
}
