// SPDX-License-Identifier: MIT OR Apache-2.0
//! A share that was given to a close is gone.

use libflexsc::{
    Context, SharedFd,
    op::{Close, Read},
};

fn main() {
    let context = Context::direct();
    let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
    context.run(Close::new(zero)).unwrap();
    let _ = context.run(Read::new(zero, vec![0; 16]));
}
