// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the library gives, and what takes options, may get more fields: programs make neither by its fields.

use libflexsc::{
    Armed,
    backend::{Choice, Kind},
    op::OpenHow,
};

fn main() {
    let _ = Choice {
        kind: Kind::Direct,
        reason: String::new(),
    };
    let Armed { completed, timeout } = libflexsc::Context::direct().arm();
    let _ = (completed, timeout);
    let _ = OpenHow {
        flags: 0,
        ..OpenHow::default()
    };
}
