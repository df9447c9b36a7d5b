// SPDX-License-Identifier: MIT OR Apache-2.0
//! An operation's addresses are for the library alone.

use libflexsc::{
    Operation,
    op::{Access, Nop},
};

fn main() {
    let access = Access::new();
    let _ = Nop::new().call(access);
}
