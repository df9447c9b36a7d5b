// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plain calls.

#![allow(unsafe_code)]

use libflexsc::sys;

use super::Backend;
use crate::call::Call;

/// One `syscall` instruction for each.
pub(crate) struct Direct;

impl Backend for Direct {
    fn batch(&mut self, calls: &[Call], results: &mut [i64]) {
        for (call, result) in calls.iter().zip(results) {
            // SAFETY: Cases make calls of their own files, and of memory that they keep for as long
            // as their calls are executed.
            *result = unsafe { sys::syscall(call.nr, &call.args) };
        }
    }

    fn among(&mut self, calls: &[Call], results: &mut [i64], work: &mut dyn FnMut()) {
        for (call, result) in calls.iter().zip(results) {
            // SAFETY: As above.
            *result = unsafe { sys::syscall(call.nr, &call.args) };
            work();
        }
    }
}
