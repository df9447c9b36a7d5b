// SPDX-License-Identifier: MIT OR Apache-2.0
//! Marks: no-ops that the plugin `qemu/count.c` of QEMU's translator sees being executed. For any
//! other processor they are no-ops.

#![allow(unsafe_code)]

use core::arch::asm;

/// The displacement of a mark, but for its number: `MARK` of the plugin.
pub(crate) const MARK: i32 = 0x464c_5800;

/// Lets the plugin begin to count.
pub(crate) const COUNT: i32 = 0;
/// The first instruction of a window comes next.
pub(crate) const BEGIN: i32 = 1;
/// The window is over.
pub(crate) const END: i32 = 2;

/// Executes a mark.
#[inline(always)]
pub(crate) fn mark<const NUMBER: i32>() {
    // SAFETY: The instruction does nothing at all: it computes an address without accessing it.
    // Memory counts as accessed, so that the compiler moves no work across.
    unsafe {
        asm!(
            "nopl {displacement}(%rax)",
            displacement = const MARK + NUMBER,
            options(att_syntax, nostack, preserves_flags),
        );
    }
}
