// SPDX-License-Identifier: MIT OR Apache-2.0
//! A handle shares its context with the futures of its thread.

use libflexsc::{Context, Handle};

/// As a thread would be given it.
fn send(_: impl Send) {}

fn main() {
    let handle = Handle::new(Context::direct());
    send(handle);
}
