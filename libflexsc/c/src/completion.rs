// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that are complete.

use libflexsc::raw::RawCompletion;

/// More completions of the call are to come.
pub const FLEXSC_MORE: u32 = 1 << 0;

/// A call that is complete: `struct flexsc_completion`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct flexsc_completion {
    /// What the call was submitted with.
    pub user_data: u64,
    /// What it returned, or a negative errno.
    pub res: i64,
    /// [`FLEXSC_MORE`].
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

impl From<RawCompletion> for flexsc_completion {
    fn from(done: RawCompletion) -> Self {
        Self {
            user_data: done.token,
            res: done.ret,
            flags: if done.more { FLEXSC_MORE } else { 0 },
            reserved: 0,
        }
    }
}
