// SPDX-License-Identifier: MIT OR Apache-2.0
//! A poll that goes on tells its events by the context of its thread.

use libflexsc::{Context, Handle, SharedFd};

/// As a thread would be given it.
fn send(_: impl Send) {}

fn main() {
    let handle = Handle::new(Context::direct());
    let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
    let watching = handle.watch(&zero, 1);
    send(watching);
}
