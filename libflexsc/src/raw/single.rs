// SPDX-License-Identifier: MIT OR Apache-2.0
//! One call at a time, for who may not allocate.

use core::{fmt, mem::ManuallyDrop};
use std::os::fd::RawFd;

use crate::{
    Backend,
    backend::{Alone, Choice, Engine, Kind, Ring},
};

/// A context for one call at a time, which is waited for at once.
///
/// Nothing is gained by that: the call costs what it costs, and the way to those who execute it. But
/// it is what a program without any concurrency can be given, from outside and without its
/// knowledge. So it does without what such a program may not be burdened with:
///
/// - [`Self::call`] allocates nothing, in this thread or in the pool's.
/// - It has at most one descriptor, whose number can be [chosen](crate::backend::Options::descriptor_from).
///   If somebody closes it, or gives the number to another file, that is noticed, and no call is lost
///   or made twice.
/// - A forked child makes plain calls.
///
/// # Examples
///
/// ```
/// use libflexsc::{Backend, backend::Options, raw::RawSingle};
/// let mut single = RawSingle::new(Backend::threads(Options::new().threads(1))?).unwrap();
/// assert_eq!(single.descriptor(), None, "a pool has none");
/// // SAFETY: The call takes no pointer.
/// let parent = unsafe { single.call(libc::SYS_getppid as u16, &[0; 6]) };
/// assert_eq!(parent, Some(std::os::unix::process::parent_id().into()));
/// # Ok::<(), libflexsc::backend::Error>(())
/// ```
pub struct RawSingle {
    ring: ManuallyDrop<Ring>,
    choice: Choice,
    lost: bool,
}

impl RawSingle {
    /// A context over the module, or a pool. `None` for plain calls, which need none, and for
    /// io_uring, which allocates, and whose two descriptors have no numbers that can be chosen.
    pub fn new(backend: Backend) -> Option<Self> {
        let choice = backend.choice().clone();
        match (choice.kind, backend.engine) {
            (Kind::Module | Kind::Threads, Engine::Ring(ring)) => Some(Self {
                ring: ManuallyDrop::new(ring),
                choice,
                lost: false,
            }),
            _ => None,
        }
    }

    /// Who executes, and why this one.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The number of the module's descriptor; none with a pool.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.ring.descriptor()
    }

    /// Makes the call `nr` (`libc::SYS_*`, x86-64) with these arguments, as in registers, and waits
    /// for it. Gives what it returned, or a negative errno; `None` if it was not made, and has no
    /// effect: the caller makes it.
    ///
    /// A signal handler that leaves this function by `longjmp` leaves the call behind, and what it
    /// writes to: signals are the caller's business.
    ///
    /// # Safety
    ///
    /// Every address among the arguments is valid for what the call does with it, and no file is
    /// closed that somebody else owns.
    pub unsafe fn call(&mut self, nr: u16, args: &[u64; 6]) -> Option<i64> {
        if self.lost || self.ring.guard.is_forked() {
            return None;
        }
        // SAFETY: As the caller promises, until the call is over, which this waits for.
        match unsafe { self.ring.call_alone(nr, args) } {
            Alone::Returned(ret) => Some(ret),
            Alone::HandedBack => None,
            Alone::Lost => {
                self.lost = true;
                None
            }
        }
    }
}

impl Drop for RawSingle {
    fn drop(&mut self) {
        // The number may be another file's by now; a forked child has neither page nor pool.
        if self.ring.guard.is_forked() || !self.ring.holds_device() {
            return;
        }
        self.ring.join();
        // SAFETY: It is dropped once, here, and nothing is in progress.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
    }
}

impl fmt::Debug for RawSingle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawSingle")
            .field("choice", &self.choice)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}
