// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for files without an entry of the page.
//!
//! A page has at most 4096 entries, and a server more connections than that, most of them idle. So
//! there is one epoll file for a handle, which one entry watches; each wait costs a plain call, but
//! holds nothing.

#![allow(unsafe_code)]

use core::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll, Waker},
};
use std::{
    collections::BTreeMap,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use crate::{Context, Errno, Handle, Result, SharedFd, Watch, op};

/// What always counts.
const ALWAYS: i16 = libc::POLLERR | libc::POLLHUP;

/// The waits of a handle.
#[derive(Default)]
pub(crate) struct Waits {
    set: RefCell<Option<Set>>,
    /// Apart, so that it can be asked while nothing is borrowed.
    watch: Cell<Option<Watch>>,
}

struct Set {
    epoll: SharedFd,
    waiting: BTreeMap<Key, (i16, Waker)>,
    made: u64,
}

/// The file's number, and which of those that wait for it.
type Key = (RawFd, u64);

impl Set {
    fn new() -> Result<Self> {
        // SAFETY: The call takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(Errno::last());
        }
        Ok(Self {
            // SAFETY: The file was just opened and nobody owns it.
            epoll: SharedFd::new(unsafe { OwnedFd::from_raw_fd(fd) }),
            waiting: BTreeMap::new(),
            made: 0,
        })
    }

    /// The events that are waited for of a file.
    fn events(&self, fd: RawFd) -> i16 {
        let waits = self.waiting.range((fd, 0)..=(fd, u64::MAX));
        waits.fold(0, |all, (_, (events, _))| all | events)
    }

    /// Asks for the events that are waited for, to be told once.
    fn arm(&self, fd: RawFd) -> Result<()> {
        let mut event = libc::epoll_event {
            events: self.events(fd) as u16 as u32 | libc::EPOLLONESHOT as u32,
            u64: fd as u64,
        };
        let mut control = |what| {
            // SAFETY: The event is valid for reads.
            match unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), what, fd, &mut event) } {
                0 => Ok(()),
                _ => Err(Errno::last()),
            }
        };
        match control(libc::EPOLL_CTL_MOD) {
            Err(Errno::ENOENT) => control(libc::EPOLL_CTL_ADD),
            result => result,
        }
    }

    /// Asks for nothing any more.
    fn disarm(&self, fd: RawFd) {
        let none = core::ptr::null_mut();
        // SAFETY: The call uses no pointer.
        unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, none) };
    }

    /// Takes what the files tell; those who have waited for it.
    fn take(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        loop {
            let (address, room) = (events.as_mut_ptr(), events.len() as i32);
            // SAFETY: The array is valid for writes of that many events.
            let count = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), address, room, 0) };
            let told = &events[..usize::try_from(count).unwrap_or(0)];
            for event in told {
                self.tell(event.u64 as RawFd, event.events as u16 as i16, &mut wakers);
            }
            if told.len() < events.len() {
                return wakers;
            }
        }
    }

    fn tell(&mut self, fd: RawFd, told: i16, wakers: &mut Vec<Waker>) {
        let all = (fd, 0)..=(fd, u64::MAX);
        let over: Vec<Key> = self
            .waiting
            .range(all)
            .filter(|(_, (events, _))| (events | ALWAYS) & told != 0)
            .map(|(&key, _)| key)
            .collect();
        let taken = over.iter().filter_map(|key| self.waiting.remove(key));
        wakers.extend(taken.map(|(_, waker)| waker));
        if self.events(fd) != 0 && self.arm(fd).is_err() {
            // They find out by their calls.
            let all = (fd, 0)..=(fd, u64::MAX);
            let rest: Vec<Key> = self.waiting.range(all).map(|(&key, _)| key).collect();
            let rest = rest.iter().filter_map(|key| self.waiting.remove(key));
            wakers.extend(rest.map(|(_, waker)| waker));
        }
    }
}

impl Waits {
    /// Wakes those whose files have told something.
    pub(crate) fn look(&self, context: &Context) {
        let Some(mut watch) = self.watch.take() else {
            return;
        };
        let told = watch.take(context);
        self.watch.set(Some(watch));
        if told.is_none() {
            return;
        }
        let wakers = match &mut *self.set.borrow_mut() {
            Some(set) => set.take(),
            None => Vec::new(),
        };
        for waker in wakers {
            waker.wake();
        }
    }

    fn begin(&self, context: &Context, fd: RawFd, events: i16, waker: Waker) -> Result<Key> {
        let mut borrowed = self.set.borrow_mut();
        if borrowed.is_none() {
            let epoll = borrowed.insert(Set::new()?).epoll.clone();
            drop(borrowed);
            // The context may run wakers: nothing is borrowed.
            let watch = context.watch(&epoll, libc::POLLIN);
            self.watch.set(Some(watch));
            borrowed = self.set.borrow_mut();
        }
        let Some(set) = &mut *borrowed else {
            return Err(Errno::EBADF);
        };
        set.made += 1;
        let key = (fd, set.made);
        set.waiting.insert(key, (events, waker));
        if let Err(errno) = set.arm(fd) {
            let waker = set.waiting.remove(&key);
            drop(borrowed);
            drop(waker);
            return Err(errno);
        }
        Ok(key)
    }

    /// Whether it still waits; then the waker is kept.
    fn waits(&self, key: Key, waker: &Waker) -> bool {
        // To clone or drop a waker is user code: nothing is borrowed meanwhile.
        let own = waker.clone();
        let mut set = self.set.borrow_mut();
        let waiting = set.as_mut().and_then(|set| set.waiting.get_mut(&key));
        let (waits, left) = match waiting {
            Some((_, known)) => (true, core::mem::replace(known, own)),
            None => (false, own),
        };
        drop(set);
        drop(left);
        waits
    }

    fn end(&self, key: Key) {
        let mut borrowed = self.set.borrow_mut();
        let Some(set) = &mut *borrowed else {
            return;
        };
        let old = set.waiting.remove(&key);
        if old.is_some() && set.events(key.0) == 0 {
            set.disarm(key.0);
        }
        drop(borrowed);
        // A waker may run a task's destructors: the borrow is over.
        drop(old);
    }
}

impl Handle {
    /// Waits until a file is ready for `events`, `libc::POLL*`, without holding an entry of the page:
    /// for idle connections, of which there may be more than the page has entries.
    ///
    /// A wait costs a plain call, `epoll_ctl(2)`. What was ready may be gone when it is used.
    /// [`net`](crate::net) waits so by itself when half of the page is taken. It makes progress under
    /// [`block_on`](crate::task::block_on). With plain calls it holds up the others.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Handle, SharedFd, task::block_on};
    /// use std::{io::Write, os::fd::OwnedFd};
    /// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
    /// let reader = SharedFd::new(OwnedFd::from(reader));
    /// let handle = Handle::auto()?;
    /// writer.write_all(b"x")?;
    /// block_on(&handle, handle.ready(&reader, libc::POLLIN))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ready(&self, fd: &SharedFd, events: i16) -> Ready {
        Ready {
            handle: self.clone(),
            fd: fd.clone(),
            events,
            state: if self.is_direct() {
                State::Plain
            } else {
                State::New
            },
        }
    }

    /// Whether what may wait for long should not take an entry.
    pub(crate) fn is_crowded(&self) -> bool {
        !self.is_direct() && self.outstanding() >= self.capacity() / 2
    }
}

/// The future of [`Handle::ready`].
#[must_use = "it waits when it is awaited"]
pub struct Ready {
    handle: Handle,
    fd: SharedFd,
    events: i16,
    state: State,
}

enum State {
    New,
    Waits(Key),
    Plain,
    Over,
}

impl Ready {
    fn waits(&self) -> &Waits {
        &self.handle.tasks.waits
    }
}

impl Future for Ready {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Result<()>> {
        let result = match self.state {
            State::New => {
                let (fd, waker) = (self.fd.as_raw_fd(), task.waker().clone());
                match self.waits().begin(&self.handle, fd, self.events, waker) {
                    Ok(key) => {
                        self.state = State::Waits(key);
                        return Poll::Pending;
                    }
                    // A file of a kind that is always ready.
                    Err(Errno::EPERM) => Ok(()),
                    Err(errno) => Err(errno),
                }
            }
            State::Waits(key) if self.waits().waits(key, task.waker()) => return Poll::Pending,
            State::Waits(_) | State::Over => Ok(()),
            State::Plain => self
                .handle
                .run(op::Poll::new(&self.fd, self.events))
                .map(|_| ()),
        };
        self.state = State::Over;
        Poll::Ready(result)
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let State::Waits(key) = self.state {
            self.waits().end(key);
        }
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("fd", &self.fd)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}
