// SPDX-License-Identifier: MIT OR Apache-2.0
//! The error that a system call returns.

use core::fmt;
use std::{error, io};

use crate::sys;

/// What an operation gives: a value, or the call's [`Errno`].
pub type Result<T> = core::result::Result<T, Errno>;

/// Like [`Result`], beside the buffer, which comes back in any case.
pub type BufResult<T, B> = (Result<T>, B);

/// The errno of a system call, see `errno(3)`.
///
/// # Examples
///
/// ```
/// use libflexsc::Errno;
///
/// assert_eq!(Errno::ENOENT.to_string(), "ENOENT: No such file or directory");
/// assert_eq!(std::io::Error::from(Errno::ENOENT).kind(), std::io::ErrorKind::NotFound);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($name:ident,)*) => {
        /// The errnos of x86-64 Linux, `errno(3)`.
        #[allow(missing_docs)]
        impl Errno {
            $(pub const $name: Self = Self(libc::$name);)*
        }

        /// The symbolic name, as in `errno.h`.
        const fn name(errno: i32) -> Option<&'static str> {
            match errno {
                $(libc::$name => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

errnos! {
    EPERM,
    ENOENT,
    ESRCH,
    EINTR,
    EIO,
    ENXIO,
    E2BIG,
    ENOEXEC,
    EBADF,
    ECHILD,
    EAGAIN,
    ENOMEM,
    EACCES,
    EFAULT,
    ENOTBLK,
    EBUSY,
    EEXIST,
    EXDEV,
    ENODEV,
    ENOTDIR,
    EISDIR,
    EINVAL,
    ENFILE,
    EMFILE,
    ENOTTY,
    ETXTBSY,
    EFBIG,
    ENOSPC,
    ESPIPE,
    EROFS,
    EMLINK,
    EPIPE,
    EDOM,
    ERANGE,
    EDEADLK,
    ENAMETOOLONG,
    ENOLCK,
    ENOSYS,
    ENOTEMPTY,
    ELOOP,
    ENOMSG,
    EIDRM,
    ECHRNG,
    EL2NSYNC,
    EL3HLT,
    EL3RST,
    ELNRNG,
    EUNATCH,
    ENOCSI,
    EL2HLT,
    EBADE,
    EBADR,
    EXFULL,
    ENOANO,
    EBADRQC,
    EBADSLT,
    EBFONT,
    ENOSTR,
    ENODATA,
    ETIME,
    ENOSR,
    ENONET,
    ENOPKG,
    EREMOTE,
    ENOLINK,
    EADV,
    ESRMNT,
    ECOMM,
    EPROTO,
    EMULTIHOP,
    EDOTDOT,
    EBADMSG,
    EOVERFLOW,
    ENOTUNIQ,
    EBADFD,
    EREMCHG,
    ELIBACC,
    ELIBBAD,
    ELIBSCN,
    ELIBMAX,
    ELIBEXEC,
    EILSEQ,
    ERESTART,
    ESTRPIPE,
    EUSERS,
    ENOTSOCK,
    EDESTADDRREQ,
    EMSGSIZE,
    EPROTOTYPE,
    ENOPROTOOPT,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
    EOPNOTSUPP,
    EPFNOSUPPORT,
    EAFNOSUPPORT,
    EADDRINUSE,
    EADDRNOTAVAIL,
    ENETDOWN,
    ENETUNREACH,
    ENETRESET,
    ECONNABORTED,
    ECONNRESET,
    ENOBUFS,
    EISCONN,
    ENOTCONN,
    ESHUTDOWN,
    ETOOMANYREFS,
    ETIMEDOUT,
    ECONNREFUSED,
    EHOSTDOWN,
    EHOSTUNREACH,
    EALREADY,
    EINPROGRESS,
    ESTALE,
    EUCLEAN,
    ENOTNAM,
    ENAVAIL,
    EISNAM,
    EREMOTEIO,
    EDQUOT,
    ENOMEDIUM,
    EMEDIUMTYPE,
    ECANCELED,
    ENOKEY,
    EKEYEXPIRED,
    EKEYREVOKED,
    EKEYREJECTED,
    EOWNERDEAD,
    ENOTRECOVERABLE,
    ERFKILL,
    EHWPOISON,
}

impl Errno {
    /// What every operation gives in a forked child of the process that made the context.
    pub const FORKED: Self = Self::EOWNERDEAD;

    /// What an operation gives that was never executed because its context went away.
    pub const CANCELED: Self = Self::ECANCELED;

    /// The errno with this number.
    pub const fn from_raw(errno: i32) -> Self {
        Self(errno)
    }

    /// The number, positive.
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The symbolic name, `None` for a number that has none.
    pub const fn name(self) -> Option<&'static str> {
        name(self.0)
    }

    /// That of an error of the operating system.
    pub(crate) fn of(error: &std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }

    /// That of the C library's call that has just failed.
    pub(crate) fn last() -> Self {
        Self::of(&std::io::Error::last_os_error())
    }

    /// Splits what the kernel returns: a value, or a negative errno.
    #[inline]
    pub(crate) fn result(ret: i64) -> Result<u64> {
        if (-4095..0).contains(&ret) {
            Err(Self(-ret as i32))
        } else {
            Ok(ret as u64)
        }
    }

    /// [`Self::result`] of a call whose value is a count of bytes.
    #[inline]
    pub(crate) fn count(ret: i64) -> Result<usize> {
        Self::result(ret).map(|count| count as usize)
    }

    /// [`Self::result`] of a call whose value is always 0.
    #[inline]
    pub(crate) fn unit(ret: i64) -> Result<()> {
        Self::result(ret).map(|_| ())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "Errno({name})"),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = sys::strerror(self.0);
        match self.name() {
            Some(name) => write!(f, "{name}: {text}"),
            None => write!(f, "errno {}: {text}", self.0),
        }
    }
}

impl error::Error for Errno {}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_split_at_the_errno_range() {
        assert_eq!(Errno::result(0), Ok(0));
        assert_eq!(Errno::result(7), Ok(7));
        assert_eq!(Errno::result(-2), Err(Errno::ENOENT));
        assert_eq!(Errno::result(-4095), Err(Errno(4095)));
        assert_eq!(Errno::result(-4096), Ok(-4096i64 as u64));
    }

    #[test]
    fn unknown_number_is_shown_as_such() {
        assert!(Errno(4000).to_string().starts_with("errno 4000: "));
        assert_eq!(format!("{:?}", Errno::EAGAIN), "Errno(EAGAIN)");
    }
}
