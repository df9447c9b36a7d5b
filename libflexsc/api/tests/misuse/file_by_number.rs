// SPDX-License-Identifier: MIT OR Apache-2.0
//! A number owns no file.

use libflexsc::op::Read;

fn main() {
    let _ = Read::new(0, vec![0; 16]);
}
