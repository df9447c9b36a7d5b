// SPDX-License-Identifier: MIT OR Apache-2.0
//! A call as all backends get it.

use libflexsc::sys;

/// A system call by its number, or [`sys::NR_NOP`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) nr: u16,
    pub(crate) args: [u64; 6],
}

impl Call {
    /// With up to six arguments.
    pub(crate) fn new<const N: usize>(nr: libc::c_long, given: [u64; N]) -> Self {
        let mut args = [0; 6];
        args[..N].copy_from_slice(&given);
        Self {
            nr: nr as u16,
            args,
        }
    }

    /// Does nothing.
    pub(crate) fn nop() -> Self {
        Self::new(sys::NR_NOP.into(), [])
    }
}
