// SPDX-License-Identifier: MIT OR Apache-2.0
//! A context has one poster at a time.

use libflexsc::Context;

/// As a second thread would be given it.
fn send(_: impl Send) {}

fn main() {
    let context = Context::direct();
    send(&context);
}
