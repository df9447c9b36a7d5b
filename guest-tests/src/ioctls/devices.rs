// SPDX-License-Identifier: MIT OR Apache-2.0
//! Descriptors of the device in every state, and memory that ends where it is said to.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use libflexsc::sys as abi;

use super::model::{Reach, State};
use crate::client::{Context, PATIENCE, ioctl, open_device, setup_request};
use crate::posted::{ensure, expect, libc_ok};
use crate::process::Child;
use crate::shared_words::SharedWords;
use crate::suite::{outcome, until};

/// A descriptor in some state, and what keeps it there.
#[derive(Debug)]
pub struct Device {
    /// Its state.
    pub state: State,
    /// Whether its set of calls is final.
    pub frozen: bool,
    holder: Holder,
    /// The process that set it up, if that is another one.
    _owner: Option<Child>,
}

#[derive(Debug)]
enum Holder {
    File(OwnedFd),
    Context(Box<Context>),
}

fn open() -> Result<OwnedFd, String> {
    open_device().map_err(|why| why.to_string())
}

impl Device {
    /// A descriptor in `state`. The calling process must have one thread only.
    ///
    /// # Errors
    /// What could not be done to bring it there.
    pub fn new(state: State) -> Result<Self, String> {
        let file = open()?;
        let (holder, owner) = match state {
            State::Fresh => (Holder::File(file), None),
            State::Live => {
                let context = Context::new(file, setup_request(64));
                let context = context.map_err(|why| why.to_string())?;
                (Holder::Context(Box::new(context)), None)
            }
            State::Unmapped => {
                let ret = outcome(ioctl(
                    file.as_raw_fd(),
                    abi::IOC_SETUP,
                    &mut setup_request(64),
                ));
                expect("set-up", ret, 0)?;
                (Holder::File(file), None)
            }
            State::Foreign | State::Dead => {
                let owner = Self::owner(file.as_raw_fd(), state)?;
                (Holder::File(file), owner)
            }
        };
        Ok(Self {
            state,
            frozen: false,
            holder,
            _owner: owner,
        })
    }

    /// Lets a child set `fd` up; it is gone afterwards if the state is to be dead.
    fn owner(fd: RawFd, state: State) -> Result<Option<Child>, String> {
        let words = SharedWords::new(1).map_err(|why| why.to_string())?;
        let mut child = Child::spawn(|| {
            let ret = outcome(ioctl(fd, abi::IOC_SETUP, &mut setup_request(64)));
            words[0].store(
                1 + u64::from(ret == 0),
                std::sync::atomic::Ordering::Release,
            );
            std::thread::sleep(10 * *PATIENCE);
            0
        })
        .map_err(|why| format!("fork: {why}"))?;
        let told = || words[0].load(std::sync::atomic::Ordering::Acquire);
        until("the owner's set-up", || told() > 0)?;
        ensure(told() == 2, "the owner's set-up failed")?;
        if state == State::Foreign {
            return Ok(Some(child));
        }
        child.kill()?;
        Ok(None)
    }

    /// The descriptor.
    pub fn fd(&self) -> RawFd {
        match &self.holder {
            Holder::File(file) => file.as_raw_fd(),
            Holder::Context(context) => context.fd(),
        }
    }

    /// The context, where it is mapped.
    pub fn context(&mut self) -> Option<&mut Context> {
        match &mut self.holder {
            Holder::File(_) => None,
            Holder::Context(context) => Some(context),
        }
    }

    /// Shows that what was refused has spoilt nothing: what can still work does.
    ///
    /// # Errors
    /// What does not.
    pub fn works(self) -> Result<(), String> {
        let mut context = match (self.state, self.holder) {
            (State::Fresh, Holder::File(file)) => {
                Box::new(Context::new(file, setup_request(64)).map_err(|why| why.to_string())?)
            }
            (_, Holder::Context(context)) => context,
            _ => return Ok(()),
        };
        super::works(&mut context)
    }
}

/// Three pages: one to read and write, one without access, one to read only, one without access again.
#[derive(Debug)]
pub struct Edges {
    base: *mut u8,
}

const PAGE: usize = 4096;

impl Edges {
    /// Maps them.
    ///
    /// # Errors
    /// mmap(2)'s and mprotect(2)'s errors.
    pub fn new() -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(ptr::null_mut(), 4 * PAGE, access, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = base.cast::<u8>();
        for page in [1, 3] {
            // SAFETY: a page of our own mapping that nothing borrows.
            if unsafe { libc::mprotect(base.add(page * PAGE).cast(), PAGE, libc::PROT_NONE) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self { base })
    }

    /// Copies an argument to where `reach` says, `missing` of its bytes beyond the end of memory.
    ///
    /// # Errors
    /// mprotect(2)'s error, as text.
    pub fn place<T: Copy>(
        &self,
        argument: &T,
        reach: Reach,
        missing: usize,
    ) -> Result<u64, String> {
        let size = size_of::<T>();
        let missing = if reach == Reach::Not {
            missing.clamp(1, size)
        } else {
            0
        };
        let page = if reach == Reach::ReadOnly { 2 } else { 0 };
        let end = (page + 1) * PAGE;
        let at = end - size + missing;
        // SAFETY: the page is ours; only what fits is copied, and the argument is plain data of this size.
        unsafe {
            let place = self.base.add(page * PAGE).cast();
            let writable = libc::PROT_READ | libc::PROT_WRITE;
            libc_ok("mprotect", libc::mprotect(place, PAGE, writable).into())?;
            ptr::copy_nonoverlapping(
                ptr::from_ref(argument).cast::<u8>(),
                self.base.add(at),
                size - missing,
            );
            if reach == Reach::ReadOnly {
                libc_ok(
                    "mprotect",
                    libc::mprotect(place, PAGE, libc::PROT_READ).into(),
                )?;
            }
        }
        Ok(self.base as u64 + at as u64)
    }

    /// The argument that an ioctl has left where [`Edges::place`] put it with all of its bytes.
    pub fn back<T: Copy>(&self, address: u64) -> T {
        // SAFETY: `place` gave the address of a whole T inside the first page; plain data of any bytes.
        unsafe { (address as *const T).read_unaligned() }
    }
}

impl Drop for Edges {
    fn drop(&mut self) {
        // SAFETY: our own mapping; nothing borrows from it.
        unsafe { libc::munmap(self.base.cast(), 4 * PAGE) };
    }
}

/// An ioctl with a number or an address for its argument; its result or `-errno`.
pub fn raw(fd: RawFd, request: u32, argument: u64) -> i64 {
    // SAFETY: the kernel checks the pointer; callers give addresses where it may write, or where nothing is.
    crate::suite::result(unsafe { libc::ioctl(fd, request.into(), argument) })
}

/// How long a wait of the tests lasts that is to end by time.
pub const SHORT: Duration = Duration::from_micros(200);
