// SPDX-License-Identifier: GPL-2.0

//! Chains: entries that are begun one after the other, and the file that they may share.
//!
//! Each entry of a chain but the first waits in its slot ([`Place::Linked`]), and the slot of the
//! one before names it. Whoever ends an entry publishes its outcome first and then gives its
//! successor the turn, with the file; or ends the rest, one by one, without effect. No lane
//! waits for another entry, and the rest of a chain costs nothing until it is its turn.

use crate::{
    abi,
    call::{
        self,
        Call,
        FileUse,
        Frame,
        Lane,
        Verdict,
        FRAME_CLOEXEC,
        FRAME_FILE, //
    },
    context::{
        Context,
        Outcome, //
    },
    file::HeldFile,
    helpers::flexsc_cond_resched,
    intake::Source,
    shared::Counter,
    slots::{
        Place,
        Run, //
    },
    state::State, //
};
use core::{
    mem,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    fs::file::FileDescriptorReservation,
    prelude::*, //
};

/// A file that has no descriptor. May only be dropped where one may sleep.
pub(crate) struct PrivateFile {
    file: HeldFile,
    closes_on_exec: bool,
}

impl PrivateFile {
    /// Gives the file a descriptor of the calling process, as its open would have.
    ///
    /// Fails with `EMFILE` or `ENOMEM`, and the file is gone then.
    fn install(self) -> Result<u32> {
        let flags = if self.closes_on_exec {
            bindings::O_CLOEXEC
        } else {
            0
        };
        let reserved = FileDescriptorReservation::get_unused_fd_flags(flags)?;
        let number = reserved.reserved_fd();
        reserved.fd_install(self.file.into_file());
        Ok(number)
    }
}

/// The file that the entries of a chain work on.
#[derive(Default)]
pub(crate) enum ChainFile {
    /// There is none.
    #[default]
    Nothing,
    /// One that nobody else can reach.
    Private(PrivateFile),
    /// The one that the process has under this number.
    Number(u32),
}

impl ChainFile {
    /// Whether there is none.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Whether it has no descriptor.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self, Self::Private(_))
    }
}

impl Run {
    /// Whether what becomes of the entry matters to others, or to a file.
    pub(crate) fn in_chain(&self) -> bool {
        self.posted.flags & abi::ENTRY_LINK != 0 || !self.file.is_nothing()
    }

    /// Whether the chain's file goes to the application if the entry is handed back. One that
    /// goes on has no room for a number in its result, and nobody needs the file after it.
    pub(crate) fn gives_file(&self) -> bool {
        self.file.is_private() && !self.posted.is_multi()
    }

    fn wants_file(&self) -> bool {
        self.posted.flags & abi::ENTRY_FILE != 0
    }

    /// Whether the entry's flags go together with its call.
    pub(crate) fn suits(&self, call: &Call) -> bool {
        !self.wants_file() || call.file() != FileUse::Leaves
    }

    /// Puts the chain's file into the frame of `call`, which `suits` has let pass, or its number into the
    /// arguments.
    ///
    /// `EBADF` if it wants one and there is none.
    pub(crate) fn lend(&mut self, call: &Call, frame: &mut Frame) -> Result {
        if !self.wants_file() {
            return Ok(());
        }
        if call.opens() {
            frame.flags |= FRAME_FILE;
            return Ok(());
        }
        match &self.file {
            ChainFile::Nothing => return Err(EBADF),
            ChainFile::Private(private) => {
                frame.chain = private.file.as_ptr();
                // Some numbers mean something else than a file: not this.
                self.posted.args[0] = 0;
            }
            ChainFile::Number(number) => self.posted.args[0] = u64::from(*number),
        }
        Ok(())
    }

    /// Takes over what `call` has done to the chain's file. May sleep.
    ///
    /// # Safety
    ///
    /// `frame` must be as the call's handler has left it, with this verdict, after
    /// [`Run::lend`].
    pub(crate) unsafe fn keep(&mut self, call: &Call, frame: &Frame, verdict: &Verdict) {
        let Verdict::Did(ret) = *verdict else {
            return;
        };
        match call.file() {
            FileUse::Opens | FileUse::Accepts if self.wants_file() => {
                if let Some(file) = NonNull::new(frame.chain) {
                    self.file = ChainFile::Private(PrivateFile {
                        // SAFETY: The handler has passed its reference on.
                        file: unsafe { HeldFile::new(file) },
                        closes_on_exec: frame.flags & FRAME_CLOEXEC != 0,
                    });
                }
            }
            FileUse::Opens | FileUse::Accepts if self.posted.flags & abi::ENTRY_LINK != 0 => {
                if let Ok(number) = u32::try_from(ret) {
                    self.file = ChainFile::Number(number);
                }
            }
            FileUse::Closes if self.wants_file() => {
                if let ChainFile::Private(private) = mem::take(&mut self.file) {
                    // The handler has given its reference back.
                    mem::forget(private);
                }
            }
            _ => {}
        }
    }
}

/// What becomes of the rest of a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The next entry begins.
    GoesOn,
    /// All of it is cancelled.
    Cancelled,
    /// All of it is handed back.
    HandedBack,
}

impl Fate {
    /// What it is after an entry that ended so.
    fn after(outcome: &Outcome) -> Self {
        if outcome.is_handed_back() {
            Self::HandedBack
        } else if outcome.ret < 0 && !mutant!("link_cancel") {
            Self::Cancelled
        } else {
            Self::GoesOn
        }
    }

    /// How each entry of the rest ends.
    fn outcome(self) -> Outcome {
        match self {
            Self::HandedBack => Outcome::handed_back(),
            _ => Outcome {
                flags: 0,
                ret: i64::from(ECANCELED.to_errno()),
                counter: Counter::Cancelled,
            },
        }
    }
}

/// Where an entry goes when it is its turn.
#[derive(Clone, Copy)]
pub(crate) enum Go {
    /// To the lane in which its call is begun.
    ToItsLane,
    /// To lane T, whatever its call is, because the one before it was there.
    ToThread,
    /// Nowhere: who has ended the one before goes on with it.
    Here,
}

/// What has become of an entry whose turn it was.
enum Turn {
    /// It is queued.
    Queued,
    /// It is the caller's to run.
    Here,
    /// It is to be cancelled.
    Over,
}

/// What the end of an entry means to its chain.
pub(crate) struct Passed {
    next: Option<(u16, ChainFile)>,
    /// How many entries were ended besides.
    pub(crate) ended: u32,
}

impl State {
    /// Cuts an entry that is over from its chain. Returns the one that follows it, if any.
    pub(crate) fn detach(&mut self, run: &Run, source: &Source<'_>) -> Option<u16> {
        if run.posted.flags & abi::ENTRY_LINK == 0 {
            return None;
        }
        self.close_chain(run.index, source);
        self.slots.get_mut(run.index)?.next.take()
    }

    /// It is the turn of an entry that has waited for the one before it.
    fn turn(
        &mut self,
        index: u16,
        file: ChainFile,
        go: Go,
        dead: bool,
        source: &Source<'_>,
    ) -> Turn {
        let dissolved = self.dissolved;
        let Some(slot) = self.slots.get_mut(index) else {
            return Turn::Over;
        };
        slot.file = file;
        if slot.cancelled || dead || dissolved {
            return Turn::Over;
        }
        let call = slot.call;
        self.begin(index, source);
        match go {
            Go::ToItsLane => self.push(index, call::first_lane(call)),
            Go::ToThread => self.push(index, Lane::T),
            Go::Here => {
                self.slots.place(index, Place::Running);
                return Turn::Here;
            }
        }
        Turn::Queued
    }
}

impl Context {
    /// Publishes the outcome of an entry of a chain that `next` follows, and ends all of the rest
    /// unless it goes on. May sleep.
    pub(crate) fn pass_on(
        &self,
        run: &mut Run,
        next: Option<u16>,
        verdict: Verdict,
        counter: Counter,
    ) -> Passed {
        let gives = run.gives_file();
        let mut file = mem::take(&mut run.file);
        let mut outcome = run.outcome(verdict, counter);
        run.release();
        if outcome.is_handed_back() && gives {
            if let ChainFile::Private(private) = mem::take(&mut file) {
                outcome = self.give(private, counter);
            }
        }
        let fate = Fate::after(&outcome);
        if next.is_none() || fate != Fate::GoesOn {
            // Before the entry is done, as what is closed is gone when close(2) returns.
            file = ChainFile::Nothing;
        }
        self.deliver(run, outcome);
        match next {
            Some(next) if fate == Fate::GoesOn => Passed {
                next: Some((next, file)),
                ended: 0,
            },
            Some(next) => Passed {
                next: None,
                ended: self.end_rest(next, fate),
            },
            None => Passed {
                next: None,
                ended: 0,
            },
        }
    }

    /// An entry is handed back, and with it its chain's file, which gets a descriptor.
    fn give(&self, file: PrivateFile, counter: Counter) -> Outcome {
        let lane = counter.lane();
        let at_home = lane == abi::LANE_C
            || lane == abi::LANE_T && self.identity().who_shares(&*kernel::current!()).is_some();
        let given = if at_home { file.install() } else { Err(EBADF) };
        match given {
            Ok(number) => Outcome {
                ret: i64::from(number),
                ..Outcome::handed_back()
            },
            Err(why) => Outcome {
                flags: 0,
                ret: i64::from(why.to_errno()),
                counter,
            },
        }
    }

    /// Ends all that follows in a chain, without effect, from `index` on; returns how many
    /// entries that were, at most as many as there are.
    fn end_rest(&self, index: u16, mut fate: Fate) -> u32 {
        let (mut next, mut count) = (Some(index), 0);
        while let Some(index) = next {
            let taken = {
                let mut state = self.state();
                if state.slots.get(index).is_some_and(|slot| slot.cancelled) {
                    fate = Fate::Cancelled;
                }
                let taken = state.slots.take(index, Place::Nowhere);
                next = taken
                    .as_ref()
                    .and_then(|run| state.detach(run, &self.source()));
                taken
            };
            if let Some(mut run) = taken {
                // If it was to have the file, that is given back before.
                run.release();
                self.deliver(&run, fate.outcome());
                count += 1;
            }
            flexsc_cond_resched();
        }
        count
    }

    /// Gives the next entry its turn, in the same moment in which a lane leaves the one before by
    /// `leave`. Returns which one the caller has to run, and how many were ended.
    pub(crate) fn proceed(
        &self,
        passed: Passed,
        go: Go,
        leave: impl FnOnce(&mut State),
    ) -> (Option<u16>, u32) {
        let Passed { next, mut ended } = passed;
        let mut here = None;
        let mut state = self.state();
        if let Some((index, file)) = next {
            match state.turn(index, file, go, self.is_dead(), &self.source()) {
                Turn::Queued => {}
                Turn::Here => here = Some(index),
                Turn::Over => {
                    drop(state);
                    ended += self.end_rest(index, Fate::Cancelled);
                    state = self.state();
                }
            }
        }
        leave(&mut state);
        (here, ended)
    }

    /// Publishes the outcome of an entry that no lane had. Somebody has to attend to the next
    /// entry of its chain. Returns how many entries of the chain were ended besides.
    pub(crate) fn finish_idle(&self, mut run: Run, verdict: Verdict, counter: Counter) -> u32 {
        if !run.in_chain() {
            self.finish(&mut run, verdict, counter);
            return 0;
        }
        let next = self.state().detach(&run, &self.source());
        let passed = self.pass_on(&mut run, next, verdict, counter);
        self.proceed(passed, Go::ToItsLane, |_| {}).1
    }
}
