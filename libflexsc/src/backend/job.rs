// SPDX-License-Identifier: MIT OR Apache-2.0
//! An entry in the hands of a pool, and the rest of its chain.

use core::time::Duration;
use std::{
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    time::Instant,
};

use super::{
    attempt::{Attempt, Step, Wait},
    calls,
    threads::Pool,
};
use crate::{
    Errno,
    page::{Counter, Taken},
    sys,
};

/// The flags that an application may set.
const FLAGS: u16 = sys::ENTRY_TIMEOUT | sys::ENTRY_LINK | sys::ENTRY_FILE | sys::ENTRY_MULTI;

/// The file of a chain.
#[derive(Default)]
enum ChainFile {
    #[default]
    None,
    /// Opened for the chain alone.
    Own(OwnedFd),
    /// What the last opener returned, the application's.
    Number(RawFd),
}

impl ChainFile {
    fn number(&self) -> Result<u64, Errno> {
        match self {
            Self::None => Err(Errno::EBADF),
            Self::Own(fd) => Ok(fd.as_raw_fd() as u64),
            Self::Number(fd) => Ok(*fd as u64),
        }
    }
}

/// A taken entry.
pub(super) struct Job {
    entry: Taken,
    file: ChainFile,
    /// Once it was begun.
    attempt: Option<Attempt>,
    /// What it waits for, while it is parked.
    pub(super) wait: Option<Wait>,
    /// Its own name of the file that it tells of (`MULTI`), once it is known.
    pub(super) watched: Option<OwnedFd>,
    deadline: Option<Instant>,
    /// Whose count it adds to.
    lane: Counter,
}

impl Job {
    pub(super) fn new(entry: Taken) -> Self {
        Self::in_chain(entry, ChainFile::None)
    }

    fn in_chain(entry: Taken, file: ChainFile) -> Self {
        Self {
            entry,
            file,
            attempt: None,
            wait: None,
            watched: None,
            deadline: None,
            lane: Counter::EntriesT,
        }
    }

    /// Its call; the file of its chain stands in the arguments once it was begun.
    pub(super) fn call(&self) -> (u16, [u64; 6]) {
        (self.entry.nr, self.entry.args)
    }

    /// Whether others of its chain follow.
    pub(super) fn has_next(&self) -> bool {
        self.entry.next.is_some()
    }

    /// Its call, once it was begun.
    pub(super) fn attempt(&mut self) -> Option<&mut Attempt> {
        self.attempt.as_mut()
    }

    /// Counts it as executed there, unless it is said again.
    pub(super) fn count_as(&mut self, lane: Counter) {
        self.lane = lane;
    }

    pub(super) fn index(&self) -> u32 {
        self.entry.index()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn is_watch(&self) -> bool {
        self.entry.flags & sys::ENTRY_MULTI != 0
    }

    /// Goes on with the chain until it waits, or all of it is complete.
    pub(super) fn run(mut self, pool: &Pool) -> Option<Self> {
        loop {
            let ret = if pool.declines(self.entry.nr) && self.attempt.is_none() {
                self.hand_back(pool);
                return None;
            } else {
                match self.step(pool) {
                    Ok(Step::Over(ret)) => ret,
                    Ok(Step::Wait(wait)) => {
                        self.wait = Some(wait);
                        return Some(self);
                    }
                    Err(errno) => -i64::from(errno.raw()),
                }
            };
            self = self.complete(pool, ret)?;
        }
    }

    /// As [`Self::run`], where nothing can be parked.
    pub(super) fn block(mut self, pool: &Pool) {
        while let Some(mut job) = self.run(pool) {
            let is_watch = job.is_watch();
            let ret = match &mut job.attempt {
                Some(_) if is_watch => -i64::from(libc::ENOMEM),
                Some(attempt) => attempt.block(),
                None => return,
            };
            match job.complete(pool, ret) {
                Some(next) => self = next,
                None => return,
            }
        }
    }

    fn step(&mut self, pool: &Pool) -> Result<Step, Errno> {
        self.begin(pool)?;
        let Taken { nr, flags, .. } = self.entry;
        if nr == libc::SYS_close as u16 && flags & sys::ENTRY_FILE != 0 {
            // The call closes the number. Not before: an entry that was begun may still be given up.
            if let ChainFile::Own(fd) = core::mem::take(&mut self.file) {
                let _ = fd.into_raw_fd();
            }
        }
        let Some(attempt) = &mut self.attempt else {
            return Err(Errno::EINVAL);
        };
        if self.entry.flags & sys::ENTRY_MULTI != 0 {
            // It only ever waits.
            let [fd, events, ..] = self.entry.args;
            let events = u16::try_from(events).map_err(|_| Errno::EINVAL)? as i16;
            let fd = fd as i32;
            return Ok(Step::Wait(Wait { fd, events }));
        }
        let step = attempt.step();
        Ok(self.stepped(step))
    }

    /// Goes on after what is left of its call, made elsewhere, has returned `ret`.
    pub(super) fn took(&mut self, ret: i64) -> Step {
        let step = match &mut self.attempt {
            Some(attempt) => attempt.took(ret),
            None => Step::Over(ret),
        };
        self.stepped(step)
    }

    fn stepped(&mut self, step: Step) -> Step {
        match step {
            Step::Over(ret) => Step::Over(self.returned(ret)),
            wait => wait,
        }
    }

    /// Begins the entry, unless it was begun; the errno that it is over with if it cannot be.
    pub(super) fn begin(&mut self, pool: &Pool) -> Result<(), Errno> {
        if self.attempt.is_some() {
            return Ok(());
        }
        if !pool.parking().begin(self.index()) {
            return Err(Errno::ECANCELED);
        }
        let Taken {
            nr, flags, span, ..
        } = self.entry;
        if flags & !FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        if flags & sys::ENTRY_MULTI != 0
            && (nr != sys::NR_POLL || flags & (sys::ENTRY_LINK | sys::ENTRY_FILE) != 0)
        {
            return Err(Errno::EINVAL);
        }
        if flags & sys::ENTRY_TIMEOUT != 0 {
            let span = u64::try_from(span).ok().filter(|&span| span != 0);
            let span = Duration::from_nanos(span.ok_or(Errno::ETIME)?);
            self.deadline = Instant::now().checked_add(span);
        }
        if flags & sys::ENTRY_FILE != 0 && !calls::opens(nr) {
            if !calls::takes_file(nr) {
                return Err(Errno::EINVAL);
            }
            self.entry.args[0] = self.file.number()?;
        }
        // SAFETY: Who pushed the entry promised that the call may be made, until its completion.
        self.attempt = Some(unsafe { Attempt::new(nr, self.entry.args) });
        Ok(())
    }

    /// What the entry returns whose call has returned `ret`.
    fn returned(&mut self, ret: i64) -> i64 {
        if ret < 0 || !calls::opens(self.entry.nr) {
            return ret;
        }
        let fd = ret as RawFd;
        if self.entry.flags & sys::ENTRY_FILE == 0 {
            self.file = ChainFile::Number(fd);
            return ret;
        }
        // SAFETY: The call has just opened it, and nobody else saw the number.
        self.file = ChainFile::Own(unsafe { OwnedFd::from_raw_fd(fd) });
        0
    }

    /// Tells that the file is ready, for an entry that goes on.
    pub(super) fn tell(&self, pool: &Pool, events: u16) {
        pool.executor().ready(&self.entry, events);
        pool.tell();
    }

    /// Ends the entry while it waits.
    pub(super) fn give_up(self, pool: &Pool, errno: Errno) -> Option<Self> {
        let ret = match &self.attempt {
            Some(attempt) => attempt.give_up(errno),
            None => -i64::from(errno.raw()),
        };
        self.complete(pool, ret)
    }

    /// Completes the entry; what follows it in its chain goes on, or ends with it.
    pub(super) fn complete(self, pool: &Pool, ret: i64) -> Option<Self> {
        let Self {
            mut entry,
            file,
            watched,
            attempt,
            lane,
            ..
        } = self;
        if let Some(watched) = watched {
            pool.unwatch(watched);
        }
        let mut next = entry.next.take();
        let file = (ret >= 0 && next.is_some()).then_some(file);
        if attempt.is_some() {
            pool.region().count(lane);
        }
        pool.executor().complete(entry, ret, 0);
        if let Some(file) = file {
            pool.tell();
            return next.map(|next| Self::in_chain(*next, file));
        }
        while let Some(mut entry) = next {
            next = entry.next.take();
            let ret = -i64::from(libc::ECANCELED);
            pool.executor().complete(*entry, ret, 0);
        }
        pool.tell();
        None
    }

    /// Declines the entry and the rest of its chain.
    fn hand_back(self, pool: &Pool) {
        // The chain's file goes to the application, which goes on with it.
        let mut ret = match self.file {
            ChainFile::Own(fd) => i64::from(fd.into_raw_fd()),
            ChainFile::None | ChainFile::Number(_) => -i64::from(libc::ENOSYS),
        };
        let mut left = Some(Box::new(self.entry));
        while let Some(mut entry) = left {
            left = entry.next.take();
            pool.region().count(Counter::HandedBack);
            pool.executor()
                .complete(*entry, ret, sys::ENTRY_HANDED_BACK);
            ret = -i64::from(libc::ENOSYS);
        }
        pool.tell();
    }
}
