// SPDX-License-Identifier: GPL-2.0

//! The kernel's own record of each entry that it has taken.

use crate::{
    abi,
    arm::Arm,
    call::Call,
    chain::ChainFile,
    clock::NEVER,
    fifo::Fifo,
    file::HeldFiles,
    once::Once,
    shared::Posted, //
};
use kernel::{
    alloc::KVVec,
    bindings,
    prelude::*, //
};

/// Where an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Not taken, or its outcome is being published.
    Nowhere,
    /// In a lane's queue.
    Queued,
    /// In the hands of a lane; or over since, if it is not in flight.
    Running,
    /// In the hands of a caller of wait, which may not have begun it; see [`InFlight`]. Or over since.
    InHand,
    /// In the hands of a page worker or a system call thread, which may not have begun it; see [`Hand`](crate::hand::Hand). Or
    /// over since.
    AtHand,
    /// In the wait queues of its file.
    Armed,
    /// In a chain, behind an entry that is not over.
    Linked,
}

/// An entry in the hands of a lane.
pub(crate) struct Run {
    pub(crate) index: u16,
    /// The next one in the same hands works on the same file, which it is to have from this one.
    pub(crate) leads: bool,
    /// The file that it is to have from the one before it, if any. Whichever of the row was begun last has the reference.
    pub(crate) row: *mut bindings::file,
    /// Nothing was to be seen to but the call when it was taken; see [`Run::is_plain`].
    pub(crate) plain: bool,
    pub(crate) posted: Posted,
    /// Its call, if it names one.
    pub(crate) call: Option<&'static Call>,
    /// What it holds if it has waited. May only be dropped where one may sleep.
    pub(crate) held: Option<Arm>,
    /// The file of its chain. May only be dropped where one may sleep.
    pub(crate) file: ChainFile,
    /// What its arguments named when it was taken. Of one that another leads, nothing until that has passed its file on.
    pub(crate) taken: HeldFiles,
}

impl Run {
    /// None, to take one into.
    pub(crate) const fn none() -> Self {
        Self {
            index: 0,
            leads: false,
            row: core::ptr::null_mut(),
            plain: false,
            posted: Posted::none(),
            call: None,
            held: None,
            file: ChainFile::Nothing,
            taken: HeldFiles::none(),
        }
    }
}

/// One entry.
pub(crate) struct Slot {
    /// What the application has written, while no lane has it.
    pub(crate) posted: Posted,
    /// Its call, if it names one, while no lane has it.
    pub(crate) call: Option<&'static Call>,
    pub(crate) place: Place,
    /// Somebody wants it to end: whoever has it must not queue it again.
    pub(crate) cancelled: bool,
    /// What it holds while it is armed, or queued after that.
    pub(crate) held: Option<Arm>,
    /// The file of its chain, from its turn on, while no lane has it.
    pub(crate) file: ChainFile,
    /// What its arguments named when it was taken, while no lane has it.
    pub(crate) taken: HeldFiles,
    /// The entry that waits for this one.
    pub(crate) next: Option<u16>,
    /// When it has to be over.
    pub(crate) deadline: i64,
    /// It is not, and that is why it was cancelled.
    pub(crate) late: bool,
    /// Its caller has not begun it, and will not.
    withdrawn: bool,
    /// When it has slept long enough.
    pub(crate) wake: i64,
}

impl Slot {
    /// It was just taken.
    pub(crate) fn renew(&mut self) {
        self.cancelled = false;
        self.late = false;
        self.withdrawn = false;
        self.next = None;
    }

    /// Whether a device has the entry, or had it.
    pub(crate) fn flies(&self) -> bool {
        self.held.as_ref().is_some_and(Arm::flies)
    }

    /// Keeps a caller that has the entry in hand from beginning it; false if there is none, or it has. True again for what
    /// is withdrawn already.
    pub(crate) fn withdraw(&mut self, index: u16, in_flight: &InFlight) -> bool {
        if self.place == Place::InHand && !self.withdrawn {
            self.withdrawn = in_flight.withdraw(index);
        }
        self.withdrawn
    }

    /// Whether its caller will not begin it.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawn
    }

    /// A lane leaves the entry armed, with what it holds.
    pub(crate) fn give_back(&mut self, run: &mut Run) {
        self.posted = run.posted;
        self.call = run.call;
        self.held = run.held.take();
        self.file = core::mem::take(&mut run.file);
        self.taken = core::mem::take(&mut run.taken);
        self.place = Place::Armed;
    }

    pub(crate) fn place(&mut self, place: Place) {
        self.place = place;
        if place == Place::Nowhere {
            self.deadline = NEVER;
            self.wake = NEVER;
        }
    }
}

/// The records of all entries, by index.
///
/// # Invariants
///
/// - An index is in exactly one queue if its place is `Queued`, and in none otherwise.
/// - An index is the `next` of exactly one entry in flight if its place is `Linked`, but for the
///   moment in which that entry ends.
pub(crate) struct Slots(KVVec<Slot>);

impl Slots {
    /// Records of `entries` entries that were not taken.
    pub(crate) fn new(entries: usize) -> Result<Self> {
        debug_assert!(entries <= abi::MAX_ENTRIES as usize);
        let mut slots = KVVec::with_capacity(entries, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..entries {
            slots.push(
                Slot {
                    posted: Posted::none(),
                    call: None,
                    place: Place::Nowhere,
                    cancelled: false,
                    held: None,
                    file: ChainFile::Nothing,
                    taken: HeldFiles::none(),
                    next: None,
                    deadline: NEVER,
                    late: false,
                    withdrawn: false,
                    wake: NEVER,
                },
                GFP_KERNEL_ACCOUNT,
            )?;
        }
        Ok(Self(slots))
    }

    /// The record of an entry; `None` if there is no such entry.
    pub(crate) fn get(&self, index: u16) -> Option<&Slot> {
        self.0.get(usize::from(index))
    }

    /// The record of an entry; `None` if there is no such entry.
    pub(crate) fn get_mut(&mut self, index: u16) -> Option<&mut Slot> {
        self.0.get_mut(usize::from(index))
    }

    /// Takes an entry from where it is, for a lane or for good.
    pub(crate) fn take(&mut self, index: u16, place: Place) -> Option<Run> {
        let mut run = Run::none();
        self.take_into(index, place, &mut run).then_some(run)
    }

    /// The same, into `run`, which holds nothing. False if there is no such entry.
    pub(crate) fn take_into(&mut self, index: u16, place: Place, run: &mut Run) -> bool {
        let Some(slot) = self.get_mut(index) else {
            return false;
        };
        slot.place(place);
        run.index = index;
        run.leads = false;
        run.row = core::ptr::null_mut();
        run.posted = slot.posted;
        run.call = slot.call;
        run.held = slot.held.take();
        run.file = core::mem::take(&mut slot.file);
        run.taken = core::mem::take(&mut slot.taken);
        run.plain = run.posted.flags == 0
            && run.call.is_some()
            && run.held.is_none()
            && run.file.is_nothing();
        true
    }

    /// Queues an entry that somebody had in hand in `fifo`, with what it holds.
    pub(crate) fn queue(&mut self, run: &mut Run, fifo: &mut Fifo) {
        if let Some(slot) = self.get_mut(run.index) {
            slot.give_back(run);
            slot.place(Place::Queued);
            fifo.push(run.index);
        }
    }

    /// The first entry that waits for its file, from `index` on; none that a device has.
    pub(crate) fn next_armed(&self, index: u16) -> Option<u16> {
        let rest = self.0.get(usize::from(index)..)?;
        let flies = |slot: &Slot| slot.held.as_ref().is_some_and(Arm::is_in_flight);
        let step = rest
            .iter()
            .position(|slot| slot.place == Place::Armed && !flies(slot))?;
        u16::try_from(usize::from(index) + step).ok()
    }

    /// How many entries wait for their file or for a time, and hold no lane.
    pub(crate) fn waiting(&self) -> usize {
        let waits = |slot: &&Slot| {
            slot.place == Place::Armed && slot.held.as_ref().is_none_or(|arm| !arm.has_fired())
        };
        self.0.iter().filter(waits).count()
    }

    /// The first entry whose time has come, from `index` on.
    pub(crate) fn next_due(&self, index: u16, now: i64) -> Option<u16> {
        let rest = self.0.get(usize::from(index)..)?;
        let step = rest
            .iter()
            .position(|slot| slot.deadline.min(slot.wake) <= now)?;
        u16::try_from(usize::from(index) + step).ok()
    }

    /// The earliest time of all entries.
    pub(crate) fn earliest(&self) -> i64 {
        let times = self.0.iter().map(|slot| slot.deadline.min(slot.wake));
        times.min().unwrap_or(NEVER)
    }

    /// Whether an entry has neither been begun nor waited.
    pub(crate) fn is_unbegun(&self, index: u16) -> bool {
        self.get(index).is_some_and(|slot| slot.held.is_none())
    }

    /// Whether an entry is in a queue.
    pub(crate) fn is_queued(&self, index: u16) -> bool {
        self.get(index)
            .is_some_and(|slot| slot.place == Place::Queued)
    }

    /// Says where an entry is from now on.
    pub(crate) fn place(&mut self, index: u16, place: Place) {
        if let Some(slot) = self.get_mut(index) {
            slot.place(place);
        }
    }

    /// Marks all that is in flight as cancelled; returns how many there are.
    pub(crate) fn cancel_all(&mut self, in_flight: &InFlight) -> u32 {
        let mut count = 0;
        for (index, slot) in (0..).zip(self.0.iter_mut()) {
            let idle = matches!(slot.place, Place::Queued | Place::Armed);
            let flies = slot.place != Place::Nowhere && in_flight.has(index);
            if flies && !(idle && mutant!("cancel_idle")) {
                slot.cancelled = true;
                count += 1;
            }
            if flies {
                slot.withdraw(index, in_flight);
            }
        }
        count
    }
}

/// Which entries are in flight, one flag each; not behind the lock.
///
/// A flag is set when an entry is taken and cleared just before it becomes DONE, so an
/// application cannot have one entry executed twice at a time, whatever it writes to the page.
///
/// A caller of wait takes several entries at once ([`Place::InHand`]). What becomes of each is settled by who sets its
/// second bit first: the caller, who begins it, or somebody who cancels it.
pub(crate) struct InFlight(KVVec<Once<u32>>);

const TAKEN: u32 = 1;
const SETTLED: u32 = 2;

impl InFlight {
    pub(crate) fn new(entries: usize) -> Result<Self> {
        let mut flags = KVVec::with_capacity(entries, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..entries {
            flags.push(Once::new(0), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self(flags))
    }

    /// Marks an entry; false if it is in flight already or there is no such entry.
    pub(crate) fn mark(&self, index: u32) -> bool {
        // CAST: u32 fits usize.
        match self.0.get(index as usize) {
            Some(flag) if flag.load_acquire() == 0 || mutant!("in_flight") => {
                flag.store(TAKEN);
                true
            }
            _ => false,
        }
    }

    /// A caller begins an entry that it has in hand; false if that was withdrawn.
    #[inline(always)]
    pub(crate) fn begin(&self, index: u16) -> bool {
        let flag = self.0.get(usize::from(index));
        flag.is_none_or(|flag| flag.sets(SETTLED))
    }

    /// Keeps a caller from beginning an entry that it has in hand; false if it has, or is done with it. Only under the
    /// state's lock, or the entry could be taken anew meanwhile.
    fn withdraw(&self, index: u16) -> bool {
        let flag = self.0.get(usize::from(index));
        flag.is_some_and(|flag| flag.exchange_acquire(TAKEN, TAKEN | SETTLED))
    }

    /// Whether an entry is in flight.
    pub(crate) fn has(&self, index: u16) -> bool {
        let flag = self.0.get(usize::from(index));
        flag.is_some_and(|flag| flag.load_acquire() != 0)
    }

    /// How many entries are in flight.
    pub(crate) fn count(&self) -> usize {
        let marked = |flag: &&Once<u32>| flag.load() != 0;
        self.0.iter().filter(marked).count()
    }

    /// Unmarks an entry, before its DONE is published.
    pub(crate) fn clear(&self, index: u16) {
        if let Some(flag) = self.0.get(usize::from(index)) {
            flag.store_release(0);
        }
    }
}
