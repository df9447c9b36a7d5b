// SPDX-License-Identifier: MIT OR Apache-2.0
//! The descriptor that an event loop waits for is the context's, and is closed with it.

use libflexsc::Context;
use std::os::fd::AsRawFd;

fn main() {
    let context = Context::direct();
    let file = context.event_fd().unwrap();
    drop(context);
    file.as_raw_fd();
}
