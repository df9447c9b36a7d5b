// SPDX-License-Identifier: MIT OR Apache-2.0
//! io_uring by its crate: plain rings without registered files or buffers.

#![allow(unsafe_code)]

use core::hint::spin_loop;
use io_uring::{IoUring, opcode, squeue, types::Fd};

use libflexsc::sys;

use super::{Backend, Kind, Queue, direct::Direct};
use crate::{call::Call, cpu::Cpus, error::Error};

/// Milliseconds after which the kernel's thread goes to sleep, by far longer than a batch takes.
const SQPOLL_IDLE: u32 = 50;

/// A ring.
pub(crate) struct Uring {
    ring: IoUring,
    polled: bool,
}

/// Whether io_uring has an operation for this call. What it has not is made as a plain call.
pub(crate) fn has(call: &Call) -> bool {
    let nop = call.nr == sys::NR_NOP;
    nop || matches!(
        call.nr.into(),
        libc::SYS_read
            | libc::SYS_write
            | libc::SYS_pread64
            | libc::SYS_pwrite64
            | libc::SYS_statx
            | libc::SYS_openat
            | libc::SYS_close
            | libc::SYS_unlinkat
            | libc::SYS_fsync
            | libc::SYS_sendto
            | libc::SYS_recvfrom
    )
}

/// What stands for the file's own position.
const OWN_POSITION: u64 = u64::MAX;

/// The operation for a call that io_uring [has], or for the no-op.
fn entry(call: &Call) -> squeue::Entry {
    let [a, b, c, d, e, _] = call.args;
    let fd = Fd(a as i32);
    match call.nr.into() {
        libc::SYS_read => opcode::Read::new(fd, b as *mut u8, c as u32)
            .offset(OWN_POSITION)
            .build(),
        libc::SYS_write => opcode::Write::new(fd, b as *const u8, c as u32)
            .offset(OWN_POSITION)
            .build(),
        libc::SYS_pread64 => opcode::Read::new(fd, b as *mut u8, c as u32)
            .offset(d)
            .build(),
        libc::SYS_pwrite64 => opcode::Write::new(fd, b as *const u8, c as u32)
            .offset(d)
            .build(),
        libc::SYS_statx => opcode::Statx::new(fd, b as *const _, e as *mut _)
            .flags(c as i32)
            .mask(d as u32)
            .build(),
        libc::SYS_openat => opcode::OpenAt::new(fd, b as *const _)
            .flags(c as i32)
            .mode(d as u32)
            .build(),
        libc::SYS_close => opcode::Close::new(fd).build(),
        libc::SYS_unlinkat => opcode::UnlinkAt::new(fd, b as *const _)
            .flags(c as i32)
            .build(),
        libc::SYS_fsync => opcode::Fsync::new(fd).build(),
        libc::SYS_sendto => opcode::Send::new(fd, b as *const u8, c as u32)
            .flags(d as i32)
            .build(),
        libc::SYS_recvfrom => opcode::Recv::new(fd, b as *mut u8, c as u32)
            .flags(d as i32)
            .build(),
        _ => opcode::Nop::new().build(),
    }
}

fn push(submission: &mut squeue::SubmissionQueue<'_>, call: &Call, token: u64) {
    let entry = entry(call).user_data(token);
    // SAFETY: As for plain calls.
    while unsafe { submission.push(&entry) }.is_err() {
        // The kernel's thread frees places after it has completed what was in them.
        submission.sync();
        spin_loop();
    }
}

impl Uring {
    /// A ring with room for so many calls.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) fn open(kind: Kind, cpus: Cpus, batch: usize) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::Backend(kind.name(), error.to_string());
        Cpus::bind(&[cpus.here])?;
        let polled = kind == Kind::Sqpoll;
        let mut builder = IoUring::builder();
        if polled {
            builder.setup_sqpoll(SQPOLL_IDLE);
            if let Some(there) = cpus.there {
                builder.setup_sqpoll_cpu(there as u32);
            }
        }
        Ok(Self {
            ring: builder.build(batch as u32).map_err(failed)?,
            polled,
        })
    }

    /// Puts the calls into the submission ring, with their places for tokens.
    fn push_all(&mut self, calls: &[Call]) {
        let mut submission = self.ring.submission();
        for (token, call) in (0..).zip(calls) {
            push(&mut submission, call, token);
        }
    }

    /// Takes what is complete; returns how many that were.
    fn reap(&mut self, results: &mut [i64]) -> usize {
        let mut count = 0;
        for done in self.ring.completion() {
            if let Some(result) = results.get_mut(done.user_data() as usize) {
                *result = done.result().into();
            }
            count += 1;
        }
        count
    }

    /// Submits what is in the ring, waits for so many, and takes them.
    fn finish(&mut self, mut left: usize, results: &mut [i64]) {
        if self.polled {
            // A system call only where the kernel's thread sleeps.
            let _ = self.ring.submit();
            while left > 0 {
                left -= self.reap(results);
                spin_loop();
            }
            return;
        }
        while left > 0 {
            // A signal ends it early, and is no loss.
            let _ = self.ring.submit_and_wait(left);
            left -= self.reap(results);
        }
    }
}

impl Backend for Uring {
    fn batch(&mut self, calls: &[Call], results: &mut [i64]) {
        // All calls of a batch are alike.
        if calls.first().is_some_and(|call| !has(call)) {
            return Direct.batch(calls, results);
        }
        self.push_all(calls);
        self.finish(calls.len(), results);
    }

    fn among(&mut self, calls: &[Call], results: &mut [i64], work: &mut dyn FnMut()) {
        for (token, call) in (0..).zip(calls) {
            self.push(call, token);
            work();
        }
        self.finish(calls.len(), results);
    }

    fn park(&mut self, call: Call, count: usize) {
        self.push_all(&vec![call; count]);
        let _ = self.ring.submit();
    }
}

impl Queue for Uring {
    fn push(&mut self, call: &Call, token: u64) {
        push(&mut self.ring.submission(), call, token);
    }

    fn flush(&mut self) {
        let _ = self.ring.submit();
    }

    fn wait(&mut self) {
        if !self.polled {
            let _ = self.ring.submit_and_wait(1);
            return;
        }
        let _ = self.ring.submit();
        while self.ring.completion().is_empty() {
            spin_loop();
        }
    }

    fn take(&mut self, done: &mut Vec<(u64, i64)>) {
        for completion in self.ring.completion() {
            done.push((completion.user_data(), completion.result().into()));
        }
    }
}
