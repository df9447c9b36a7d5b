// SPDX-License-Identifier: MIT OR Apache-2.0
//! A task may outlive who has spawned it.

use libflexsc::{Context, Handle};

fn main() {
    let handle = Handle::new(Context::direct());
    let text = String::from("text");
    handle.spawn(async { text.len() }).detach();
}
