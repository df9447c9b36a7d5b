// SPDX-License-Identifier: MIT OR Apache-2.0
//! Notices that the process is a forked child.
//!
//! A context belongs to the process that made it: its mapping does not exist in a child
//! (`VM_DONTCOPY`), nor do a pool's threads. One page of the process carries a word that the
//! kernel wipes at fork (`MADV_WIPEONFORK`, `madvise(2)`), so that a look at it costs one load and
//! no system call. A `vfork(2)` child shares the parent's memory and is not noticed.

use core::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};
use std::io;

/// The process's wiped word; null until the first context.
static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// What the word is next set to. Inherited by children, so that no value comes back in a lineage.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Remembers in which process it was made.
///
/// # Examples
///
/// ```
/// use libflexsc::sys::guard::ForkGuard;
/// let guard = ForkGuard::new()?;
/// assert!(!guard.is_forked()); // In a child that is forked from here on it is.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ForkGuard {
    word: &'static AtomicU64,
    value: u64,
}

impl ForkGuard {
    /// Arms the process's word, once, and remembers its value.
    ///
    /// # Errors
    ///
    /// What `mmap(2)` or `madvise(2)` says; `MADV_WIPEONFORK` exists since Linux 4.14.
    pub fn new() -> io::Result<Self> {
        let word = word()?;
        let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
        let value = match word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => fresh,
            Err(armed) => armed,
        };
        Ok(Self { word, value })
    }

    /// Whether this is a child of the process that made the guard.
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.word.load(Ordering::Relaxed) != self.value
    }
}

fn word() -> io::Result<&'static AtomicU64> {
    let known = WORD.load(Ordering::Acquire);
    if !known.is_null() {
        // SAFETY: WORD only ever holds a pointer to a mapping that is never unmapped.
        return Ok(unsafe { &*known });
    }
    let len = 4096;
    // SAFETY: A new private mapping touches no memory that exists.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The page was mapped above and nobody else knows it.
    if unsafe { libc::madvise(page, len, libc::MADV_WIPEONFORK) } != 0 {
        let error = io::Error::last_os_error();
        // SAFETY: As above; nobody refers to it.
        unsafe { libc::munmap(page, len) };
        return Err(error);
    }
    let mine = page.cast::<AtomicU64>();
    match WORD.compare_exchange(ptr::null_mut(), mine, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: The page is zeroed, aligned, and from here on never unmapped.
        Ok(_) => Ok(unsafe { &*mine }),
        Err(other) => {
            // SAFETY: The page never became known.
            unsafe { libc::munmap(page, len) };
            // SAFETY: As at the top.
            Ok(unsafe { &*other })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_is_noticed_and_may_arm_its_own() {
        let guard = ForkGuard::new().unwrap();
        assert!(!guard.is_forked());
        // SAFETY: The child calls no function that may take a lock of another thread: loads,
        // an atomic exchange and _exit.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let noticed = guard.is_forked();
            let own = ForkGuard::new().is_ok_and(|own| !own.is_forked());
            let still = guard.is_forked();
            // SAFETY: Ends the child at once.
            unsafe { libc::_exit(if noticed && own && still { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: `status` is valid for writes.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        assert_eq!(status, 0);
        assert!(!guard.is_forked());
    }
}
