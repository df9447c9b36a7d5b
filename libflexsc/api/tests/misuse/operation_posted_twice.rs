// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two calls would write to one buffer.

use libflexsc::{Context, SharedFd, op::Read};

fn main() {
    let context = Context::direct();
    let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
    let read = Read::new(zero, vec![0; 16]);
    drop(context.post(read));
    drop(context.post(read));
}
