// SPDX-License-Identifier: MIT OR Apache-2.0
//! A future takes its output from the context of its thread.

use libflexsc::{Context, Handle, op::Nop};

/// As a thread would be given it.
fn send(_: impl Send) {}

fn main() {
    let handle = Handle::new(Context::direct());
    let pending = handle.submit(Nop::new());
    send(pending);
}
