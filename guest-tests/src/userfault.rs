// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory whose first use sleeps until the test says so, by userfaultfd(2): any call that copies to it blocks, in
//! whatever lane, for exactly as long as wanted.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

const PAGE: usize = 4096;
const UFFD_API: u64 = 0xaa;
const UFFDIO_API: u64 = 0xc018_aa3f;
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
const UFFDIO_ZEROPAGE: u64 = 0xc020_aa04;
const MODE_MISSING: u64 = 1;

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct ZeroPage {
    start: u64,
    len: u64,
    mode: u64,
    zeroed: i64,
}

/// Pages that are missing until [`Slow::release`].
#[derive(Debug)]
pub struct Slow {
    fd: OwnedFd,
    base: NonNull<u8>,
    len: usize,
}

impl Slow {
    /// Maps `pages` such pages.
    ///
    /// # Errors
    /// Those of userfaultfd(2), its ioctls and mmap(2); root's rights are needed.
    pub fn new(pages: usize) -> io::Result<Self> {
        // Where it blocks, poll(2) says POLLERR always, and nothing else.
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just returned this descriptor to us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let mut api = Api {
            api: UFFD_API,
            features: 0,
            ioctls: 0,
        };
        request(&fd, UFFDIO_API, &mut api)?;
        let len = pages * PAGE;
        // SAFETY: a fresh private mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let slow = Self {
            fd,
            base: NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?,
            len,
        };
        let mut register = Register {
            start: slow.address(),
            len: len as u64,
            mode: MODE_MISSING,
            ioctls: 0,
        };
        request(&slow.fd, UFFDIO_REGISTER, &mut register)?;
        Ok(slow)
    }

    /// Where the pages are.
    pub fn address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// Whether somebody sleeps on a page.
    pub fn is_awaited(&self) -> bool {
        let mut poll = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one structure, which lives through the call.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 && poll.revents & libc::POLLIN != 0 }
    }

    /// Brings page `which` in, as zeroes, and wakes who sleeps on it.
    ///
    /// # Errors
    /// The ioctl's error.
    pub fn release(&self, which: usize) -> io::Result<()> {
        let mut zero = ZeroPage {
            start: self.address() + (which * PAGE) as u64,
            len: PAGE as u64,
            mode: 0,
            zeroed: 0,
        };
        request(&self.fd, UFFDIO_ZEROPAGE, &mut zero)
    }

    /// The first `len` bytes of page `which`, which was released.
    pub fn bytes(&self, which: usize, len: usize) -> Vec<u8> {
        assert!(which * PAGE + len <= self.len);
        // SAFETY: the range is inside our mapping; nobody writes to it once its call is done.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(which * PAGE), len) }.to_vec()
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        // SAFETY: our own mapping, of this size.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

fn request<T>(fd: &OwnedFd, request: u64, argument: &mut T) -> io::Result<()> {
    // SAFETY: the argument is a live structure of the size that the request encodes.
    let ret = unsafe { libc::ioctl(fd.as_raw_fd(), request, ptr::from_mut(argument)) };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
