// SPDX-License-Identifier: MIT OR Apache-2.0
//! A batch uses the context of its thread.

use libflexsc::{Batch, Context, op::Nop};

/// As a thread would be given it.
fn send(_: impl Send) {}

fn main() {
    let context = Context::direct();
    let mut batch = Batch::new(&context);
    batch.push(Nop::new(), ());
    send(batch);
}
