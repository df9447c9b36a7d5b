// SPDX-License-Identifier: MIT OR Apache-2.0
//! Setting up a ring, and why there is none to be had.

use core::{fmt, mem::ManuallyDrop};
use std::{fs, sync::Arc};

use io_uring::{IoUring, Probe};

use super::{
    super::{
        Bell, Error, EventFile, Options,
        ring::{Driver, Ring, Spin},
        threads::Threads,
    },
    Calls, Uring,
};
use crate::{
    Errno,
    page::{Event, Region, Submitter},
    sys::guard::ForkGuard,
};

/// Where the administrator says who may use io_uring.
const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

/// Why the kernel refuses a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// `kernel.io_uring_disabled` is 2.
    Disabled,
    /// `kernel.io_uring_disabled` is 1, and the process is neither privileged nor of the group.
    Restricted,
    /// Something forbids it that the sysctl does not tell of: a container's seccomp filter, or a
    /// security module.
    Forbidden,
    /// The kernel has no io_uring, or a filter says so.
    Missing,
    /// A ring can be set up, but not entered: a seccomp filter, or a security module, forbids
    /// `io_uring_enter(2)` alone.
    Enter(Errno),
    /// The kernel's io_uring lacks what is needed.
    TooOld,
    /// There is no memory for a ring.
    Memory {
        /// The number of entries asked for.
        entries: u32,
    },
    /// The process, or the system, has as many files open as it may.
    Files,
    /// Anything else.
    Other(Errno),
}

impl Refusal {
    /// What an errno of `io_uring_setup(2)` means, given what the sysctl's file says.
    fn new(errno: Errno, sysctl: Option<&str>, entries: u32) -> Self {
        match (errno, sysctl.map(str::trim)) {
            (Errno::EPERM, Some("2")) => Self::Disabled,
            (Errno::EPERM, Some("1")) => Self::Restricted,
            (Errno::EPERM | Errno::EACCES, _) => Self::Forbidden,
            (Errno::ENOSYS, _) => Self::Missing,
            (Errno::EINVAL, _) => Self::TooOld,
            (Errno::ENOMEM, _) => Self::Memory { entries },
            (Errno::EMFILE | Errno::ENFILE, _) => Self::Files,
            _ => Self::Other(errno),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => write!(
                f,
                "io_uring is disabled: kernel.io_uring_disabled is 2; have the administrator set it to 0 \
                 (sysctl -w kernel.io_uring_disabled=0), or take another backend"
            ),
            Self::Restricted => write!(
                f,
                "io_uring is for the privileged: kernel.io_uring_disabled is 1; run with CAP_SYS_ADMIN, \
                 join the group that kernel.io_uring_group names, or take another backend"
            ),
            Self::Forbidden => write!(
                f,
                "io_uring may not be used by this process, though kernel.io_uring_disabled allows it: a \
                 seccomp filter forbids it, as those of containers do, or a security module; allow \
                 io_uring_setup, io_uring_enter and io_uring_register there, or take another backend"
            ),
            Self::Missing => write!(
                f,
                "this kernel has no io_uring (CONFIG_IO_URING), or a seccomp filter says so; run \
                 another kernel, or take another backend"
            ),
            Self::Enter(errno) => write!(
                f,
                "io_uring can be set up by this process, but not entered: io_uring_enter gives {errno}, as \
                 a seccomp filter has it, or a security module; allow io_uring_setup, io_uring_enter and \
                 io_uring_register there, or take another backend"
            ),
            Self::TooOld => write!(
                f,
                "this kernel's io_uring is too old: Linux 6.0 is needed; take another backend"
            ),
            Self::Memory { entries } => write!(
                f,
                "there is no memory for a ring of {entries} entries: memory.max of the control group, or \
                 RLIMIT_MEMLOCK, is reached; ask for fewer entries, or raise that limit"
            ),
            Self::Files => write!(
                f,
                "there can be no ring: as many files are open as RLIMIT_NOFILE, or fs.file-max, allows; \
                 close some, or raise that limit"
            ),
            Self::Other(errno) => write!(
                f,
                "there is no ring to be had: {errno}; see the kernel log (dmesg)"
            ),
        }
    }
}

/// Sets up a ring and the pool beside it.
pub(in super::super) fn open(options: &Options) -> Result<Ring, Error> {
    let guard = ForkGuard::new().map_err(Error::Map)?;
    let region = Region::new(options.entries).map_err(Error::Map)?;
    let entries = region.entries();
    let ring = ring(entries).map_err(Error::Uring)?;
    let mut probe = Probe::new();
    if let Err(error) = ring.submitter().register_probe(&mut probe) {
        return Err(Error::Uring(refusal(Errno::of(&error), entries)));
    }
    let event = EventFile::new()
        .map(Arc::new)
        .map_err(|error| Error::Uring(refusal(Errno::of(&error), entries)))?;
    let bell = Arc::new(Bell::new(Arc::new(Event::new()), Some(event)));
    let pool = Threads::new(options, region.clone(), Some(bell.clone()), None, false)?;
    let uring = Uring {
        ring: ManuallyDrop::new(ring),
        calls: Calls::new(probe),
        flights: (0..entries).map(|_| None).collect(),
        seeks: (0..entries).map(|_| None).collect(),
        single: 0,
        timed: 0,
        elusive: Vec::new(),
        owes: false,
        queued: 0,
        failures: 0,
        refused: None,
        gave_up: false,
        pool,
        bell,
        bell_polled: false,
        landings: Vec::new(),
        guard,
    };
    Ok(Ring::new(
        Submitter::new(region),
        Driver::Uring(Box::new(uring)),
        guard,
        // A wait in the kernel submits as well: it is never put off.
        Spin::new(core::time::Duration::ZERO),
    ))
}

/// A ring for this many entries. Each has a request and its time limit, so twice as many; as many
/// completions, and some for the bell and for polls that go on, which end when there is no room.
fn ring(entries: u32) -> Result<IoUring, Refusal> {
    let ring = IoUring::builder()
        .dontfork()
        .setup_clamp()
        .setup_cqsize(4 * entries)
        .setup_submit_all()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .build(2 * entries)
        .map_err(|error| refusal(Errno::of(&error), entries))?;
    // Whoever may set a ring up may not have to be allowed to use it.
    ring.submit()
        .map_err(|error| Refusal::Enter(Errno::of(&error)))?;
    // Of Linux 6.0: the cancel that is over when it returns.
    let unknown = io_uring::types::CancelBuilder::user_data(u64::MAX);
    let time = io_uring::types::Timespec::new();
    match ring.submitter().register_sync_cancel(Some(time), unknown) {
        Err(error) if Errno::of(&error) == Errno::EINVAL => Err(Refusal::TooOld),
        _ => Ok(ring),
    }
}

fn refusal(errno: Errno, entries: u32) -> Refusal {
    let sysctl = fs::read_to_string(SYSCTL).ok();
    Refusal::new(errno, sysctl.as_deref(), entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(errno: Errno, sysctl: Option<&str>, words: &[&str]) {
        let sentence = Refusal::new(errno, sysctl, 64).to_string();
        for word in words {
            assert!(sentence.contains(word), "{word}: {sentence}");
        }
    }

    #[test]
    fn refusal_names_what_the_sysctl_says() {
        says(
            Errno::EPERM,
            Some("2\n"),
            &["io_uring_disabled is 2", "sysctl -w"],
        );
        says(
            Errno::EPERM,
            Some("1\n"),
            &["io_uring_disabled is 1", "CAP_SYS_ADMIN", "io_uring_group"],
        );
    }

    #[test]
    fn refusal_that_the_sysctl_does_not_explain_names_filters() {
        for sysctl in [Some("0\n"), None, Some("17"), Some("")] {
            says(
                Errno::EPERM,
                sysctl,
                &["seccomp", "containers", "io_uring_setup"],
            );
        }
        says(Errno::EACCES, Some("2\n"), &["seccomp"]);
    }

    #[test]
    fn refusal_names_its_limit_and_what_to_do() {
        says(
            Errno::ENOMEM,
            Some("0\n"),
            &["64 entries", "RLIMIT_MEMLOCK", "memory.max", "fewer"],
        );
        says(Errno::EMFILE, None, &["RLIMIT_NOFILE", "close some"]);
        says(Errno::ENOSYS, None, &["CONFIG_IO_URING", "another backend"]);
        says(Errno::EINVAL, None, &["Linux 6.0"]);
        says(Errno::EIO, None, &["EIO", "dmesg"]);
    }
}
