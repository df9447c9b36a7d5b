// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entering the kernel for the ring, and what becomes of the entries when it refuses that.
//!
//! It may do so long after set-up: a program puts a seccomp filter on, or closes descriptors that it has
//! not opened. From then on the ring is not entered any more. What the kernel has not taken from the
//! queue it never will: the pool makes those calls, and all that come. What it has taken goes on, and
//! completes in the ring's memory, which stays mapped as long as anything is in progress; its ends are
//! looked for now and then, since nothing tells of them.

use core::time::Duration;

use io_uring::{
    opcode, squeue,
    types::{Fd, SubmitArgs, Timespec},
};

use super::{BELL, PATIENCE, Uring};
use crate::{
    Errno,
    page::{Counter, Submitter},
};

/// How often in a row, [`PATIENCE`] apart, the kernel may have no memory before the ring is given up.
const FAILURES: u32 = 100;

/// Errnos of an enter that may succeed later: interrupted, its time over, no memory for a request or
/// no room for what has completed, which some of it makes.
const PASSING: [Errno; 6] = [
    Errno::EINTR,
    Errno::ETIME,
    Errno::EAGAIN,
    Errno::EBUSY,
    Errno::ENOMEM,
    Errno::EBADR,
];

impl Uring {
    /// Puts requests into the queue; `false` if they are not to be made by the kernel.
    #[must_use]
    pub(super) fn push(&mut self, requests: &[squeue::Entry]) -> bool {
        while self.refused.is_none() {
            // SAFETY: What the requests point to is the job's: its maker keeps it until its entry is
            // completed, which is after that of the request; or the kernel reads it when it takes
            // the request, and a flight keeps it until then.
            if unsafe { self.ring.submission().push_multiple(requests) }.is_ok() {
                self.queued += requests.len() as u64;
                self.owes = true;
                return true;
            }
            // The queue has room for all entries: it is full of what could not be submitted.
            self.submit();
            let queue = self.ring.submission();
            if queue.capacity() - queue.len() < requests.len() {
                drop(queue);
                self.pause(Errno::ENOMEM);
            }
        }
        false
    }

    /// Gives the kernel what was prepared.
    pub(in super::super) fn submit(&mut self) {
        self.owes = false;
        while self.refused.is_none() && !self.ring.submission().is_empty() {
            self.region().count(Counter::Kicks);
            match self.ring.submit().map_err(|error| Errno::of(&error)) {
                Ok(1..) => self.failures = 0,
                Err(Errno::EINTR) => {}
                // What is left is tried again with the next submission.
                Ok(0) => return,
                Err(errno) => return self.failed(errno),
            }
        }
    }

    /// Submits what follows on completions.
    pub(in super::super) fn go_on(&mut self) {
        if self.owes {
            self.submit();
        }
    }

    /// Brings in completions that only a system call of this thread does.
    pub(super) fn run_task_work(&mut self) {
        if self.refused.is_some() {
            // Any call.
            return std::thread::yield_now();
        }
        self.region().count(Counter::Kicks);
        if let Err(error) = self.ring.submit() {
            // What it cannot submit is tried again with the next submission.
            self.failed(Errno::of(&error));
        }
    }

    /// Has the ring complete something when the bell is rung.
    pub(super) fn poll_bell(&mut self) {
        if self.bell_polled || self.refused.is_some() {
            return;
        }
        if let Some(fd) = self.bell.fd() {
            let request = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).build();
            self.bell_polled = self.push(&[request.user_data(BELL)]);
        }
    }

    /// Submits, and waits for so many completions.
    pub(super) fn enter(&mut self, count: usize, time: Option<Duration>) {
        self.region().count(Counter::WaitSleeps);
        self.owes = false;
        let result = match time.map(Timespec::from) {
            None => self.ring.submit_and_wait(count),
            Some(time) => {
                let args = SubmitArgs::new().timespec(&time);
                self.ring.submitter().submit_with_args(count, &args)
            }
        };
        match result.map_err(|error| Errno::of(&error)) {
            // Whatever has that number now, it is not the ring.
            Ok(0) if !self.ring.submission().is_empty() => self.pause(Errno::EBADF),
            Ok(_) | Err(Errno::EINTR | Errno::ETIME) => self.failures = 0,
            Err(errno) => {
                self.failed(errno);
                if self.refused.is_none() {
                    self.pause(errno);
                }
            }
        }
    }

    /// Sleeps without the ring, until `want` completions can be reaped, or the time is over, or the bell
    /// rings.
    pub(super) fn rest(&self, submitter: &Submitter, want: u32, time: Option<Duration>) {
        self.region().count(Counter::WaitSleeps);
        let over = || submitter.completions() >= want || self.bell.is_rung();
        match time {
            None => self.bell.event.wait(over),
            Some(time) => {
                self.bell.event.wait_timeout(time, over);
            }
        }
    }

    /// Whether the kernel has something whose end tells nobody.
    pub(super) fn lands_untold(&self) -> bool {
        self.refused.is_some() && self.flights.iter().any(Option::is_some)
    }

    /// Whether the descriptor may not be the ring's any more.
    pub(super) fn is_lost(&self) -> bool {
        let forbids = |errno| {
            [Errno::EPERM, Errno::EACCES, Errno::ENOSYS].contains(&errno)
                || PASSING.contains(&errno)
        };
        self.refused.is_some_and(|errno| !forbids(errno))
    }

    /// After an enter that gave an error.
    fn failed(&mut self, errno: Errno) {
        if !PASSING.contains(&errno) {
            self.refuse(errno);
        }
    }

    /// Lets some time go by before the next try, for a bounded number of times.
    fn pause(&mut self, errno: Errno) {
        self.failures += 1;
        if self.failures > FAILURES {
            self.refuse(errno);
        } else {
            std::thread::sleep(PATIENCE);
        }
    }

    /// The ring is not entered any more: what the kernel has not taken is the pool's.
    fn refuse(&mut self, errno: Errno) {
        if self.refused.replace(errno).is_some() {
            return;
        }
        let left = self.ring.submission().len() as u64;
        let taken = self.queued - left;
        for index in 0..self.flights.len() {
            let waits = |flight: &super::Flight| flight.place >= taken;
            if !self.flights[index].as_ref().is_some_and(waits) {
                continue;
            }
            if let Some(mut flight) = self.lift(index) {
                flight.job.count_as(Counter::EntriesT);
                self.pool.pool().queue(flight.job);
            }
        }
    }
}
