// SPDX-License-Identifier: GPL-2.0

//! What a page worker or a system call thread has in hand: entries that it has taken from the ring at once.
//!
//! To begin one takes no lock. What is not begun is taken back, under the lock, when the call before it blocks, when
//! others have nothing to do, and to be cancelled.
//!
//! A page worker ends them without a lock, too, and tells the application of several at once. When it sleeps, the one that
//! takes the rest back tells of those in its stead.

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
use core::{
    cell::UnsafeCell,
    ops::Range, //
};
use kernel::sync::Arc;

/// How many have been begun, in the word's lowest byte, and how many there are, in the next.
const BEGUN: u32 = 0xff;
const THERE: u32 = 8;
/// Who has it is interrupted for the sake of the entry that it began last, and begins no other before it has seen that.
const STOP: u32 = 1 << 16;
/// Somebody has looked for what is over since it was filled.
const LOOKED: u32 = 1 << 17;

/// The entries that somebody has in hand.
///
/// # Invariants
///
/// - There are at most `HANDFUL`.
/// - The first of `runs`, as many as `word` says are begun, are accessed by the [`Grip`] alone; the others only under the lock
///   of the context's state. `indices` are those of all, written by the grip under that lock, and read by the grip or under it.
/// - The number of those begun grows by the grip alone. That of those that there are grows under the lock by the grip,
///   which holds none of them then, and shrinks under the lock, never below those begun.
/// - The file of an entry's row is valid until it is begun: the one before it, which is to pass the file on, gives that back only
///   when this one has been begun, or the lock has been taken since it was found taken back.
/// - The first `over` of those begun are over, and their results written; only the grip says so. The application was told of the
///   first `told`. Both are none when it is filled; `told` is changed under the lock of the completions else.
pub(crate) struct Hand {
    word: Once<u32>,
    over: Once<u32>,
    told: Once<u32>,
    runs: UnsafeCell<[Run; HANDFUL]>,
    indices: UnsafeCell<[u16; HANDFUL]>,
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
        // INVARIANT: There are none.
        Self {
            word: Once::new(0),
            over: Once::new(0),
            told: Once::new(0),
            runs: UnsafeCell::new([const { Run::none() }; HANDFUL]),
            indices: UnsafeCell::new([0; HANDFUL]),
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

    /// The entry at `at` is over, and its result written, as are those before it. Only by who has the grip.
    #[inline(always)]
    pub(crate) fn end(&self, at: usize) {
        // INVARIANT: The caller says so.
        // CAST: `HANDFUL` is small.
        self.over.store_release((at as u32).wrapping_add(1));
    }

    /// The same of one behind which the next one was begun already. True if somebody has looked meanwhile, perhaps too early to
    /// find it; who looks from now on does.
    #[inline(always)]
    pub(crate) fn end_late(&self, at: usize) -> bool {
        // INVARIANT: As above.
        // CAST: `HANDFUL` is small.
        self.over.store_full((at as u32).wrapping_add(1));
        // Either this sees the mark of `look`, or who has made it sees the above.
        self.word.load() & LOOKED != 0
    }

    /// The entry at `at` is over or elsewhere, and the application is told of it by other means; it was told of those
    /// before. Only by who has the grip, under the lock of the completions.
    pub(crate) fn pass_over(&self, at: usize) {
        // CAST: `HANDFUL` is small.
        self.told.store((at as u32).wrapping_add(1));
        self.end(at);
    }

    /// To be called before others than who has the grip look for what is over; they take back what was not begun before that, so that
    /// what is over later is told by who has it.
    pub(crate) fn look(&self) {
        loop {
            let word = self.word.load();
            if begun(word) == 0 || self.word.exchange(word, word | LOOKED) {
                return;
            }
        }
    }

    /// What is over and was not told of.
    #[inline(always)]
    pub(crate) fn untold(&self) -> Range<usize> {
        // CAST: Both are at most `HANDFUL`.
        let (told, over) = (self.told.load() as usize, self.over.load_acquire() as usize);
        told..over
    }

    /// Tells of it, in order.
    ///
    /// # Safety
    ///
    /// Only by who has the grip, or under the lock of the context's state; and under the lock of the completions.
    pub(crate) unsafe fn tell(&self, mut tell: impl FnMut(u16)) {
        let untold = self.untold();
        // SAFETY: As the caller promises, nobody writes them.
        let indices = unsafe { &*self.indices.get() };
        for &index in indices.get(untold.clone()).unwrap_or(&[]) {
            tell(index);
        }
        if !untold.is_empty() {
            // CAST: At most `HANDFUL`.
            self.told.store(untold.end as u32);
        }
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
            // SAFETY: In bounds. By the type invariants nobody but the holder of the lock accesses what was not
            // begun, and it was just taken from who could begin it.
            let run = unsafe { &mut *self.runs.get().cast::<Run>().add(at) };
            if !run.row.is_null() && !mutant!("hand_file") {
                // SAFETY: By the type invariants it is valid: this one was not begun.
                run.taken.lend(unsafe { HeldFile::another(run.row) });
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
            let indices = unsafe { &*self.indices.get() };
            let Some(&index) = last.and_then(|at| indices.get(at)) else {
                return false;
            };
            if !which(index) {
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

impl<'a> Grip<'a> {
    /// What it is the right to.
    pub(crate) fn hand(&self) -> &'a Hand {
        self.0
    }

    /// Begins the next one, if there is any and it may; its place, too.
    #[inline(always)]
    pub(crate) fn begin_run(&mut self) -> Option<(usize, &mut Run)> {
        let Begun::At(at) = self.begin() else {
            return None;
        };
        // SAFETY: In bounds, as there are at most `HANDFUL`. It was just begun, and by the type invariants nobody but the grip,
        // which is borrowed, accesses it.
        Some((at, unsafe { &mut *self.0.runs.get().cast::<Run>().add(at) }))
    }

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
            // INVARIANT: Only the grip says that one more is begun. Who sees that sees what was over before.
            if self.0.word.exchange(word, word + 1) {
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

    /// The entry at `at` and the one behind it.
    ///
    /// # Safety
    ///
    /// Both must have been begun since the hand was filled.
    #[inline(always)]
    pub(crate) unsafe fn pair(&mut self, at: usize) -> (&mut Run, &mut Run) {
        let runs = self.0.runs.get().cast::<Run>();
        // SAFETY: As the caller promises, in bounds. By the type invariants nobody but the grip, which is borrowed, accesses
        // any; they are two.
        unsafe { (&mut *runs.add(at), &mut *runs.add(at.wrapping_add(1))) }
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
    // Inlined, it has too few registers.
    #[inline(never)]
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
        let indices = unsafe { &mut *self.0.indices.get() };
        let count = state.pull_for_lane::<W>(source, runs, |at, index| {
            if let Some(place) = indices.get_mut(at) {
                *place = index;
            }
        });
        // INVARIANT: None is over. Nobody looks, as that takes the lock as well.
        self.0.over.store(0);
        self.0.told.store(0);
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

    /// Has `tell` look for what page workers have done and not told of, each of which may sleep by now; what they had in hand was
    /// taken back, so that none begins more before it tells by itself.
    pub(crate) fn tell_for_w(&self, mut tell: impl FnMut(&Hand)) {
        for drain in self.running.iter() {
            drain.hand().look();
            tell(drain.hand());
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
