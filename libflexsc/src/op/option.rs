// SPDX-License-Identifier: MIT OR Apache-2.0
//! Options of sockets: `getsockopt(2)`, `setsockopt(2)`.

use super::{Access, Call, Operation, Sealed, file_call, int, unit_operation};
use crate::{Errno, On, Result};

/// Sets an option of a socket whose value is an `int`: `setsockopt(2)`.
///
/// Other values may hold addresses, which an operation could not answer for;
/// [`Raw`](super::Raw) takes them.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, op::{Getsockopt, Setsockopt, Socket}};
/// let context = Context::auto()?;
/// let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
/// let socket = context.run(Socket::new(libc::AF_INET, kind, 0))?;
/// let (level, option) = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
/// context.run(Setsockopt::new(&socket, level, option, 1))?;
/// assert_eq!(context.run(Getsockopt::new(&socket, level, option)), Ok(1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Setsockopt {
    fd: On,
    level: i32,
    option: i32,
    value: i32,
}

impl Setsockopt {
    /// `level` is `libc::SOL_SOCKET` or `IPPROTO_*`, `option` one of that level.
    pub fn new(fd: impl Into<On>, level: i32, option: i32, value: i32) -> Self {
        Self {
            fd: fd.into(),
            level,
            option,
            value,
        }
    }
}

unit_operation!(Setsockopt, SYS_setsockopt, |this| &this.fd; [
    int(this.level),
    int(this.option),
    &raw const this.value as u64,
    size_of::<i32>() as u64
]);

/// Gives an option of a socket whose value is an `int`: `getsockopt(2)`.
///
/// `SO_ERROR` is one: the errno that waits for the next call, which is cleared.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::Getsockopt};
/// use std::os::fd::OwnedFd;
/// let context = Context::auto()?;
/// let socket = OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0")?);
/// let kind = Getsockopt::new(SharedFd::from(socket), libc::SOL_SOCKET, libc::SO_TYPE);
/// assert_eq!(context.run(kind)?, libc::SOCK_DGRAM);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Getsockopt {
    fd: On,
    level: i32,
    option: i32,
    value: i32,
    len: libc::socklen_t,
}

impl Getsockopt {
    /// `level` is `libc::SOL_SOCKET` or `IPPROTO_*`, `option` one of that level. Of a longer value the
    /// first four bytes come, of a shorter one what there is.
    pub fn new(fd: impl Into<On>, level: i32, option: i32) -> Self {
        Self {
            fd: fd.into(),
            level,
            option,
            value: 0,
            len: size_of::<i32>() as libc::socklen_t,
        }
    }
}

impl Sealed for Getsockopt {}

impl Operation for Getsockopt {
    type Output = Result<i32>;

    fn call(&mut self, _: Access) -> Call {
        let args = [
            int(self.level),
            int(self.option),
            &raw mut self.value as u64,
            &raw mut self.len as u64,
        ];
        file_call(libc::SYS_getsockopt, &self.fd, args)
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        Errno::unit(ret).map(|()| self.value)
    }
}
