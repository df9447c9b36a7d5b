// SPDX-License-Identifier: MIT OR Apache-2.0
//! A buffer that was given to an operation may be written to until its output comes back.

use libflexsc::{Context, SharedFd, op::Read};

fn main() {
    let context = Context::direct();
    let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
    let buf = vec![1; 16];
    let ticket = context.post(Read::new(zero, buf));
    assert_eq!(buf[0], 1);
    drop(ticket);
}
