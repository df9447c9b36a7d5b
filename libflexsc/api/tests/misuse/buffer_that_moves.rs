// SPDX-License-Identifier: MIT OR Apache-2.0
//! An array moves with the operation that owns it, and the address that was posted stays behind.

use libflexsc::{SharedFd, op::Read};

fn main() {
    let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
    let _ = Read::new(zero, [0_u8; 16]);
}
