// SPDX-License-Identifier: MIT OR Apache-2.0
//! A borrowed file may be closed while a call is posted, and its number come to mean another one.

use libflexsc::op::Read;
use std::fs::File;

fn main() {
    let file = File::open("/dev/zero").unwrap();
    let _ = Read::new(&file, vec![0; 16]);
}
