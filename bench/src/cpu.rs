// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which CPUs there are, and being bound to them.

#![allow(unsafe_code)]

use std::io;

use crate::error::Error;

/// The CPU of who posts, and that of who executes, if there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cpus {
    pub(crate) here: usize,
    pub(crate) there: Option<usize>,
}

impl Cpus {
    /// The first two that this process may use, or the only one.
    pub(crate) fn usable() -> Self {
        let mut usable = Self::all().into_iter();
        Self {
            here: usable.next().unwrap_or(0),
            there: usable.next(),
        }
    }

    /// All that this thread may use.
    pub(crate) fn all() -> Vec<usize> {
        let set = affinity();
        // SAFETY: The index is below the number of bits of the set.
        let usable = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
        (0..libc::CPU_SETSIZE as usize).filter(usable).collect()
    }

    /// Binds this thread to these, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Pin`], also if the kernel has bound it to fewer.
    pub(crate) fn bind(cpus: &[usize]) -> Result<(), Error> {
        let first = cpus.first().copied().unwrap_or(0);
        let mut set = empty();
        for &cpu in cpus {
            // SAFETY: As for CPU_ISSET; a number that is too large is refused by the library.
            unsafe { libc::CPU_SET(cpu, &mut set) };
        }
        // SAFETY: The set is valid for reads of the size given.
        if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } != 0 {
            return Err(Error::Pin(first, io::Error::last_os_error()));
        }
        // SAFETY: Both are sets.
        if !unsafe { libc::CPU_EQUAL(&set, &affinity()) } {
            let error = io::Error::other("it was bound to others");
            return Err(Error::Pin(first, error));
        }
        Ok(())
    }
}

fn empty() -> libc::cpu_set_t {
    // SAFETY: A plain bit array, for which all zeroes is a value.
    unsafe { core::mem::zeroed() }
}

fn affinity() -> libc::cpu_set_t {
    let mut set = empty();
    // SAFETY: The set is valid for writes of the size given. Where it fails no CPU is usable.
    unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
    set
}
