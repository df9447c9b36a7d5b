// SPDX-License-Identifier: GPL-2.0

//! Taking entries from the submission ring, and linking those of a chain.

use crate::{
    abi::{
        ENTRY_LINK,
        ENTRY_TIMEOUT, //
    },
    call::{
        self,
        Call,
        Lane,
        Names, //
    },
    clock,
    context::Context,
    file::HeldFiles,
    shared::{
        Counter,
        Posted,
        Shared,
        Word, //
    },
    slots::{
        InFlight,
        Place,
        Run, //
    },
    state::State, //
};
use kernel::task::Task;

/// Most entries that are taken from the ring in one go, which bounds the time under the lock.
pub(crate) const BATCH: usize = 64;

/// Where entries are taken from.
pub(crate) struct Source<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) in_flight: &'a InFlight,
    /// Who has the process's fd table: entries hold files of no other.
    pub(crate) table: Option<&'a Task>,
}

impl Source<'_> {
    /// The files that the arguments of an entry name, if its call works on such.
    #[inline]
    fn files(&self, call: Option<&Call>, posted: &Posted) -> Option<HeldFiles> {
        let call = call.filter(|call| call.names_files(posted.flags))?;
        Some(HeldFiles::new(call, posted, self.table))
    }
}

/// Most entries that the caller of wait, a page worker or a system call thread takes in one go: each has its place on the
/// caller's stack, or in a [`Hand`](crate::hand::Hand).
pub(crate) const HANDFUL: usize = 12;

/// The last entry that was taken, if the next one is to follow it in its chain.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    index: u16,
    /// How many more the chain may have. One that is published at once has no more entries
    /// than there are; what is added to it later could go on for ever.
    room: u32,
}

/// What became of an entry that the ring names.
enum Took {
    /// It is no posted one.
    Nothing,
    /// It is in its slot, queued or behind another.
    ToSlot,
    /// It is in the hands of who takes it.
    Here,
}

/// What was taken at once.
struct Pulled {
    /// Something was posted.
    any: bool,
    /// How many are in the hands of who takes them.
    count: usize,
}

impl Run {
    /// Holds the files that its call works on; the entry has no flags. That of the one `before` it in the same hands, if that
    /// works on the same, is passed on: one look-up does for all in a row, as they were posted before it, so that
    /// none can mean another file.
    #[inline(always)]
    fn take_files(&mut self, call: &Call, before: &mut [Self], source: &Source<'_>) {
        if let (Names::First, [.., before]) = (call.names(), before) {
            if self.names_file_of(before) {
                before.leads = true;
                self.row = before.row;
                if self.row.is_null() {
                    [self.row, _] = before.taken.as_ptrs();
                }
                return;
            }
        }
        self.taken = HeldFiles::new(call, &self.posted, source.table);
    }

    /// Whether its first argument names the one file that `before` works on.
    #[inline(always)]
    fn names_file_of(&self, before: &Self) -> bool {
        // CAST: As the system calls cut their argument.
        let number = |run: &Self| run.posted.args[0] as u32;
        (number(before) == number(self) || mutant!("lead_any"))
            && before.posted.flags == 0
            && before.call.is_some_and(Call::names_one_file)
    }
}

impl State {
    /// How far the ring has been taken.
    pub(crate) fn sub_head(&self) -> u32 {
        self.sub_head
    }

    /// Whether the application has posted what nobody has taken yet.
    pub(crate) fn ring_ready(&self, shared: &Shared) -> bool {
        shared.load(Word::SubTail) != self.sub_head
    }

    /// Looks at as many `slots` of the ring, where something was posted, and lets `take` take each entry that is
    /// named there and not in flight, up to the last that it wants. Returns whether there were any.
    #[inline]
    fn pull(
        &mut self,
        source: &Source<'_>,
        slots: usize,
        mut take: impl FnMut(&mut Self, u16) -> Took,
    ) -> bool {
        if self.dissolved {
            return false;
        }
        let Source {
            shared, in_flight, ..
        } = *source;
        let tail = shared.load(Word::SubTail);
        let mut rejected = 0;
        // More than the ring holds: what lies further back was overwritten, if ever posted.
        let excess = tail
            .wrapping_sub(self.sub_head)
            .saturating_sub(shared.entries());
        if excess > 0 {
            self.sub_head = self.sub_head.wrapping_add(excess);
            rejected += i64::from(excess);
        }
        let mut head = self.sub_head;
        // CAST: No more than the ring holds.
        let count = slots.min(tail.wrapping_sub(head) as usize);
        for _ in 0..count {
            let mut index = shared.submitted(head);
            if mutant!("bounds") {
                index &= shared.entries() - 1;
            }
            head = head.wrapping_add(1);
            if !in_flight.mark(index) {
                // Or there is no such entry.
                rejected += 1;
                continue;
            }
            // CAST: Below MAX_ENTRIES, which fits u16.
            let index = index as u16;
            match take(self, index) {
                Took::Nothing => {
                    in_flight.clear(index);
                    rejected += 1;
                }
                Took::ToSlot | Took::Here => {}
            }
        }
        self.sub_head = head;
        if head == tail {
            // A chain is published at once: there is no more of it.
            self.open = None;
        }
        shared.store(Word::SubHead, head);
        if rejected > 0 {
            shared.count(Counter::Rejected, rejected);
        }
        count > 0
    }

    /// Takes an entry that was just marked as in flight, and queues it for its lane unless it has to wait for
    /// another.
    fn take_for_lane(&mut self, index: u16, source: &Source<'_>) -> Took {
        let Some(slot) = self.slots.get_mut(index) else {
            return Took::Nothing;
        };
        if !source.shared.take(u32::from(index), &mut slot.posted) {
            return Took::Nothing;
        }
        let observer = source.shared.observer();
        observer.submitted(u32::from(index), slot.posted.nr);
        slot.renew();
        slot.call = call::find(slot.posted.nr);
        let (flags, call) = (slot.posted.flags, slot.call);
        if !self.link(index, flags, source.shared.entries()) {
            self.begin(index, source);
            self.push(index, call::first_lane(call));
        }
        Took::ToSlot
    }

    /// The same, but into `run`, which holds nothing, if it has to wait for none and is one that who takes
    /// it `executes`; `place` is where it is then. The same hands have those `before` it.
    #[inline(always)]
    fn take_here(
        &mut self,
        index: u16,
        before: &mut [Run],
        run: &mut Run,
        source: &Source<'_>,
        place: Place,
        executes: impl Fn(&Run) -> bool,
    ) -> Took {
        let Some(slot) = self.slots.get_mut(index) else {
            return Took::Nothing;
        };
        if !source.shared.take(u32::from(index), &mut run.posted) {
            return Took::Nothing;
        }
        slot.renew();
        slot.place(place);
        run.index = index;
        (run.leads, run.plain) = (false, false);
        run.row = core::ptr::null_mut();
        run.call = call::find(run.posted.nr);
        // Most have no flags and are in no chain.
        if run.posted.flags != 0 || self.open.is_some() {
            return self.take_special(run, source, executes);
        }
        if !executes(run) {
            return self.take_to_slot(run, source);
        }
        run.plain = run.call.is_some();
        if let Some(call) = run.call.filter(|call| call.names() != Names::Nothing) {
            run.take_files(call, before, source);
        }
        Took::Here
    }

    /// The same for one with flags or in a chain.
    #[inline(never)]
    fn take_special(
        &mut self,
        run: &mut Run,
        source: &Source<'_>,
        executes: impl Fn(&Run) -> bool,
    ) -> Took {
        let (index, flags) = (run.index, run.posted.flags);
        if self.link(index, flags, source.shared.entries()) {
            self.copy_to_slot(run, source);
            return Took::ToSlot;
        }
        if !executes(run) {
            return self.take_to_slot(run, source);
        }
        if let Some(taken) = source.files(run.call, &run.posted) {
            run.taken = taken;
        }
        self.limit(index, flags, run.posted.time);
        Took::Here
    }

    fn copy_to_slot(&mut self, run: &Run, source: &Source<'_>) {
        let observer = source.shared.observer();
        observer.submitted(u32::from(run.index), run.posted.nr);
        if let Some(slot) = self.slots.get_mut(run.index) {
            (slot.posted, slot.call) = (run.posted, run.call);
        }
    }

    /// What was taken is left to its call's lane.
    fn take_to_slot(&mut self, run: &Run, source: &Source<'_>) -> Took {
        self.copy_to_slot(run, source);
        self.begin(run.index, source);
        self.push(run.index, call::first_lane(run.call));
        Took::ToSlot
    }

    /// Puts an entry that was taken at the end of the chain that is being taken, if there is
    /// one. Returns whether it has to wait for another.
    #[inline(never)]
    fn link(&mut self, index: u16, flags: u16, entries: u32) -> bool {
        if self.open.is_none() && flags & ENTRY_LINK == 0 {
            return false;
        }
        let open = self.open.take();
        let room = open.map_or(entries, |open| open.room) - 1;
        if flags & ENTRY_LINK != 0 && room > 0 {
            self.open = Some(Open { index, room });
        }
        let Some(before) = open.and_then(|open| self.slots.get_mut(open.index)) else {
            return false;
        };
        if mutant!("link_order") {
            return false;
        }
        before.next = Some(index);
        self.slots.place(index, Place::Linked);
        true
    }

    /// From now on an entry takes time, and holds the files that its arguments name.
    pub(crate) fn begin(&mut self, index: u16, source: &Source<'_>) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        if let Some(taken) = source.files(slot.call, &slot.posted) {
            slot.taken = taken;
        }
        let (flags, span) = (slot.posted.flags, slot.posted.time);
        self.limit(index, flags, span);
    }

    /// From now on an entry with these flags takes time, of which it has `span` nanoseconds.
    fn limit(&mut self, index: u16, flags: u16, span: i64) {
        if flags & ENTRY_TIMEOUT == 0 {
            return;
        }
        let deadline = clock::after(span);
        if let Some(slot) = self.slots.get_mut(index) {
            slot.deadline = deadline;
        }
        self.set_alarm(deadline);
    }

    /// Takes posted entries and queues each for its lane.
    pub(crate) fn pull_for_lanes(&mut self, source: &Source<'_>) {
        self.pull(source, BATCH, |state, index| {
            state.take_for_lane(index, source)
        });
    }

    /// Takes entries for the calling thread to execute, into `handful`, which hold nothing: those that page workers have
    /// taken and not come to, which may all sleep, else posted ones. Returns how many, or `None` if there was nothing.
    pub(crate) fn pull_for_caller(
        &mut self,
        source: &Source<'_>,
        handful: &mut [Run; HANDFUL],
    ) -> Option<usize> {
        let count = self.take_from_w(handful);
        if count > 0 {
            return Some(count);
        }
        let pulled = self.pull_handful(source, handful, Place::InHand, true, |_| true, |_, _| {});
        pulled.any.then_some(pulled.count)
    }

    /// Takes posted entries for a page worker if `W`, else for a thread, into `handful`, which hold nothing, and queues the others for
    /// theirs; says to `note` the place and the index of each, and returns how many there are. Only page workers pass files on.
    #[inline(always)]
    pub(crate) fn pull_for_lane<const W: bool>(
        &mut self,
        source: &Source<'_>,
        handful: &mut [Run; HANDFUL],
        note: impl FnMut(usize, u16),
    ) -> usize {
        let is_for = |run: &Run| (call::first_lane(run.call) == Lane::W) == W;
        self.pull_handful(source, handful, Place::AtHand, W, is_for, note)
            .count
    }

    /// Takes posted entries, into `handful`, which hold nothing, and queues those that who takes them does
    /// not execute; says to `note` the place and the index of each of the others. Those in a row have their file from
    /// each other if there are `rows`.
    #[inline(always)]
    fn pull_handful(
        &mut self,
        source: &Source<'_>,
        handful: &mut [Run; HANDFUL],
        place: Place,
        rows: bool,
        executes: impl Fn(&Run) -> bool,
        mut note: impl FnMut(usize, u16),
    ) -> Pulled {
        let mut count = 0;
        let any = self.pull(source, HANDFUL, |state, index| {
            let Some([before @ .., run]) = handful.get_mut(..=count) else {
                return Took::Nothing;
            };
            let before = if rows { before } else { &mut [] };
            let took = state.take_here(index, before, run, source, place, &executes);
            if matches!(took, Took::Here) {
                note(count, index);
                count += 1;
            }
            took
        });
        let observer = source.shared.observer();
        if observer.is_on() {
            for run in handful.iter().take(count) {
                observer.submitted(u32::from(run.index), run.posted.nr);
            }
        }
        Pulled { any, count }
    }

    /// The next entry of a chain whose beginning [`State::pull_for_caller`] has handed out.
    pub(crate) fn caller_run(&mut self, index: u16) -> Option<Run> {
        self.slots.take(index, Place::Running)
    }

    /// Takes one more entry if it would follow `index`, which is over.
    pub(crate) fn close_chain(&mut self, index: u16, source: &Source<'_>) {
        let ends_open = |state: &Self| state.open.is_some_and(|open| open.index == index);
        for _ in 0..BATCH {
            if !ends_open(self) {
                return;
            }
            // The first entry that there is follows this one, so that none has to be placed.
            self.pull(source, 1, |state, index| state.take_for_lane(index, source));
        }
        if ends_open(self) {
            self.open = None;
        }
    }
}

impl Context {
    /// Where this thread takes entries from.
    pub(crate) fn source(&self) -> Source<'_> {
        self.source_by(self.table_task())
    }

    /// The same, by who has looked up already whose fd table it is.
    #[inline]
    pub(crate) fn source_by<'a>(&'a self, table: Option<&'a Task>) -> Source<'a> {
        Source {
            shared: self.shared(),
            in_flight: self.in_flight(),
            table,
        }
    }
}
