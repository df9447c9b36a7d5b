// SPDX-License-Identifier: MIT OR Apache-2.0
//! A batch waits for its operations by its context.

use libflexsc::{Batch, Context, op::Nop};

fn main() {
    let context = Context::direct();
    let mut batch = Batch::new(&context);
    batch.push(Nop::new(), ());
    context.close().unwrap();
    batch.next();
}
