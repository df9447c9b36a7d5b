// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which calls io_uring makes exactly as the plain call, and how they are asked for.
//!
//! | calls | made by | why |
//! |---|---|---|
//! | pread64, pwrite64, preadv, pwritev | io_uring, where one can seek | it ignores the offset of other files, where the call gives `ESPIPE` |
//! | read, readv, write, writev of pipes and sockets | io_uring, if they would wait; a write by parts until all is written | it waits also with `O_NONBLOCK`, and knows no `SO_RCVTIMEO`, `SO_SNDTIMEO`, `SO_RCVLOWAT`: they are asked for before each call |
//! | the same on other files | pool | io_uring moves the position without its lock |
//! | fsync, fdatasync, fallocate, fadvise64, ftruncate, fgetxattr, fsetxattr | io_uring | |
//! | openat, openat2 | io_uring; by its workers, unless for a directory or `O_PATH` | at once it opens with `O_NONBLOCK`, which of a FIFO or a device does not wait |
//! | close | pool | where io_uring's workers do it, it completes before the file is released |
//! | statx, renameat2, unlinkat, mkdirat, symlinkat, linkat | io_uring | |
//! | recvfrom without an address, recvmsg, sendto without one, sendmsg without control messages | io_uring, with flags that change nothing else, if they would wait or need not | as for read; what is sent in parts |
//! | accept4, connect of IP sockets | io_uring, if they would wait | as for read; of AF_UNIX a poll does not tell of room at the listener's |
//! | socket, bind, listen, shutdown | io_uring | |
//! | polls, once and on and on | io_uring; on and on only of pipes and sockets | it tells of a file that is always ready without end |
//! | clock_nanosleep for a span | io_uring | |
//! | splice | pool | io_uring does not move the caller's offsets |
//! | all others | pool | io_uring has none, or none that adds anything |
//!
//! Of what a kernel does not have (its probe says so) the pool makes the call.

use io_uring::{Probe, opcode, squeue, types};
use libc::c_long;

use super::super::{
    attempt::{self, Attempt},
    job::Job,
};
use crate::{fd, sys};

/// The kernel's own bound to a transfer, `MAX_RW_COUNT`.
const MOST: u64 = 0x7fff_f000;

/// `IOV_MAX`.
const SEGMENTS: u64 = 1024;

/// `RWF_NOSIGNAL`: a broken pipe raises no signal. Since Linux 6.18.
const NO_SIGNAL: i32 = 0x100;

/// With these io_uring waits for all that it waits for without.
const RECEIVE: i32 = libc::MSG_PEEK | libc::MSG_TRUNC | libc::MSG_CMSG_CLOEXEC | libc::MSG_NOSIGNAL;

/// What statx(2) takes, but for two that exclude one another.
const STATX: i32 = libc::AT_EMPTY_PATH
    | libc::AT_NO_AUTOMOUNT
    | libc::AT_SYMLINK_NOFOLLOW
    | libc::AT_STATX_DONT_SYNC;

/// Errnos that may be io_uring's own, before any effect: of memory that it lacks, of what it does
/// not do for this file; and that of a name, which it looks at before it looks at the flags.
const DOUBTFUL: [i32; 6] = [
    libc::EAGAIN,
    libc::EBADF,
    libc::EINVAL,
    libc::ENAMETOOLONG,
    libc::ENOMEM,
    libc::EOPNOTSUPP,
];

/// Whether the call works at a position that it is given.
pub(in super::super) fn is_positional(nr: u16) -> bool {
    [
        libc::SYS_pread64,
        libc::SYS_pwrite64,
        libc::SYS_preadv,
        libc::SYS_pwritev,
    ]
    .contains(&nr.into())
}

/// What the call returns whose request has returned `ret`.
pub(super) fn returned(job: &Job, ret: i64) -> i64 {
    let sleeps = c_long::from(job.call().0) == libc::SYS_clock_nanosleep;
    // The timeout itself.
    if sleeps && ret == -i64::from(libc::ETIME) {
        0
    } else {
        ret
    }
}

/// What the kernel's io_uring can do.
pub(super) struct Calls {
    probe: Probe,
    /// It can write to a pipe without a signal.
    no_signal: bool,
}

/// A request, if the kernel knows it.
macro_rules! request {
    ($self:ident, $op:ident($($arg:expr),*) $(. $set:ident($value:expr))*) => {
        $self.probe.is_supported(opcode::$op::CODE).then(|| {
            opcode::$op::new($($arg),*)$(.$set($value))*.build()
        })
    };
}

impl Calls {
    pub(super) fn new(probe: Probe) -> Self {
        Self {
            probe,
            no_signal: true,
        }
    }

    /// Whether the pool should say what the call returns.
    pub(super) fn doubts(&mut self, job: &Job, ret: i64) -> bool {
        let doubtful = DOUBTFUL.iter().any(|&errno| ret == -i64::from(errno));
        let writes = [libc::SYS_write, libc::SYS_writev].contains(&job.call().0.into());
        if writes && ret == -i64::from(libc::EOPNOTSUPP) {
            self.no_signal = false;
        }
        doubtful
    }

    /// The request that makes the call of an entry that was begun; `None` if the pool is to.
    pub(super) fn request(&self, job: &mut Job, seeks: &[Option<bool>]) -> Option<squeue::Entry> {
        let (nr, args) = job.call();
        let fd = types::Fd(args[0] as i32);
        if job.is_watch() {
            let events = u16::try_from(args[1]).ok()?;
            return (job.deadline().is_none() && is_stream(fd.0))
                .then(|| request!(self, PollAdd(fd, events.into()).multi(true)))?;
        }
        match c_long::from(nr) {
            _ if nr == sys::NR_NOP => request!(self, Nop()),
            _ if nr == sys::NR_POLL => {
                let events = u16::try_from(args[1]).ok()?;
                request!(self, PollAdd(fd, events.into()))
            }
            libc::SYS_read | libc::SYS_readv | libc::SYS_write | libc::SYS_writev => {
                self.transfer(fd, job.attempt()?)
            }
            _ if is_positional(nr) => {
                let seeks = *seeks.get(job.index() as usize)?;
                seeks
                    .unwrap_or_else(|| fd::is_seekable(fd.0))
                    .then(|| self.positional(nr.into(), fd, &args))?
            }
            libc::SYS_openat | libc::SYS_openat2 => self.opening(nr.into(), fd, &args),
            nr => self
                .on_file(nr, fd, &args)
                .or_else(|| self.on_path(nr, fd, &args))
                .or_else(|| self.on_socket(nr, fd, &args)),
        }
    }

    /// At the file's own position, which pipes and sockets have none of.
    fn transfer(&self, fd: types::Fd, attempt: &mut Attempt) -> Option<squeue::Entry> {
        let here = u64::MAX;
        let writes = attempt.writes();
        if !attempt.is_tried() || !attempt.is_on_stream() || (writes && !self.no_signal) {
            return None;
        }
        let parts = attempt.parts();
        let total = parts.iter().map(|part| part.iov_len as u64);
        if total.fold(0, u64::saturating_add) > MOST {
            return None;
        }
        match (parts, writes) {
            ([part], false) => {
                let (address, len) = (part.iov_base.cast(), part.iov_len as u32);
                request!(self, Read(fd, address, len).offset(here))
            }
            ([part], true) => {
                let (address, len) = (part.iov_base.cast(), part.iov_len as u32);
                request!(
                    self,
                    Write(fd, address, len).offset(here).rw_flags(NO_SIGNAL)
                )
            }
            (parts, false) => {
                let (address, len) = (parts.as_ptr(), parts.len() as u32);
                request!(self, Readv(fd, address, len).offset(here))
            }
            (parts, true) => {
                let (address, len) = (parts.as_ptr(), parts.len() as u32);
                request!(
                    self,
                    Writev(fd, address, len).offset(here).rw_flags(NO_SIGNAL)
                )
            }
        }
    }

    fn positional(&self, nr: c_long, fd: types::Fd, args: &[u64; 6]) -> Option<squeue::Entry> {
        let [_, address, len, offset, ..] = *args;
        // One that is negative would stand for the file's own.
        i64::try_from(offset).ok()?;
        let most = match nr {
            libc::SYS_pread64 | libc::SYS_pwrite64 => MOST,
            _ => SEGMENTS,
        };
        if len > most {
            return None;
        }
        let len = len as u32;
        match nr {
            libc::SYS_pread64 => request!(self, Read(fd, address as *mut u8, len).offset(offset)),
            libc::SYS_pwrite64 => {
                request!(self, Write(fd, address as *const u8, len).offset(offset))
            }
            libc::SYS_preadv => request!(
                self,
                Readv(fd, address as *const libc::iovec, len).offset(offset)
            ),
            _ => request!(
                self,
                Writev(fd, address as *const libc::iovec, len).offset(offset)
            ),
        }
    }

    fn opening(&self, nr: c_long, fd: types::Fd, args: &[u64; 6]) -> Option<squeue::Entry> {
        let path = name(args[1])?;
        let (request, flags) = if nr == libc::SYS_openat {
            let (flags, mode) = (args[2] as i32, args[3] as u32);
            let request = request!(self, OpenAt(fd, path).flags(flags).mode(mode));
            (request?, flags as u64)
        } else {
            let how = args[2] as *const libc::open_how;
            if args[3] != size_of::<libc::open_how>() as u64 {
                return None;
            }
            // SAFETY: The call would read it.
            let flags = unsafe { how.as_ref() }?.flags;
            (request!(self, OpenAt2(fd, path, how.cast()))?, flags)
        };
        let at_once = (libc::O_DIRECTORY | libc::O_PATH | libc::O_NONBLOCK) as u64;
        Some(if flags & at_once != 0 {
            request
        } else {
            request.flags(squeue::Flags::ASYNC)
        })
    }

    fn on_file(&self, nr: c_long, fd: types::Fd, args: &[u64; 6]) -> Option<squeue::Entry> {
        let [_, b, c, d, e, _] = *args;
        match nr {
            libc::SYS_fsync => request!(self, Fsync(fd)),
            libc::SYS_fdatasync => {
                request!(self, Fsync(fd).flags(types::FsyncFlags::DATASYNC))
            }
            libc::SYS_fallocate => request!(self, Fallocate(fd, d).offset(c).mode(b as i32)),
            libc::SYS_fadvise64 => {
                let len = u32::try_from(c).ok()?;
                request!(self, Fadvise(fd, len.into(), d as i32).offset(b))
            }
            libc::SYS_ftruncate => {
                i64::try_from(b).ok()?;
                request!(self, Ftruncate(fd, b))
            }
            libc::SYS_fgetxattr => {
                let (name, value) = (b as *const libc::c_char, c as *mut libc::c_void);
                let len = u32::try_from(d).ok()?;
                request!(self, FGetXattr(fd, name, value, len))
            }
            libc::SYS_fsetxattr => {
                let (name, value) = (b as *const libc::c_char, c as *const libc::c_void);
                let len = u32::try_from(d).ok()?;
                request!(self, FSetXattr(fd, name, value, len).flags(e as i32))
            }
            libc::SYS_clock_nanosleep => self.sleeping(args),
            _ => None,
        }
    }

    fn on_path(&self, nr: c_long, dir: types::Fd, args: &[u64; 6]) -> Option<squeue::Entry> {
        let [a, b, c, d, e, _] = *args;
        let other = types::Fd(c as i32);
        match nr {
            libc::SYS_statx => {
                let (path, to) = (b as *const libc::c_char, e as *mut types::statx);
                let (flags, mask) = (c as i32, d as u32);
                if flags & !STATX != 0 || mask & libc::STATX__RESERVED as u32 != 0 {
                    return None;
                }
                if flags & libc::AT_EMPTY_PATH == 0 {
                    name(b)?;
                }
                request!(self, Statx(dir, path, to).flags(flags).mask(mask))
            }
            libc::SYS_renameat2 => {
                let (from, to, flags) = (name(b)?, name(d)?, e as u32);
                let known = libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE | libc::RENAME_WHITEOUT;
                (flags & !known == 0)
                    .then(|| request!(self, RenameAt(dir, from, other, to).flags(flags)))?
            }
            libc::SYS_unlinkat => {
                let path = name(b)?;
                request!(self, UnlinkAt(dir, path).flags(c as i32))
            }
            libc::SYS_mkdirat => {
                let path = name(b)?;
                request!(self, MkDirAt(dir, path).mode(c as u32))
            }
            libc::SYS_symlinkat => {
                let (target, path) = (name(a)?, name(c)?);
                request!(self, SymlinkAt(types::Fd(b as i32), target, path))
            }
            libc::SYS_linkat => {
                let (from, to, flags) = (name(b)?, name(d)?, e as i32);
                (flags & !libc::AT_SYMLINK_FOLLOW == 0)
                    .then(|| request!(self, LinkAt(dir, from, other, to).flags(flags)))?
            }
            _ => None,
        }
    }

    fn on_socket(&self, nr: c_long, fd: types::Fd, args: &[u64; 6]) -> Option<squeue::Entry> {
        let [_, b, c, d, e, _] = *args;
        let (address, len) = (b as *const libc::sockaddr, c as libc::socklen_t);
        match nr {
            libc::SYS_socket => request!(self, Socket(fd.0, b as i32, c as i32)),
            libc::SYS_bind => request!(self, Bind(fd, address, len)),
            libc::SYS_listen => request!(self, Listen(fd, b as i32)),
            libc::SYS_shutdown => request!(self, Shutdown(fd, b as i32)),
            libc::SYS_accept4 if attempt::waits(fd.0, false) => {
                let len = c as *mut libc::socklen_t;
                request!(
                    self,
                    Accept(fd, b as *mut libc::sockaddr, len).flags(d as i32)
                )
            }
            libc::SYS_connect if is_internet(address, len) && attempt::waits(fd.0, true) => {
                request!(self, Connect(fd, address, len))
            }
            libc::SYS_recvfrom if e == 0 && c <= MOST => {
                let flags = receiving(fd.0, d as i32)?;
                request!(self, Recv(fd, b as *mut u8, c as u32).flags(flags))
            }
            libc::SYS_recvmsg => {
                let flags = receiving(fd.0, c as i32)?;
                request!(
                    self,
                    RecvMsg(fd, b as *mut libc::msghdr).flags(flags as u32)
                )
            }
            libc::SYS_sendto if e == 0 && c <= MOST => {
                let flags = sending(fd.0, d as i32)?;
                request!(self, Send(fd, b as *const u8, c as u32).flags(flags))
            }
            libc::SYS_sendmsg => {
                let message = b as *const libc::msghdr;
                // SAFETY: The call would read it.
                let header = unsafe { message.as_ref() }?;
                if !header.msg_name.is_null() || header.msg_controllen != 0 {
                    return None;
                }
                let flags = sending(fd.0, c as i32)?;
                request!(self, SendMsg(fd, message).flags(flags as u32))
            }
            _ => None,
        }
    }

    fn sleeping(&self, args: &[u64; 6]) -> Option<squeue::Entry> {
        let [clock, flags, span, ..] = *args;
        let clocks = [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC];
        if !clocks.contains(&(clock as i32)) || flags as i32 != 0 {
            return None;
        }
        // SAFETY: The call would read it.
        let time = unsafe { (span as *const libc::timespec).as_ref() }?;
        if time.tv_sec < 0 || !(0..1_000_000_000).contains(&time.tv_nsec) {
            return None;
        }
        // Both are two 64-bit integers.
        request!(self, Timeout(span as *const types::Timespec))
    }
}

/// A name that is not empty: of one that is, io_uring tells before it has looked at anything else.
fn name(address: u64) -> Option<*const libc::c_char> {
    let name = address as *const libc::c_char;
    // SAFETY: The call would read it.
    let first = *unsafe { name.as_ref() }?;
    (first != 0).then_some(name)
}

/// Whether the number is that of a pipe or a socket.
fn is_stream(fd: i32) -> bool {
    let mut stat: libc::stat = sys::zeroed();
    // SAFETY: The structure is valid for writes.
    let ret = unsafe { libc::fstat(fd, &mut stat) };
    ret == 0 && [libc::S_IFIFO, libc::S_IFSOCK].contains(&(stat.st_mode & libc::S_IFMT))
}

fn is_internet(address: *const libc::sockaddr, len: libc::socklen_t) -> bool {
    if address.is_null() || (len as usize) < size_of::<libc::sa_family_t>() {
        return false;
    }
    // SAFETY: The call would read as much.
    let family = unsafe { address.cast::<libc::sa_family_t>().read_unaligned() };
    [libc::AF_INET, libc::AF_INET6].contains(&family.into())
}

/// The flags for a call that receives; `None` if it would not be the same.
fn receiving(fd: i32, flags: i32) -> Option<i32> {
    let same = flags & !(RECEIVE | libc::MSG_DONTWAIT) == 0;
    (same && (flags & libc::MSG_DONTWAIT != 0 || attempt::waits(fd, false))).then_some(flags)
}

/// The flags for a call that sends; `None` if it would not be the same.
fn sending(fd: i32, flags: i32) -> Option<i32> {
    if flags & !(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) != 0 {
        return None;
    }
    if flags & libc::MSG_DONTWAIT != 0 {
        return Some(flags);
    }
    // So that it goes on until all is sent.
    attempt::waits(fd, true).then_some(flags | libc::MSG_WAITALL)
}
