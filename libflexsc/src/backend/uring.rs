// SPDX-License-Identifier: MIT OR Apache-2.0
//! io_uring as one more executor of the page.
//!
//! The thread that posts takes the entries itself, when it flushes and when it waits. Of the calls
//! that io_uring makes exactly as the plain call it makes submission queue entries ([`calls`]), as
//! many as there are for one `io_uring_enter(2)`; all others it gives to a pool of threads, that of
//! the `threads` backend. What io_uring completes becomes a completion of the page when the thread
//! looks, and lets the next of a chain begin.
//!
//! Nobody but this thread touches the ring. The pool, and wakers of any thread, end its sleep by the
//! [bell](Bell), whose event file the ring polls.
//!
//! An errno that io_uring may have made by itself is not believed: the pool makes the call again.
//! That includes `ECANCELED` and `EINTR` that nobody asked for, which are what is left of a request
//! whose thread has ended: a context may move to another one.
//!
//! A ring that may not be [entered](entering) any more is left to end what it has; the pool does the rest.

mod calls;
mod entering;
mod setup;

use core::{mem::ManuallyDrop, time::Duration};
use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::Arc,
    time::Instant,
};

use io_uring::{
    IoUring, cqueue, opcode,
    squeue::{self, Flags},
    types::{CancelBuilder, Timespec},
};

use super::{Bell, attempt::Step, job::Job, ring::Cancel, threads::Threads};
use crate::{
    Errno,
    page::{Counter, Region, Submitter},
    sys::{self, guard::ForkGuard},
};

use calls::Calls;

pub(super) use calls::is_positional;
pub use setup::Refusal;
pub(super) use setup::open;

/// What a completion is of: the upper half of its number; the lower one is the entry's index.
const ENTRY: u64 = 0;
/// The time limit of an entry.
const LIMIT: u64 = 1 << 32;
/// The bell's event file.
const BELL: u64 = 2 << 32;

/// What a call returns that is to be made again after a signal, as some workers leave it.
const RESTARTS: core::ops::RangeInclusive<i32> = -516..=-512;

/// How long a sleep is while there are requests that could not be cancelled at once, or whose ends tell
/// nobody.
const PATIENCE: Duration = Duration::from_millis(10);

/// How often a cancel looks whether the request can be found now.
const LOOKS: usize = 4;

/// A ring, and the pool beside it.
pub(crate) struct Uring {
    ring: ManuallyDrop<IoUring>,
    calls: Calls,
    /// What the kernel has, by the entries' indices. It may use the memory that the job holds, and
    /// this is dropped only when nothing is in progress.
    flights: Box<[Option<Flight>]>,
    /// Of each entry whether its file has positions, if who pushed it knew.
    seeks: Box<[Option<bool>]>,
    /// Flights that end with one completion, which is one of the page.
    single: u32,
    /// Flights that have a time limit.
    timed: u32,
    /// Those that are to end, and that the kernel has not ended at once: to be looked for again.
    elusive: Vec<u32>,
    /// Requests were made outside of a flush.
    owes: bool,
    /// How many requests were put into the queue, ever.
    queued: u64,
    /// How often in a row an enter has failed that may succeed later.
    failures: u32,
    /// Why the ring is not entered any more.
    refused: Option<Errno>,
    /// An entry ended early because it was cancelled.
    gave_up: bool,
    pool: Threads,
    bell: Arc<Bell>,
    bell_polled: bool,
    landings: Vec<cqueue::Entry>,
    guard: ForkGuard,
}

/// An entry in the kernel's hands.
struct Flight {
    job: Job,
    /// How many requests were queued before its own.
    place: u64,
    cancelled: bool,
    /// Read by the kernel when it takes the request.
    _limit: Option<Box<Timespec>>,
}

impl Flight {
    fn is_single(&self) -> bool {
        !self.job.is_watch() && !self.job.has_next()
    }

    /// Why it is to end, if it is.
    fn end(&self) -> Option<Errno> {
        let late = |deadline| deadline <= Instant::now();
        if self.job.deadline().is_some_and(late) {
            Some(Errno::ETIME)
        } else {
            self.cancelled.then_some(Errno::ECANCELED)
        }
    }
}

impl Uring {
    pub(super) fn pool(&self) -> &Threads {
        &self.pool
    }

    /// Rung at each completion of the pool.
    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// The file whose readiness tells of completions.
    pub(super) fn fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// How long a sleep may be.
    pub(super) fn patience(&mut self) -> Option<Duration> {
        let limit = self.next_limit();
        self.cancel_elusive();
        let untold = !self.elusive.is_empty() || self.lands_untold();
        let slice = untold.then_some(PATIENCE);
        limit.into_iter().chain(slice).min()
    }

    fn region(&self) -> &Region {
        self.pool.pool().region()
    }

    /// For each entry that is pushed, before it is published.
    pub(super) fn reset(&mut self, index: u32, seeks: Option<bool>) {
        self.pool.reset(index);
        self.seeks[index as usize] = seeks;
    }

    /// Takes what was published. The requests wait for [`Self::submit`], or a sleep.
    pub(super) fn take(&mut self, submitter: &Submitter) {
        while let Some(entry) = self.pool.pool().executor().take() {
            self.advance(Job::new(entry));
        }
        self.pool.pool().see_to_ready(submitter);
    }

    /// Goes on with an entry, and those of its chain, until somebody else has it.
    fn advance(&mut self, mut job: Job) {
        let pool = self.pool.pool().clone();
        loop {
            let over = match job.begin(&pool) {
                Err(errno) => -i64::from(errno.raw()),
                Ok(()) => match self.request(&mut job) {
                    None => return self.give(job),
                    Some(request) => match self.launch(job, request) {
                        None => return,
                        Some(next) => {
                            job = next;
                            continue;
                        }
                    },
                },
            };
            match job.complete(&pool, over) {
                Some(next) => job = next,
                None => return,
            }
        }
    }

    /// The request that makes the call; `None` if the pool is to.
    fn request(&mut self, job: &mut Job) -> Option<squeue::Entry> {
        match self.refused {
            None => self.calls.request(job, &self.seeks),
            Some(_) => None,
        }
    }

    /// Has the pool make a call.
    fn give(&self, mut job: Job) {
        job.count_as(Counter::EntriesT);
        self.pool.pool().give(job);
    }

    /// Gives a request to the kernel with the next submission. Returns what is to be gone on with
    /// instead, if its time is over.
    fn launch(&mut self, mut job: Job, request: squeue::Entry) -> Option<Job> {
        let index = job.index();
        let number = u64::from(index);
        let mut limit = None;
        let place = self.queued;
        let request = request.user_data(ENTRY | number);
        let queued = match job.deadline() {
            None => self.push(&[request]),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return job.give_up(self.pool.pool(), Errno::ETIME);
                }
                let time = &*limit.insert(Box::new(Timespec::from(left)));
                let timer = opcode::LinkTimeout::new(&raw const **time)
                    .build()
                    .user_data(LIMIT | number);
                let linked = request.flags(Flags::IO_LINK);
                self.push(&[linked, timer])
            }
        };
        if !queued {
            self.give(job);
            return None;
        }
        job.count_as(Counter::EntriesW);
        let flight = Flight {
            job,
            place,
            cancelled: false,
            _limit: limit,
        };
        self.single += u32::from(flight.is_single());
        self.timed += u32::from(flight.job.deadline().is_some());
        self.flights[index as usize] = Some(flight);
        None
    }

    /// Completes entries of which the kernel has completed the requests.
    pub(super) fn collect(&mut self, submitter: &Submitter) {
        let mut any = false;
        // The flag is left standing by requests whose thread has ended, so it is believed once.
        for entered in [false, true] {
            let mut landings = core::mem::take(&mut self.landings);
            landings.extend(self.ring.completion());
            for landing in landings.drain(..) {
                any = true;
                self.landed(&landing);
            }
            self.landings = landings;
            // Completions that only a system call brings in.
            if entered || !self.ring.submission().taskrun() {
                break;
            }
            self.run_task_work();
        }
        if any {
            self.pool.pool().see_to_ready(submitter);
        }
    }

    fn landed(&mut self, landing: &cqueue::Entry) {
        let number = landing.user_data();
        let ret = match landing.result() {
            ret if RESTARTS.contains(&ret) => -i64::from(libc::EINTR),
            ret => i64::from(ret),
        };
        match number & !u64::from(u32::MAX) {
            ENTRY => {}
            BELL => {
                self.bell_polled = false;
                return self.bell.empty();
            }
            _ => return,
        }
        let pool = self.pool.pool().clone();
        let index = number as u32 as usize;
        if cqueue::more(landing.flags()) {
            if let (Some(flight), Ok(events)) = (&self.flights[index], u16::try_from(ret)) {
                flight.job.tell(&pool, events);
            }
            return;
        }
        let Some(flight) = self.lift(index) else {
            return;
        };
        let end = flight.end();
        let mut job = flight.job;
        let cancelled = ret == -i64::from(libc::ECANCELED);
        let interrupted = ret == -i64::from(libc::EINTR);
        let mut give_up = |job: Job, errno| {
            self.gave_up |= errno == Errno::ECANCELED;
            job.give_up(&pool, errno)
        };
        let next = match end {
            Some(errno) if cancelled || (interrupted && errno == Errno::ETIME) => {
                give_up(job, errno)
            }
            // The call had no effect.
            None if cancelled || interrupted => return self.give(job),
            _ if self.calls.doubts(&job, ret) => return self.give(job),
            _ if job.is_watch() && ret >= 0 => {
                // The kernel has stopped telling of it, as it does with a full queue.
                job.tell(&pool, ret as u16);
                match end {
                    Some(errno) => give_up(job, errno),
                    None => Some(job),
                }
            }
            _ => match job.took(calls::returned(&job, ret)) {
                Step::Over(ret) => job.complete(&pool, ret),
                Step::Wait(_) => match end {
                    Some(errno) => give_up(job, errno),
                    None => Some(job),
                },
            },
        };
        if let Some(next) = next {
            self.advance(next);
        }
    }

    /// Takes an entry that the kernel has no more.
    fn lift(&mut self, index: usize) -> Option<Flight> {
        let flight = self.flights[index].take()?;
        self.single -= u32::from(flight.is_single());
        self.timed -= u32::from(flight.job.deadline().is_some());
        Some(flight)
    }

    /// Ends an entry early.
    pub(super) fn cancel(&mut self, submitter: &Submitter, index: u32) -> Cancel {
        let place = index as usize;
        // It may be over, or wait again for the rest.
        self.collect(submitter);
        self.gave_up = false;
        if let Some(Some(flight)) = self.flights.get_mut(place) {
            flight.cancelled = true;
            // Should the pool get it.
            self.pool.pool().parking().cancel(index);
            self.submit();
            for _ in 0..LOOKS {
                if self.cancel_request(index) {
                    return Cancel::Cancelled;
                }
                // It may be in between, and this thread's to go on with.
                self.collect(submitter);
                if self.flights[place].is_none() {
                    break;
                }
            }
            if self.flights[place].is_some() {
                self.elusive.push(index);
                return Cancel::Running;
            }
            if self.gave_up {
                return Cancel::Cancelled;
            }
            return match self.pool.cancel(submitter, index) {
                // It was not when this began: the pool has heeded the mark, or it was interrupted.
                Cancel::Over => match submitter.returned(index).map(i64::wrapping_neg) {
                    Some(errno) if errno == i64::from(libc::ECANCELED) => Cancel::Cancelled,
                    _ => Cancel::Running,
                },
                answer => answer,
            };
        }
        self.pool.cancel(submitter, index)
    }

    /// Whether the kernel has found the request and cancels it.
    fn cancel_request(&self, index: u32) -> bool {
        if self.is_lost() {
            return false;
        }
        let request = CancelBuilder::user_data(ENTRY | u64::from(index));
        self.region().count(Counter::Kicks);
        self.ring
            .submitter()
            .register_sync_cancel(Some(Timespec::new()), request)
            .is_ok()
    }

    fn cancel_elusive(&mut self) {
        let mut elusive = core::mem::take(&mut self.elusive);
        elusive.retain(|&index| {
            let flight = self.flights[index as usize].as_ref();
            flight.is_some_and(|flight| flight.end().is_some()) && !self.cancel_request(index)
        });
        self.elusive = elusive;
    }

    /// How long until the next time limit. The kernel keeps them, but for calls that its workers
    /// sleep in: what is late is to be cancelled.
    fn next_limit(&mut self) -> Option<Duration> {
        if self.timed == 0 {
            return None;
        }
        let now = Instant::now();
        let mut next = None;
        for flight in self.flights.iter().flatten() {
            let Some(deadline) = flight.job.deadline() else {
                continue;
            };
            if deadline > now {
                next = next.into_iter().chain([deadline - now]).min();
            } else if !self.elusive.contains(&flight.job.index()) {
                self.elusive.push(flight.job.index());
            }
        }
        next
    }

    /// Submits what was prepared and sleeps until `want` completions can be reaped, or the time is
    /// over, or the bell rings; also ends for no reason.
    pub(super) fn sleep(
        &mut self,
        submitter: &Submitter,
        want: u32,
        timeout: Option<Duration>,
        bell: Option<&Bell>,
    ) {
        let own = self.bell.clone();
        loop {
            if bell.is_none() {
                own.silence();
            }
            self.collect(submitter);
            let ready = submitter.completions();
            if ready >= want || bell.is_some_and(Bell::is_rung) {
                return self.go_on();
            }
            let patience = self.patience();
            self.poll_bell();
            // Where nothing but single requests is in progress each brings one.
            let left = submitter.outstanding() as u32 - ready.min(submitter.outstanding() as u32);
            let only_single = bell.is_none() && left == self.single;
            let missing = if only_single {
                (want - ready).min(left)
            } else {
                1
            };
            let time = timeout.into_iter().chain(patience).min();
            self.region().count(Counter::Waits);
            if self.refused.is_some() {
                self.rest(submitter, want, time);
            } else {
                own.park_by(|| self.enter(missing as usize, time));
            }
            if timeout.is_some() {
                return self.collect(submitter);
            }
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if self.is_lost() && !self.guard.is_forked() {
            // The number may be another file's by now, and so may that of the bell's.
            self.bell.give_up();
        } else if self.guard.is_forked() {
            // A forked child has the file, and has never had the queues: something else may be there.
            // SAFETY: The ring, which owns the file, is never used or dropped after this.
            drop(unsafe { OwnedFd::from_raw_fd(self.ring.as_raw_fd()) });
        } else {
            // SAFETY: Nobody uses it after this.
            unsafe { ManuallyDrop::drop(&mut self.ring) };
        }
    }
}

const _: () = assert!(sys::MAX_ENTRIES as u64 <= LIMIT);
