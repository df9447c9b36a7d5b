// SPDX-License-Identifier: MIT OR Apache-2.0
//! The thread of a pool that waits: for files, and for time limits.
//!
//! It waits with poll(2) for all files that parked entries need, and for an epoll file that has those
//! which entries tell of again and again (`MULTI`): that tells once per wake-up, as the module does.

use core::{mem::ManuallyDrop, time::Duration};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{attempt, attempt::Wait, job::Job, threads::Pool};
use crate::{Errno, sys};

/// How often it looks at more files than one poll(2) may name, or without being woken.
const TICK: Duration = Duration::from_millis(10);

/// What the thread of that kind has.
pub(super) struct Poller {
    /// An eventfd: there is something new to wait for.
    wake: ManuallyDrop<File>,
    epoll: ManuallyDrop<OwnedFd>,
    /// Somebody has closed them who has not opened them: their numbers may be other files' by now.
    lost: AtomicBool,
}

impl Poller {
    pub(super) fn new() -> Option<Self> {
        // SAFETY: The calls take no pointer.
        let (wake, epoll) = unsafe {
            (
                libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK),
                libc::epoll_create1(libc::EPOLL_CLOEXEC),
            )
        };
        let own = |fd: i32| {
            // SAFETY: The file was just opened and nobody owns it.
            (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
        };
        let (wake, epoll) = (own(wake), own(epoll));
        Some(Self {
            wake: ManuallyDrop::new(wake?.into()),
            epoll: ManuallyDrop::new(epoll?),
            lost: AtomicBool::new(false),
        })
    }

    /// Makes the thread look again; `false` if it cannot be reached.
    pub(super) fn wake(&self) -> bool {
        let reached = !self.is_lost()
            && match (&*self.wake).write(&1_u64.to_ne_bytes()) {
                Ok(_) => true,
                // A counter at its maximum is readable all the same.
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
        if !reached {
            self.lose();
        }
        reached
    }

    /// Lets it sleep again.
    fn empty(&self) {
        match (&*self.wake).read(&mut [0; 8]) {
            Ok(8) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => self.lose(),
        }
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Begins to tell of a parked entry's file. What it returns is there already, and will
    /// not come again.
    pub(super) fn watch(&self, job: &mut Job) -> Result<u16, Errno> {
        let Some(wait) = job.wait else {
            return Ok(0);
        };
        // A file may be watched by many entries, a number of it by one.
        // SAFETY: The call takes no pointer.
        let fd = unsafe { libc::fcntl(wait.fd, libc::F_DUPFD_CLOEXEC, 0) };
        if fd < 0 {
            return Err(Errno::last());
        }
        // SAFETY: As in `new`.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut event = libc::epoll_event {
            events: wait.events as u16 as u32 | libc::EPOLLET as u32,
            u64: job.index().into(),
        };
        // SAFETY: The event is valid for reads.
        let ret = unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd.as_raw_fd(),
                &mut event,
            )
        };
        let error = Errno::last();
        if ret == 0 {
            job.watched = Some(fd);
            return Ok(0);
        }
        if error != Errno::EPERM {
            return Err(error);
        }
        // A file of a kind that is always ready.
        match attempt::look(wait) {
            events @ 0.. => Ok(events as u16),
            errno => Err(Errno::from_raw(-errno as i32)),
        }
    }

    /// Tells no more of a file.
    pub(super) fn unwatch(&self, fd: OwnedFd) {
        // While it has other names the file would stay in the set.
        // SAFETY: The call uses no pointer.
        unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                fd.as_raw_fd(),
                core::ptr::null_mut(),
            );
        }
    }

    /// The next of the watched entries whose files got ready.
    fn next_watched(&self) -> Option<(u32, u16)> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: The event is valid for writes.
        let count = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), &mut event, 1, 0) };
        if count < 0 && Errno::last() != Errno::EINTR {
            self.lose();
        }
        (count == 1).then_some((event.u64 as u32, event.events as u16))
    }

    /// Ends entries that wait, and lets them go on, until the pool stops.
    pub(super) fn work(&self, pool: &Arc<Pool>) {
        let mut files = Vec::new();
        let mut indices = Vec::new();
        while !pool.is_stopped() {
            files.clear();
            indices.clear();
            for fd in [self.wake.as_raw_fd(), self.epoll.as_raw_fd()] {
                let events = libc::POLLIN;
                // poll(2) leaves negative numbers out.
                let fd = if self.is_lost() { -1 } else { fd };
                files.push(entry(Wait { fd, events }));
            }
            let mut next: Option<Instant> = None;
            pool.parking().look(|parked| {
                for (&index, job) in parked {
                    next = next.into_iter().chain(job.deadline()).min();
                    if let (Some(wait), false) = (job.wait, job.is_watch()) {
                        files.push(entry(wait));
                        indices.push(index);
                    }
                }
            });
            let time = next.map(|next| next.saturating_duration_since(Instant::now()));
            let tick = self.is_lost().then_some(TICK);
            poll_all(&mut files, time.into_iter().chain(tick).min());
            if files[..2]
                .iter()
                .any(|file| file.revents & libc::POLLNVAL != 0)
            {
                self.lose();
            }
            if files[0].revents != 0 && !self.is_lost() {
                self.empty();
            }
            if files[1].revents != 0 && !self.is_lost() {
                self.tell(pool);
            }
            for (file, &index) in files[2..].iter().zip(&indices) {
                if file.revents != 0 {
                    pool.resume(index);
                }
            }
            if next.is_some_and(|next| next <= Instant::now()) {
                end_late(pool);
            }
        }
    }

    fn tell(&self, pool: &Pool) {
        while let Some((index, events)) = self.next_watched() {
            pool.parking().look(|parked| {
                // It may have ended meanwhile, and its index have come to mean another.
                if let Some(job) = parked.get(&index).filter(|job| job.is_watch()) {
                    job.tell(pool, events);
                }
            });
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        if !*self.lost.get_mut() {
            // SAFETY: Nobody uses them after this.
            unsafe {
                ManuallyDrop::drop(&mut self.wake);
                ManuallyDrop::drop(&mut self.epoll);
            }
        }
    }
}

/// Ends what is parked beyond its time.
fn end_late(pool: &Arc<Pool>) {
    let now = Instant::now();
    let late: Vec<_> = pool.parking().look(|parked| {
        let late = |job: &Job| job.deadline().is_some_and(|deadline| deadline <= now);
        let indices: Vec<_> = parked
            .iter()
            .filter(|(_, job)| late(job))
            .map(|(&index, _)| index)
            .collect();
        indices
            .iter()
            .filter_map(|index| parked.remove(index))
            .collect()
    });
    for job in late {
        if let Some(next) = job.give_up(pool, Errno::ETIME) {
            pool.queue(next);
        }
    }
}

fn entry(wait: Wait) -> libc::pollfd {
    libc::pollfd {
        fd: wait.fd,
        events: wait.events,
        revents: 0,
    }
}

/// poll(2), also for more files than it takes.
fn poll_all(files: &mut [libc::pollfd], time: Option<Duration>) {
    if sys::poll(files, time) != -i64::from(libc::EINVAL) {
        return;
    }
    // RLIMIT_NOFILE is lower than their number.
    let mut any = false;
    for file in files.iter_mut() {
        any |= sys::poll(core::slice::from_mut(file), Some(Duration::ZERO)) > 0;
    }
    if !any {
        let time = time.map_or(TICK, |time| time.min(TICK));
        sys::poll(&mut files[..1], Some(time));
    }
}
