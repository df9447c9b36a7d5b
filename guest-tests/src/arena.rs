// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory that tested calls read from and write to, with pages that must fault beside it.

use std::io;
use std::ptr::{self, NonNull};

const PAGE: usize = 4096;
/// Bytes of the input region: paths, vectors, structures.
pub const IN_SIZE: usize = 11 * PAGE;
/// Bytes of the output region.
pub const OUT_SIZE: usize = 16 * PAGE;
/// Bytes of the read-only region.
pub const RO_SIZE: usize = PAGE;

const OUT_START: usize = IN_SIZE + PAGE;
const RO_START: usize = OUT_START + OUT_SIZE + PAGE;
const TOTAL: usize = RO_START + RO_SIZE + PAGE;

/// Input region, output region and a read-only page, each followed by a page without any access.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u8>,
}

impl Arena {
    /// Maps a fresh arena.
    ///
    /// # Errors
    /// mmap(2)'s and mprotect(2)'s errors.
    pub fn new() -> io::Result<Self> {
        // SAFETY: a fresh private mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                TOTAL,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let arena = Self {
            base: NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?,
        };
        for byte in 0..RO_SIZE {
            // SAFETY: inside the mapping, which is still writable.
            unsafe { arena.base.as_ptr().add(RO_START + byte).write(byte as u8) };
        }
        arena.protect(IN_SIZE, PAGE, libc::PROT_NONE)?;
        arena.protect(OUT_START + OUT_SIZE, PAGE, libc::PROT_NONE)?;
        arena.protect(RO_START, RO_SIZE, libc::PROT_READ)?;
        arena.protect(RO_START + RO_SIZE, PAGE, libc::PROT_NONE)?;
        Ok(arena)
    }

    fn protect(&self, start: usize, len: usize, access: libc::c_int) -> io::Result<()> {
        // SAFETY: a page-aligned range inside our own mapping that nothing borrows.
        let ret = unsafe {
            libc::mprotect(
                self.base.as_ptr().add(start).cast::<libc::c_void>(),
                len,
                access,
            )
        };
        if ret == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    fn address(&self, offset: usize) -> u64 {
        self.base.as_ptr() as u64 + offset as u64
    }

    /// Address of byte `at` of the input region (its end, where the guard begins, included).
    pub fn input(&self, at: usize) -> u64 {
        self.address(at)
    }

    /// Address of byte `at` of the output region; from [`OUT_SIZE`] on it is the guard.
    pub fn output(&self, at: usize) -> u64 {
        self.address(OUT_START + at)
    }

    /// Address of byte `at` of the read-only page.
    pub fn read_only(&self, at: usize) -> u64 {
        self.address(RO_START + at)
    }

    /// Fills the output region with the pattern that every world starts an operation with.
    pub fn reset_output(&mut self, salt: u8) {
        let mut page = [0_u8; PAGE];
        for (at, byte) in page.iter_mut().enumerate() {
            *byte = (at as u8).wrapping_mul(31).wrapping_add(salt) | 1;
        }
        for target in self.output_mut().chunks_exact_mut(PAGE) {
            target.copy_from_slice(&page);
        }
    }

    /// The output region.
    pub fn output_bytes(&self) -> &[u8] {
        // SAFETY: the region is mapped readable for as long as the arena lives, and the kernel writes to it only
        // while a call is in flight, when nobody holds this slice.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(OUT_START), OUT_SIZE) }
    }

    fn output_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `output_bytes`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(OUT_START), OUT_SIZE) }
    }

    /// Writes `bytes` at `at` of the output region, for arguments that are read and written.
    ///
    /// # Panics
    /// When they do not fit: a mistake in a test's own table.
    pub fn write_output(&mut self, at: usize, bytes: &[u8]) {
        self.output_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The input region.
    pub fn input_bytes(&self) -> &[u8] {
        // SAFETY: as in `output_bytes`, for the input region.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), IN_SIZE) }
    }

    /// Writes `bytes` at `at` of the input region.
    ///
    /// # Panics
    /// When they do not fit: a mistake in a test's own table.
    pub fn write_input(&mut self, at: usize, bytes: &[u8]) {
        assert!(
            at + bytes.len() <= IN_SIZE,
            "input of {} bytes at {at}",
            bytes.len()
        );
        // SAFETY: the range was checked; the region is mapped writable; `self` is borrowed exclusively.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.as_ptr().add(at), bytes.len());
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: our own mapping, of this size, not used afterwards.
        unsafe { libc::munmap(self.base.as_ptr().cast(), TOTAL) };
    }
}
