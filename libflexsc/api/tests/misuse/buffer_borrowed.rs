// SPDX-License-Identifier: MIT OR Apache-2.0
//! A borrowed buffer would be gone when the caller returns, and the call might still write to it.

use libflexsc::{SharedFd, op::Read};

fn main() {
    let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
    let mut buf = vec![0; 16];
    let _ = Read::new(zero, &mut buf[..]);
}
