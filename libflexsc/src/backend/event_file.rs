// SPDX-License-Identifier: MIT OR Apache-2.0
//! A counter to sleep on, and to wake a sleeper with: `eventfd(2)`.

#![allow(unsafe_code)]

use core::{mem::ManuallyDrop, ops::Deref};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::FromRawFd,
    sync::atomic::{AtomicBool, Ordering},
};

/// The file, closed when it is dropped, unless its number was given up.
pub(crate) struct EventFile {
    file: ManuallyDrop<File>,
    given_up: AtomicBool,
}

impl EventFile {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: The call takes no pointer.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: The file was just opened and nobody owns it.
        let file = unsafe { File::from_raw_fd(fd) };
        Ok(Self {
            file: ManuallyDrop::new(file),
            given_up: AtomicBool::new(false),
        })
    }

    /// Somebody has closed what is not theirs: the number may be another file's by now, and is not
    /// closed.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Makes it readable. One whose counter is at its maximum is so all the same.
    pub(crate) fn fill(&self) {
        let _ = (&**self).write(&1u64.to_ne_bytes());
    }

    /// Makes it unreadable.
    pub(crate) fn empty(&self) {
        let _ = (&**self).read(&mut [0; 8]);
    }
}

impl Deref for EventFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for EventFile {
    fn drop(&mut self) {
        if !*self.given_up.get_mut() {
            // SAFETY: It is dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    /// Whether a number is a file's. Other tests open files, but none with a number as high.
    fn is_open(fd: i32) -> bool {
        // SAFETY: The call takes no pointer.
        unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
    }

    fn high() -> EventFile {
        let low = EventFile::new().unwrap();
        // SAFETY: The call takes no pointer.
        let fd = unsafe { libc::fcntl(low.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 900) };
        assert!(fd >= 900);
        EventFile {
            // SAFETY: The descriptor was just made and nobody owns it.
            file: ManuallyDrop::new(unsafe { File::from_raw_fd(fd) }),
            given_up: AtomicBool::new(false),
        }
    }

    #[test]
    fn number_that_was_given_up_is_not_closed() {
        let (kept, given_up) = (high(), high());
        let numbers = [kept.as_raw_fd(), given_up.as_raw_fd()];
        given_up.give_up();
        drop((kept, given_up));
        assert_eq!(numbers.map(is_open), [false, true]);
    }
}
