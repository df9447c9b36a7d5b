// SPDX-License-Identifier: MIT OR Apache-2.0
//! There is one output, and one claim to it.

use libflexsc::{Context, op::Nop};

fn main() {
    let context = Context::direct();
    let ticket = context.post(Nop::new());
    ticket.wait(&context).unwrap();
    ticket.wait(&context).unwrap();
}
