// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why there is no backend.

use core::fmt;
use std::{error, io};

use super::uring::Refusal;
use crate::{Errno, sys};

/// Where the module shows its parameters.
const PARAMETERS: &str = "/sys/module/flexsc/parameters";

/// Why a backend could not be set up: which one, the cause, and what to do about it.
///
/// Both forms say all three, since what a `main` returns is printed with [`Debug`](fmt::Debug):
///
/// ```
/// let error = libflexsc::backend::Kind::from_name("modul").unwrap_err();
/// assert!(error.to_string().starts_with("there is no backend \"modul\": name "));
/// assert!(format!("{error:?}").starts_with("UnknownKind(there is no backend \"modul\": name "));
/// ```
#[non_exhaustive]
pub enum Error {
    /// There is no `/dev/flexsc`.
    NoDevice,
    /// What stands for `/dev/flexsc`, or the descriptor that was given for it, is something else.
    NotTheDevice,
    /// `/dev/flexsc` may not be opened.
    DeviceDenied(Errno),
    /// `/dev/flexsc` cannot be opened, for another reason.
    DeviceOpen(Errno),
    /// The module serves CAP_SYS_ADMIN only, and this process has not got it.
    SetupDenied,
    /// The module does not serve processes under seccomp.
    Seccomp,
    /// The module serves nobody while system calls are audited.
    Audited,
    /// The user has as many contexts as the module lets one have.
    TooManyContexts,
    /// The context cannot have a system call thread.
    SetupThread,
    /// There is no memory for a context.
    SetupMemory {
        /// The number of entries asked for.
        entries: u32,
    },
    /// The module lets no context have as many entries.
    TooManyEntries {
        /// The number of entries asked for.
        entries: u32,
    },
    /// The file has a context already, or had one.
    SetupTwice,
    /// The module cannot set up a context.
    Setup(Errno),
    /// The module speaks another version of the ABI.
    AbiVersion {
        /// The version that the module speaks.
        module: u32,
    },
    /// The context's memory cannot be mapped.
    Map(io::Error),
    /// The module's memory is not laid out as it said.
    BadLayout,
    /// The kernel refuses an io_uring.
    Uring(Refusal),
    /// The pool cannot have a thread.
    Thread(io::Error),
    /// No kind has this name.
    UnknownKind {
        /// The name given.
        name: String,
    },
}

impl Error {
    /// Why the device did not open.
    pub(super) fn of_open(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => Self::NoDevice,
            Errno::EACCES | Errno::EPERM => Self::DeviceDenied(errno),
            _ => Self::DeviceOpen(errno),
        }
    }

    /// Why the module did not set up a context of this many entries.
    pub(super) fn of_setup(errno: Errno, entries: u32) -> Self {
        match errno {
            Errno::EPERM => Self::SetupDenied,
            Errno::EACCES => Self::Seccomp,
            Errno::EOPNOTSUPP => Self::Audited,
            Errno::EMFILE => Self::TooManyContexts,
            Errno::ENOTTY => Self::NotTheDevice,
            Errno::EBUSY => Self::SetupTwice,
            Errno::EAGAIN => Self::SetupThread,
            Errno::ENOMEM => Self::SetupMemory { entries },
            Errno::ENOBUFS => Self::TooManyEntries { entries },
            _ => Self::Setup(errno),
        }
    }
}

impl Error {
    /// The name of the variant.
    fn name(&self) -> &'static str {
        match self {
            Self::NoDevice => "NoDevice",
            Self::NotTheDevice => "NotTheDevice",
            Self::DeviceDenied(_) => "DeviceDenied",
            Self::DeviceOpen(_) => "DeviceOpen",
            Self::SetupDenied => "SetupDenied",
            Self::Seccomp => "Seccomp",
            Self::Audited => "Audited",
            Self::TooManyContexts => "TooManyContexts",
            Self::SetupTwice => "SetupTwice",
            Self::SetupThread => "SetupThread",
            Self::SetupMemory { .. } => "SetupMemory",
            Self::TooManyEntries { .. } => "TooManyEntries",
            Self::Setup(_) => "Setup",
            Self::AbiVersion { .. } => "AbiVersion",
            Self::Map(_) => "Map",
            Self::BadLayout => "BadLayout",
            Self::Uring(_) => "Uring",
            Self::Thread(_) => "Thread",
            Self::UnknownKind { .. } => "UnknownKind",
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", self.name())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = sys::DEVICE;
        match self {
            Self::NoDevice => {
                write!(
                    f,
                    "{device} does not exist: load the module (insmod flexsc.ko)"
                )
            }
            Self::NotTheDevice => write!(
                f,
                "the file is not {device}: open that, and pass on its descriptor"
            ),
            Self::DeviceDenied(errno) => write!(
                f,
                "{device} may not be opened: {errno}; run as root or join the group that it belongs to"
            ),
            Self::DeviceOpen(Errno::EMFILE | Errno::ENFILE) => write!(
                f,
                "{device} cannot be opened: as many files are open as RLIMIT_NOFILE, or fs.file-max, \
                 allows; close some, or raise that limit"
            ),
            Self::DeviceOpen(errno) => {
                write!(
                    f,
                    "{device} cannot be opened: {errno}; see the kernel log (dmesg)"
                )
            }
            Self::SetupDenied => write!(
                f,
                "{device} refuses this process: the administrator wants CAP_SYS_ADMIN for set-up; run as \
                 root, or have N written to {PARAMETERS}/privileged"
            ),
            Self::Seccomp => write!(
                f,
                "{device} refuses this process: it is under seccomp, whose filters would not see what \
                 is posted; run outside the sandbox, or have the administrator write Y to \
                 {PARAMETERS}/allow_seccomp"
            ),
            Self::Audited => write!(
                f,
                "{device} refuses this process: system calls are audited, and those that are posted \
                 would not be; see {PARAMETERS}/audit"
            ),
            Self::TooManyContexts => write!(
                f,
                "{device} cannot set up a context: this user has as many as one may have, \
                 {PARAMETERS}/max_contexts; close some, or have the administrator raise it"
            ),
            Self::SetupThread => write!(
                f,
                "{device} cannot set up a context: its system call thread would exceed RLIMIT_NPROC or \
                 pids.max of the control group; raise that limit, or end some threads"
            ),
            Self::SetupMemory { entries } => write!(
                f,
                "{device} cannot set up a context of {entries} entries: memory is short, or memory.max \
                 of the control group is reached; ask for fewer entries, or raise that limit"
            ),
            Self::TooManyEntries { entries } => write!(
                f,
                "{device} cannot set up a context of {entries} entries: that is more than \
                 {PARAMETERS}/max_entries; ask for fewer entries, or have the administrator raise it"
            ),
            Self::SetupTwice => write!(
                f,
                "{device} cannot set up a context: this open file has one already; open {device} \
                 anew for each"
            ),
            Self::Setup(errno) => {
                write!(
                    f,
                    "{device} cannot set up a context: {errno}; see the kernel log (dmesg)"
                )
            }
            Self::AbiVersion { module } => write!(
                f,
                "the module behind {device} speaks ABI version {module}, this library {}: \
                 build both from one source",
                sys::ABI_VERSION
            ),
            Self::Map(error) => {
                write!(
                    f,
                    "the system call page cannot be mapped: {error}; ask for fewer entries"
                )
            }
            Self::BadLayout => write!(
                f,
                "the memory of {device} is not laid out as it said: build module and library from \
                 one source"
            ),
            Self::Uring(refusal) => refusal.fmt(f),
            Self::Thread(error) => write!(
                f,
                "the pool cannot have a thread: {error}; see RLIMIT_NPROC, or take another backend"
            ),
            Self::UnknownKind { name } => {
                write!(
                    f,
                    "there is no backend \"{name}\": name module, io_uring, threads or direct"
                )
            }
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::DeviceDenied(errno)
            | Self::DeviceOpen(errno)
            | Self::Setup(errno)
            | Self::Uring(Refusal::Enter(errno) | Refusal::Other(errno)) => Some(errno),
            Self::Map(error) | Self::Thread(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::NoDevice => io::ErrorKind::NotFound,
            Error::DeviceDenied(_) | Error::SetupDenied | Error::Seccomp | Error::Audited => {
                io::ErrorKind::PermissionDenied
            }
            Error::Uring(refusal) => match refusal {
                Refusal::Disabled
                | Refusal::Restricted
                | Refusal::Forbidden
                | Refusal::Enter(_) => io::ErrorKind::PermissionDenied,
                Refusal::Missing | Refusal::TooOld => io::ErrorKind::Unsupported,
                Refusal::Memory { .. } => io::ErrorKind::OutOfMemory,
                Refusal::Files => io::ErrorKind::ResourceBusy,
                Refusal::Other(errno) => Self::from(*errno).kind(),
            },
            Error::TooManyContexts | Error::SetupThread => io::ErrorKind::ResourceBusy,
            Error::SetupMemory { .. } | Error::TooManyEntries { .. } => io::ErrorKind::OutOfMemory,
            Error::DeviceOpen(errno) | Error::Setup(errno) => Self::from(*errno).kind(),
            Error::AbiVersion { .. } => io::ErrorKind::Unsupported,
            Error::NotTheDevice => io::ErrorKind::InvalidInput,
            Error::SetupTwice => io::ErrorKind::ResourceBusy,
            Error::BadLayout => io::ErrorKind::InvalidData,
            Error::Map(error) | Error::Thread(error) => error.kind(),
            Error::UnknownKind { .. } => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(errno: Errno) -> String {
        Error::of_setup(errno, 4096).to_string()
    }

    #[track_caller]
    fn says(sentence: &str, words: &[&str]) {
        for word in words {
            assert!(sentence.contains(word), "{word}: {sentence}");
        }
    }

    #[test]
    fn refused_set_up_names_its_limit_and_what_to_do() {
        says(
            &setup(Errno::EMFILE),
            &["max_contexts", "close some", "raise"],
        );
        says(
            &setup(Errno::EAGAIN),
            &["RLIMIT_NPROC", "pids.max", "raise"],
        );
        says(
            &setup(Errno::ENOMEM),
            &["4096 entries", "memory.max", "fewer entries"],
        );
        says(
            &setup(Errno::ENOBUFS),
            &["4096 entries", "max_entries", "fewer entries", "raise"],
        );
        says(
            &setup(Errno::EPERM),
            &["CAP_SYS_ADMIN", "privileged", "run as root"],
        );
        says(
            &setup(Errno::EACCES),
            &["seccomp", "allow_seccomp", "outside the sandbox"],
        );
        says(&setup(Errno::EOPNOTSUPP), &["audit", PARAMETERS]);
        says(&setup(Errno::EBUSY), &["has one already", "anew"]);
        says(&setup(Errno::ENOTTY), &[sys::DEVICE, "pass on"]);
        says(&setup(Errno::EINVAL), &["EINVAL", "dmesg"]);
    }

    #[test]
    fn closed_device_names_its_group_and_what_to_do() {
        let open = |errno| Error::of_open(errno).to_string();
        says(
            &open(Errno::EACCES),
            &[sys::DEVICE, "EACCES", "root", "join the group"],
        );
        says(
            &open(Errno::EPERM),
            &[sys::DEVICE, "EPERM", "root", "join the group"],
        );
        says(&open(Errno::ENOENT), &["does not exist", "insmod"]);
        says(&open(Errno::EIO), &["EIO", "dmesg"]);
        says(&open(Errno::EMFILE), &["RLIMIT_NOFILE", "close some"]);
    }

    #[test]
    fn main_that_returns_an_error_says_what_to_do() {
        for error in [
            Error::NoDevice,
            Error::of_open(Errno::EACCES),
            Error::of_setup(Errno::EMFILE, 64),
            Error::Uring(Refusal::Disabled),
        ] {
            let (debug, display) = (format!("{error:?}"), error.to_string());
            says(&debug, &[&display, error.name()]);
        }
        let boxed: Box<dyn error::Error> = io::Error::from(Error::NoDevice).into();
        says(&format!("{boxed:?}"), &["load the module"]);
    }

    #[test]
    fn pool_without_threads_names_its_limit_and_what_to_do() {
        let error = io::Error::from_raw_os_error(libc::EAGAIN);
        says(
            &Error::Thread(error).to_string(),
            &["RLIMIT_NPROC", "another backend"],
        );
    }
}
