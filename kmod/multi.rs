// SPDX-License-Identifier: GPL-2.0

//! Waiting in a file's wait queue, once or again and again.
//!
//! An entry that goes on stays in the queue. A wake-up queues it for a lane, which looks at the
//! file once and tells the application what it has found, and whatever wakes it meanwhile
//! queues it once more, behind the others.

use crate::{
    abi,
    call::{
        Lane,
        Verdict, //
    },
    context::Context,
    slots::Run, //
};
use kernel::prelude::*;

impl Context {
    /// Gets an entry whose handler wants to wait for `events` into the wait queue of its file, to go
    /// to `lane` later. Returns the verdict as it is then, and whether the file is ready already.
    pub(crate) fn wait_in_queue(&self, run: &mut Run, events: u32, lane: Lane) -> (Verdict, bool) {
        let verdict = Verdict::Wait(events);
        let Some(arm) = &mut run.held else {
            return (verdict, false);
        };
        if !run.posted.is_multi() {
            let again = core::mem::take(&mut arm.again);
            let ready = arm.set(events, lane) || again;
            // A poll of the application's own tells what poll tells.
            let shut = run.posted.nr != abi::NR_POLL && arm.is_shut();
            return (verdict, ready || shut);
        }
        let verdict = match arm.watch(events, lane) {
            Ok(0) => verdict,
            Ok(found) => {
                let index = u32::from(run.index);
                if self.shared().tell(index, found) {
                    self.publish(index);
                }
                verdict
            }
            Err(error) if error == EOPNOTSUPP => Verdict::HandBack,
            Err(error) => Verdict::Did(i64::from(error.to_errno())),
        };
        (verdict, false)
    }
}
