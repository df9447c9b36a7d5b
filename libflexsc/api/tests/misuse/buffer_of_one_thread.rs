// SPDX-License-Identifier: MIT OR Apache-2.0
//! A context may move to another thread, and takes its buffers along.

use libflexsc::IoBuf;
use std::rc::Rc;

struct Local(Rc<[u8]>);

// SAFETY: The bytes are on the heap, and shared ones do not change.
unsafe impl IoBuf for Local {
    fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }
    fn bytes_len(&self) -> usize {
        self.0.len()
    }
}

fn main() {}
