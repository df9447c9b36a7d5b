// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who takes a file out of its share could close it while a posted call names it.

use libflexsc::SharedFd;
use std::os::fd::OwnedFd;

fn main() {
    let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
    let _: OwnedFd = zero.try_unwrap();
}
