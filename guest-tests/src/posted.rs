// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls through a page for tests that look at what they do, not at how they are posted.

use std::ffi::CStr;
use std::sync::atomic::Ordering;

use libflexsc::sys::{BUSY, DONE, NR_NOP, SUBMITTED};

use crate::client::{Completion, Context, Done, Lane, Mode, plain};
use crate::suite::until;
use crate::world::Ret;

/// Both ways of waiting.
pub const MODES: [Mode; 2] = [Mode::Lanes, Mode::Caller];

/// A context and a way of waiting.
#[derive(Debug)]
pub struct Poster {
    /// The context.
    pub context: Context,
    mode: Mode,
}

impl Poster {
    /// A fresh context.
    ///
    /// # Errors
    /// The client's, as text.
    pub fn new(mode: Mode) -> Result<Self, String> {
        let context = Context::for_mode(mode).map_err(|why| why.to_string())?;
        Ok(Self::with(context, mode))
    }

    /// A context that there is.
    pub fn with(context: Context, mode: Mode) -> Self {
        Self { context, mode }
    }

    /// How it waits.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// One call, whatever comes of it.
    ///
    /// # Errors
    /// The client's, as text.
    pub fn entry(&mut self, nr: libc::c_long, args: &[u64]) -> Result<Done, String> {
        self.context
            .call(self.mode, nr as u16, six(args))
            .map_err(|why| format!("call {nr} by {:?}: {why}", self.mode))
    }

    /// One call; the plain one when it was handed back. Returns its result or `-errno`.
    ///
    /// # Errors
    /// The client's, as text.
    pub fn call(&mut self, nr: libc::c_long, args: &[u64]) -> Result<i64, String> {
        let done = self.entry(nr, args)?;
        if done.lane == Lane::HandedBack {
            // SAFETY: callers pass pointers to memory that lives through this call.
            return Ok(unsafe { plain(nr as u16, six(args)) });
        }
        Ok(done.ret)
    }

    /// Posts one call and does not wait. A kick follows if one is due.
    ///
    /// # Errors
    /// The client's, as text.
    pub fn post(&mut self, nr: libc::c_long, args: &[u64]) -> Result<u32, String> {
        let index = self
            .context
            .post(nr as u16, six(args))
            .ok_or("no entry is free")?;
        self.context
            .kick_if_needed()
            .map_err(|why| why.to_string())?;
        Ok(index)
    }

    /// Posts these calls at once, and does not wait; their entries. A kick follows if one is due.
    ///
    /// # Errors
    /// The client's, as text.
    pub fn post_all(&mut self, calls: &[(libc::c_long, &[u64])]) -> Result<Vec<u32>, String> {
        let mut indices = Vec::with_capacity(calls.len());
        for &(nr, args) in calls {
            let free = self.context.prepare(nr as u16, six(args));
            indices.push(free.ok_or("no entry is free")?);
        }
        self.context.publish_all(&indices);
        self.context
            .kick_if_needed()
            .map_err(|why| why.to_string())?;
        Ok(indices)
    }

    /// The next completion.
    ///
    /// # Errors
    /// The client's, as text.
    pub fn complete(&mut self) -> Result<Completion, String> {
        self.context
            .complete(self.mode)
            .map_err(|why| why.to_string())
    }

    /// Waits until the entry sleeps where `asleep` looks for it.
    ///
    /// # Errors
    /// `what` when it never does; its completion when it does not sleep.
    pub fn until_asleep(
        &mut self,
        index: u32,
        what: &str,
        mut asleep: impl FnMut() -> bool,
    ) -> Result<(), String> {
        let mut sleeps = false;
        let status = self.context.status(index);
        until(what, || {
            sleeps = asleep();
            sleeps || status.load(Ordering::Acquire) == DONE
        })?;
        if sleeps {
            return Ok(());
        }
        loop {
            let done = self.complete()?;
            ensure(done.index != index, format!("it did not sleep: {done:?}"))?;
        }
    }

    /// Waits until the entry, and all that was posted before and after it, is taken and holds its files, and is not
    /// over at once.
    ///
    /// # Errors
    /// When it never is; its completion when it is over.
    pub fn until_taken(&mut self, index: u32) -> Result<(), String> {
        let (head, tail) = (self.context.sub_head(), self.context.sub_tail());
        let posted = tail.load(Ordering::Relaxed);
        // An entry is BUSY a moment before it holds its files.
        until("the entry is taken", || {
            head.load(Ordering::Acquire) == posted
        })?;
        let seen = self.context.status(index).load(Ordering::Acquire);
        ensure(seen != SUBMITTED, "the entry was passed over")?;
        if seen == BUSY {
            return Ok(());
        }
        loop {
            let done = self.complete()?;
            ensure(
                done.index != index,
                format!("it was over at once: {done:?}"),
            )?;
        }
    }

    /// A no-op, to see that the context still works.
    ///
    /// # Errors
    /// When it does not.
    pub fn nop(&mut self) -> Result<(), String> {
        let ret = self.call(libc::c_long::from(NR_NOP), &[])?;
        expect("no-op", ret, 0)
    }

    /// openat(AT_FDCWD, path, flags, 0600).
    ///
    /// # Errors
    /// The client's, as text.
    pub fn open(&mut self, path: &CStr, flags: i32) -> Result<i64, String> {
        let args = [
            libc::AT_FDCWD as u64,
            path.as_ptr() as u64,
            flags as u64,
            0o600,
        ];
        self.call(libc::SYS_openat, &args)
    }

    /// read(2) into a fresh buffer: result and content.
    ///
    /// # Errors
    /// The client's, as text.
    pub fn read(&mut self, fd: i32, len: usize) -> Result<(i64, Vec<u8>), String> {
        let mut buffer = vec![0_u8; len];
        let args = [fd as u64, buffer.as_mut_ptr() as u64, len as u64];
        let ret = self.call(libc::SYS_read, &args)?;
        buffer.truncate(ret.max(0) as usize);
        Ok((ret, buffer))
    }

    /// pread64(2) from offset 0.
    ///
    /// # Errors
    /// The client's, as text.
    pub fn pread(&mut self, fd: i32, len: usize) -> Result<(i64, Vec<u8>), String> {
        let mut buffer = vec![0_u8; len];
        let args = [fd as u64, buffer.as_mut_ptr() as u64, len as u64, 0];
        let ret = self.call(libc::SYS_pread64, &args)?;
        buffer.truncate(ret.max(0) as usize);
        Ok((ret, buffer))
    }

    /// write(2).
    ///
    /// # Errors
    /// The client's, as text.
    pub fn write(&mut self, fd: i32, bytes: &[u8]) -> Result<i64, String> {
        let args = [fd as u64, bytes.as_ptr() as u64, bytes.len() as u64];
        self.call(libc::SYS_write, &args)
    }

    /// close(2).
    ///
    /// # Errors
    /// The client's, as text.
    pub fn close(&mut self, fd: i32) -> Result<i64, String> {
        self.call(libc::SYS_close, &[fd as u64])
    }
}

/// Up to six arguments, the rest 0.
pub fn six(args: &[u64]) -> [u64; 6] {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    all
}

/// Fails unless a result is the expected one.
///
/// # Errors
/// A text with both.
pub fn expect(what: &str, is: i64, want: i64) -> Result<(), String> {
    if is == want {
        Ok(())
    } else {
        Err(format!("{what}: {}, not {}", Ret(is), Ret(want)))
    }
}

/// Fails unless `holds`.
///
/// # Errors
/// `what`.
pub fn ensure(holds: bool, what: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// A failed libc call as text.
///
/// # Errors
/// When `ret` is negative: `what` and the errno.
pub fn libc_ok(what: &str, ret: i64) -> Result<i64, String> {
    if ret < 0 {
        Err(format!("{what}: {}", std::io::Error::last_os_error()))
    } else {
        Ok(ret)
    }
}
