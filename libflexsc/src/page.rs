// SPDX-License-Identifier: MIT OR Apache-2.0
//! The protocol over the shared memory of a context: rings, entries, and when to wake whom.
//!
//! The [`Region`] is the memory, laid out as `kmod/uapi/flexsc.h` says. The application drives it
//! through its one [`Submitter`]; the other side is the kernel module, or, in user space, threads
//! that hold clones of one [`Executor`]. Both sides do O(1) work for an entry:
//!
//! ```text
//! Submitter                                   Executor
//! push: fill a FREE entry, SUBMITTED,
//!       index into the submission ring
//! publish: sub_tail  -- release / acquire -->  take: SUBMITTED -> BUSY, copy once
//! need_wakeup: full barrier, read wakeup      execute
//! reap: index from the completion ring        complete: ret, DONE, index into the
//!       <-- acquire / release -- comp_tail              completion ring
//!       DONE -> FREE
//! ```
//!
//! Entries that are linked to one another are published by one store, taken by one exchange, and
//! completed in their order. An entry that goes on after it has told of something (`MULTI`) is in
//! the completion ring at most once: the executor adds events to `ret` and publishes the index
//! if there were none, the submitter takes the events and leaves none, each in one step.
//!
//! An idle executor stores `NEED_WAKEUP`, then looks at the ring once more; the submitter publishes
//! and then looks at `NEED_WAKEUP`. With a full barrier between the two steps on both sides one of
//! them sees the other, and no entry waits for somebody who sleeps. `tests/loom.rs` checks it, and
//! that it fails without the barriers.
//!
//! # What is promised
//!
//! Of the memory what `kmod/uapi/flexsc.h` says. Of these types nothing: they are public for who tests the
//! module or writes another executor, and change with the backends in any version of this crate. Who uses
//! them depends on `=0.1.0`, this very version; [`raw`](crate::raw) does the same and is kept.
//!
//! # Examples
//!
//! The two sides in one thread:
//!
//! ```
//! use libflexsc::{page::{Executor, Region, Submitter}, sys};
//! let region = Region::new(64)?;
//! let (mut submitter, executor) = (Submitter::new(region.clone()), Executor::new(region));
//! // SAFETY: The executor below does not look at the arguments.
//! assert!(unsafe { submitter.push(sys::NR_NOP, &[20, 1, 0, 0, 0, 0], 7) });
//! submitter.publish();
//! executor.begin_poll();
//! let entry = executor.take().unwrap();
//! let sum = entry.args.iter().sum::<u64>() as i64;
//! executor.complete(entry, sum, 0);
//! let done = submitter.reap().unwrap();
//! assert_eq!((done.token, done.ret), (7, 21));
//! # Ok::<(), std::io::Error>(())
//! ```

#![allow(unsafe_code)]

mod event;
mod executor;
mod parking;
mod region;
#[cfg(all(fuzzing, not(loom)))]
mod scribble;
mod submitter;

pub use event::Event;
pub use executor::{Executor, Taken};
pub use parking::Parking;
pub use region::{Counter, Region};
#[cfg(all(fuzzing, not(loom)))]
pub use scribble::Place;
pub use submitter::{Completion, Submitter, Terms};

#[cfg(not(loom))]
pub(crate) use region::{Layout, Mapping};

/// The full barrier of the protocol.
fn barrier() {
    if !crate::sync::mutant("no_fence") {
        crate::sync::fence(crate::sync::Ordering::SeqCst);
    }
}
