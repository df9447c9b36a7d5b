// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plain calls made in steps, so that waiting for a file is apart from the call.
//!
//! The calls that wait for a pipe, a socket or an eventfd are tried without blocking (`RWF_NOWAIT`,
//! `MSG_DONTWAIT`); while there is nothing to do the caller waits, with poll(2), for as long as it
//! likes, and may give up: until then the call has had no effect. All others are made as they are,
//! and cannot be ended.

mod socket;

use core::time::Duration;
use std::time::Instant;

use crate::{Errno, sys};

/// What a call waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) fd: i32,
    /// `POLL*`.
    pub(super) events: i16,
}

/// What came of a step.
pub(super) enum Step {
    /// The call is over, and returned this.
    Over(i64),
    /// It can go on when the file is ready.
    Wait(Wait),
}

/// A call that was begun.
pub(super) struct Attempt {
    nr: u16,
    args: [u64; 6],
    how: How,
    /// Bytes that a write has written.
    written: u64,
    /// How often in a row the file claimed to be ready, and was not.
    claims: u32,
    /// The file is a pipe or a socket, if the call is tried.
    stream: bool,
}

/// After as many claims in a row the call waits for something else than its file tells.
const CLAIMS: u32 = 8;

enum How {
    /// Not known yet.
    Unknown,
    /// Without blocking, part by part.
    Parts(Vec<libc::iovec>),
    /// A send on a stream, part by part.
    Send(socket::Sending),
    /// The call with these arguments, by which it does not block.
    Try([u64; 6]),
    /// A connection taken from the listener with this inode.
    Accept(u64),
    /// The call itself, when the file is ready.
    WhenReady,
    /// The call itself.
    Plain,
}

// SAFETY: The segments point into what the call's owner keeps, as its arguments do.
unsafe impl Send for Attempt {}

impl Attempt {
    /// # Safety
    ///
    /// As for [`sys::syscall`], until the attempt is over or dropped.
    pub(super) unsafe fn new(nr: u16, args: [u64; 6]) -> Self {
        Self {
            nr,
            args,
            how: How::Unknown,
            written: 0,
            claims: 0,
            stream: false,
        }
    }

    /// What the call returns that ends here, because of `errno`.
    pub(super) fn give_up(&self, errno: Errno) -> i64 {
        match self.written {
            0 => -i64::from(errno.raw()),
            written => written as i64,
        }
    }

    fn fd(&self) -> i32 {
        self.args[0] as i32
    }

    /// Whether the call waits for a pipe, a socket or an eventfd, and can be tried without blocking.
    pub(super) fn is_tried(&mut self) -> bool {
        if let How::Unknown = self.how {
            self.how = self.kind();
        }
        matches!(self.how, How::Parts(_))
    }

    /// Whether the file of a call that is tried is a pipe or a socket.
    pub(super) fn is_on_stream(&self) -> bool {
        self.stream
    }

    /// What is left to be read or written of a call that is tried.
    pub(super) fn parts(&self) -> &[libc::iovec] {
        match &self.how {
            How::Parts(parts) => parts,
            _ => &[],
        }
    }

    /// Goes on with the call, without waiting for its file.
    pub(super) fn step(&mut self) -> Step {
        if self.nr == sys::NR_POLL {
            return self.poll();
        }
        self.is_tried();
        match &self.how {
            How::Parts(_) => self.part(),
            How::Send(_) => self.send_part(),
            How::Try(args) => {
                // SAFETY: As the maker of the attempt promised.
                match unsafe { sys::syscall(self.nr, args) } {
                    EAGAIN => self.not_yet(),
                    ret => Step::Over(ret),
                }
            }
            How::Accept(inode) => self.accept(*inode),
            How::WhenReady if look(self.wait()) == 0 => Step::Wait(self.wait()),
            _ => Step::Over(self.block()),
        }
    }

    /// What is to be done after a call that would have blocked.
    fn not_yet(&mut self) -> Step {
        let wait = self.wait();
        // Nobody has claimed anything yet, or another has taken what there was.
        if self.claims == 0 || look(wait) == 0 {
            self.claims = 1;
            return Step::Wait(wait);
        }
        self.claims += 1;
        if self.claims > CLAIMS {
            return Step::Over(self.block());
        }
        self.step()
    }

    /// Goes on with the call, and waits as it does.
    pub(super) fn block(&mut self) -> i64 {
        if let (How::Send(sending), 1..) = (&self.how, self.written) {
            // SAFETY: The segments are what is left of those of the call, as promised.
            let ret = unsafe { sending.call(self.fd(), 0) };
            return self.written as i64 + ret.max(0);
        }
        let (nr, args) = match &self.how {
            // A write of which a part is written: the rest.
            How::Parts(parts) if self.written != 0 => {
                let address = parts.as_ptr() as u64;
                let args = [self.args[0], address, parts.len() as u64, 0, 0, 0];
                (libc::SYS_writev as u16, args)
            }
            _ => (self.nr, self.args),
        };
        // SAFETY: As the maker of the attempt promised; the segments are parts of its own.
        let ret = unsafe { sys::syscall(nr, &args) };
        match self.written {
            0 => ret,
            written => written as i64 + ret.max(0),
        }
    }

    fn poll(&self) -> Step {
        let Ok(events) = u16::try_from(self.args[1]) else {
            return Step::Over(-i64::from(libc::EINVAL));
        };
        let wait = Wait {
            fd: self.fd(),
            events: events as i16,
        };
        match look(wait) {
            0 => Step::Wait(wait),
            ret => Step::Over(ret),
        }
    }

    pub(super) fn writes(&self) -> bool {
        [
            libc::SYS_write,
            libc::SYS_writev,
            libc::SYS_sendto,
            libc::SYS_sendmsg,
        ]
        .contains(&self.nr.into())
    }

    fn wait(&self) -> Wait {
        let events = if self.writes() {
            libc::POLLOUT
        } else {
            libc::POLLIN
        };
        Wait {
            fd: self.fd(),
            events,
        }
    }

    /// How the call is to be made.
    fn kind(&mut self) -> How {
        let vectored = match libc::c_long::from(self.nr) {
            libc::SYS_read | libc::SYS_write => false,
            libc::SYS_readv | libc::SYS_writev => true,
            _ => return self.kind_of_socket_call(),
        };
        let mut stat: libc::stat = sys::zeroed();
        // SAFETY: The structure is valid for writes.
        if unsafe { libc::fstat(self.fd(), &mut stat) } != 0 {
            return How::Plain;
        }
        self.stream = stat.st_mode & libc::S_IFMT != 0;
        match stat.st_mode & libc::S_IFMT {
            // 0: an eventfd, or another file without a name.
            libc::S_IFIFO | 0 if blocks(self.fd()) => {}
            libc::S_IFSOCK if waits(self.fd(), self.writes()) => {}
            _ => return How::Plain,
        }
        if !vectored {
            return How::Parts(vec![libc::iovec {
                iov_base: self.args[1] as *mut _,
                iov_len: self.args[2] as usize,
            }]);
        }
        let Ok(count @ 0..=1024) = usize::try_from(self.args[2]) else {
            return How::Plain;
        };
        let parts = (0..count).map(|i| {
            // SAFETY: The call would read that many segments at this address.
            unsafe { (self.args[1] as *const libc::iovec).add(i).read() }
        });
        How::Parts(parts.collect())
    }

    /// Reads, or writes a part, without blocking.
    fn part(&mut self) -> Step {
        let writes = self.writes();
        let How::Parts(parts) = &self.how else {
            return Step::Over(self.block());
        };
        let nr = if writes {
            libc::SYS_pwritev2
        } else {
            libc::SYS_preadv2
        };
        let here = u64::MAX;
        let flags = libc::RWF_NOWAIT as u64;
        let args = [
            self.args[0],
            parts.as_ptr() as u64,
            parts.len() as u64,
            here,
            here,
            flags,
        ];
        // SAFETY: The segments are those of the call, or what is left of them, as promised.
        let ret = unsafe { sys::syscall(nr as u16, &args) };
        if ret == EAGAIN {
            return self.not_yet();
        }
        if ret == -i64::from(libc::EOPNOTSUPP) {
            self.how = How::WhenReady;
            return self.step();
        }
        self.took(ret)
    }

    /// Goes on after what is left has returned `ret`: a write is over when all is written.
    pub(super) fn took(&mut self, ret: i64) -> Step {
        let writes = self.writes();
        let How::Parts(parts) = &mut self.how else {
            return Step::Over(ret);
        };
        if ret <= 0 || !writes {
            return Step::Over(self.ended(ret));
        }
        advance(parts, ret as usize);
        let all = parts.is_empty();
        self.wrote(ret, all)
    }

    /// What the call returns of which a part has returned `ret`, and no other is to come.
    fn ended(&self, ret: i64) -> i64 {
        if ret < 0 && self.written != 0 {
            self.written as i64
        } else {
            ret.saturating_add(self.written as i64)
        }
    }

    /// After a part of a write.
    fn wrote(&mut self, count: i64, all: bool) -> Step {
        self.written += count as u64;
        self.claims = 0;
        if all {
            Step::Over(self.written as i64)
        } else {
            Step::Wait(self.wait())
        }
    }
}

const EAGAIN: i64 = -(libc::EAGAIN as i64);

/// Whether calls on the file may block.
fn blocks(fd: i32) -> bool {
    // SAFETY: The call takes no pointer.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK == 0
}

/// Whether calls that send to, or receive from, a socket wait until it is ready, and no time limit or
/// low-water mark of its own says otherwise.
pub(super) fn waits(fd: i32, sends: bool) -> bool {
    let zero = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    let (limit, mark) = if sends {
        (libc::SO_SNDTIMEO, None)
    } else {
        (libc::SO_RCVTIMEO, Some(libc::SO_RCVLOWAT))
    };
    let time = socket_option(fd, limit, zero);
    time.tv_sec == 0
        && time.tv_usec == 0
        && mark.is_none_or(|mark| socket_option(fd, mark, 1_i32) <= 1)
        && blocks(fd)
}

/// Takes what was written off the front.
fn advance(parts: &mut Vec<libc::iovec>, mut count: usize) {
    let whole = parts
        .iter()
        .take_while(|part| {
            let gone = part.iov_len <= count;
            if gone {
                count -= part.iov_len;
            }
            gone
        })
        .count();
    parts.drain(..whole);
    if let Some(part) = parts.first_mut() {
        part.iov_base = part.iov_base.wrapping_byte_add(count);
        part.iov_len -= count;
    }
}

/// An option of a socket; `none` if it has none.
fn socket_option<T: Copy>(fd: i32, option: i32, none: T) -> T {
    socket::option_at(fd, libc::SOL_SOCKET, option, none)
}

/// The events that are there, or a negative errno.
pub(super) fn look(wait: Wait) -> i64 {
    wait_for(wait, Some(Duration::ZERO))
}

/// Waits for a file: the events, 0 when the time is over, or a negative errno.
pub(super) fn wait_for(wait: Wait, time: Option<Duration>) -> i64 {
    if wait.fd < 0 {
        // poll(2) would leave it out.
        return -i64::from(libc::EBADF);
    }
    let mut file = libc::pollfd {
        fd: wait.fd,
        events: wait.events,
        revents: 0,
    };
    match sys::poll(core::slice::from_mut(&mut file), time) {
        ret @ ..=0 => ret,
        _ if file.revents & libc::POLLNVAL != 0 => -i64::from(libc::EBADF),
        _ => i64::from(file.revents as u16),
    }
}

/// Makes a plain call in this thread, and ends it when it still waits for its file after `limit`.
///
/// # Safety
///
/// As for [`sys::syscall`].
pub(crate) unsafe fn plain(nr: u16, args: &[u64; 6], limit: Option<Duration>) -> i64 {
    let Some(limit) = limit else {
        // SAFETY: As the caller promises.
        return unsafe { sys::syscall(nr, args) };
    };
    if limit.is_zero() {
        return -i64::from(libc::ETIME);
    }
    let start = Instant::now();
    // SAFETY: As the caller promises.
    let mut attempt = unsafe { Attempt::new(nr, *args) };
    loop {
        let wait = match attempt.step() {
            Step::Over(ret) => return ret,
            Step::Wait(wait) => wait,
        };
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return attempt.give_up(Errno::ETIME);
        }
        // A signal, or no such file any more: the next step tells.
        wait_for(wait, Some(left));
    }
}
