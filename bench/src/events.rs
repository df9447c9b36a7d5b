// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `perf stat` counts of a process: the system calls that it makes, by the tracepoint, and what
//! the scheduler and the memory management do to it.
//!
//! The events are opened here, and not by perf, for one reason: they are on while calls are
//! executed, and off while a case is prepared.

#![allow(unsafe_code)]

use std::{
    fs::File,
    io::{self, Read},
    os::fd::FromRawFd,
    path::Path,
};

use crate::error::Error;

/// `perf_event_attr` as it was in its first version, which every kernel takes.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

const SOFTWARE: u32 = 1;
const TRACEPOINT: u32 = 2;
const DISABLED: u64 = 1 << 0;
const INHERIT: u64 = 1 << 1;
const _: () = assert!(size_of::<Attributes>() == 64);

/// What is counted, each with the type and the number that `linux/perf_event.h` gives it.
const EVENTS: [(&str, u32, u64); 4] = [
    // Its number is the kernel's.
    ("raw_syscalls:sys_enter", TRACEPOINT, 0),
    ("context-switches", SOFTWARE, 3),
    ("cpu-migrations", SOFTWARE, 4),
    ("page-faults", SOFTWARE, 2),
];

/// Where tracefs tells the number of a tracepoint.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Counters of this process and of all threads that it makes from now on, kernel threads of its own
/// included.
pub(crate) struct Events {
    files: [File; EVENTS.len()],
    /// The traps by which they are switched on and off once, as far as they are counted.
    own_traps: u64,
    so_far: Counted,
}

/// What the events say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) traps: u64,
    pub(crate) switches: u64,
    pub(crate) migrations: u64,
    pub(crate) faults: u64,
}

impl Events {
    /// Opens the events, switched off.
    ///
    /// # Errors
    ///
    /// [`Error::Event`] for the first that cannot be counted.
    pub(crate) fn open() -> Result<Self, Error> {
        let mut files = Vec::new();
        for (name, kind, config) in EVENTS {
            let failed = |error| Error::Event(name, error);
            let config = match kind {
                TRACEPOINT => tracepoint(name).map_err(failed)?,
                _ => config,
            };
            files.push(open(kind, config).map_err(failed)?);
        }
        let mut events = Self {
            // One file for each.
            files: files.try_into().unwrap_or_else(|_| unreachable!()),
            own_traps: 0,
            so_far: Counted::default(),
        };
        events.enable();
        events.disable();
        events.own_traps = events.take()?.traps;
        Ok(events)
    }

    /// Lets them count.
    #[inline(always)]
    pub(crate) fn enable(&self) {
        // SAFETY: The call takes no pointer, and concerns the events that this thread has opened.
        unsafe { libc::prctl(libc::PR_TASK_PERF_EVENTS_ENABLE, 0, 0, 0, 0) };
    }

    /// Lets them rest.
    #[inline(always)]
    pub(crate) fn disable(&self) {
        // SAFETY: As above.
        unsafe { libc::prctl(libc::PR_TASK_PERF_EVENTS_DISABLE, 0, 0, 0, 0) };
    }

    /// What was counted since the last time, between one [`Self::enable`] and [`Self::disable`].
    ///
    /// # Errors
    ///
    /// [`Error::Event`].
    pub(crate) fn take(&mut self) -> Result<Counted, Error> {
        let (before, now) = (self.so_far, self.raw()?);
        self.so_far = now;
        Ok(Counted {
            traps: (now.traps - before.traps).saturating_sub(self.own_traps),
            switches: now.switches - before.switches,
            migrations: now.migrations - before.migrations,
            faults: now.faults - before.faults,
        })
    }

    fn raw(&self) -> Result<Counted, Error> {
        let mut values = [0; EVENTS.len()];
        for ((value, mut file), (name, ..)) in values.iter_mut().zip(&self.files).zip(EVENTS) {
            let mut bytes = [0; 8];
            file.read_exact(&mut bytes)
                .map_err(|error| Error::Event(name, error))?;
            *value = u64::from_ne_bytes(bytes);
        }
        let [traps, switches, migrations, faults] = values;
        Ok(Counted {
            traps,
            switches,
            migrations,
            faults,
        })
    }
}

/// The number of a tracepoint "system:name".
fn tracepoint(name: &str) -> io::Result<u64> {
    let path = name.replace(':', "/");
    let file = TRACEFS
        .iter()
        .map(|root| Path::new(root).join("events").join(&path).join("id"))
        .find(|file| file.exists())
        .ok_or(io::ErrorKind::NotFound)?;
    std::fs::read_to_string(file)?
        .trim()
        .parse()
        .map_err(|_| io::ErrorKind::InvalidData.into())
}

fn open(kind: u32, config: u64) -> io::Result<File> {
    let attributes = Attributes {
        kind,
        size: size_of::<Attributes>() as u32,
        config,
        flags: DISABLED | INHERIT,
        ..Attributes::default()
    };
    // This thread, on any CPU, in no group.
    let (pid, cpu, group, flags) = (0, -1, -1, 0);
    // SAFETY: The structure is valid for reads of the size that it names.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            pid,
            cpu,
            group,
            flags,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The file was just opened and nobody owns it.
    Ok(unsafe { File::from_raw_fd(fd as i32) })
}
