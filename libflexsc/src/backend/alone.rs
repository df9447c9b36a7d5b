// SPDX-License-Identifier: MIT OR Apache-2.0
//! One call at a time, posted and waited for at once, without allocating anything.

use core::time::Duration;

use super::ring::{Driver, Ring};
use crate::{page::Terms, sys};

/// How long one wait in the module takes, before its descriptor is looked at again.
const SLICE: Duration = Duration::from_millis(100);

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alone {
    /// It was executed.
    Returned(i64),
    /// It was not: the caller makes it.
    HandedBack,
    /// It was not, and the module cannot be asked any more: its descriptor is gone.
    Lost,
}

impl Ring {
    /// Makes one call, with nothing else in progress, and waits for it. Once it has said
    /// [`Alone::Lost`] it is not to be used any more.
    ///
    /// # Safety
    ///
    /// As for [`Ring::push`].
    pub(crate) unsafe fn call_alone(&mut self, nr: u16, args: &[u64; 6]) -> Alone {
        if !self.holds_device() {
            return Alone::Lost;
        }
        // SAFETY: As the caller promises; this waits until the call is complete or taken back.
        let Some(index) = (unsafe { self.push(nr, args, Terms::default(), 0, None) }) else {
            return Alone::HandedBack;
        };
        self.prepare();
        loop {
            if let Some(done) = self.submitter.reap() {
                return match done.flags & sys::ENTRY_HANDED_BACK {
                    0 => Alone::Returned(done.ret),
                    _ => Alone::HandedBack,
                };
            }
            if self.spin_for_one() {
                continue;
            }
            match &self.driver {
                Driver::Threads(threads) => threads.sleep(&self.submitter, 1, None, || false),
                Driver::Module(module) => {
                    let asked = module.holds_device() && module.try_wait(1, Some(SLICE)).is_ok();
                    if !asked && self.submitter.withdraw(index) {
                        return Alone::Lost;
                    }
                }
                // It submits when it waits, and has two descriptors.
                Driver::Uring(_) => self.flush(),
            }
        }
    }

    /// Whether who works on the page can be reached.
    pub(crate) fn holds_device(&self) -> bool {
        match &self.driver {
            Driver::Module(module) => module.holds_device(),
            Driver::Uring(_) | Driver::Threads(_) => true,
        }
    }
}
