// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nobody checks the addresses among the arguments of a call by number.

use libflexsc::op::Raw;

fn main() {
    let _ = Raw::new(0, [0; 6]);
}
