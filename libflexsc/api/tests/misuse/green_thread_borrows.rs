// SPDX-License-Identifier: MIT OR Apache-2.0
//! A green thread may outlive who has spawned it.

use libflexsc::{Context, Handle, green};

fn main() {
    let handle = Handle::new(Context::direct());
    let text = String::from("text");
    green::spawn(&handle, || text.len()).unwrap().detach();
}
