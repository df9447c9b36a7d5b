// SPDX-License-Identifier: MIT OR Apache-2.0
//! What others may be reading is nothing to read into.

use libflexsc::{SharedFd, op::Read};
use std::sync::Arc;

fn main() {
    let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
    let bytes: Arc<[u8]> = Arc::from([0; 16]);
    let _ = Read::new(zero, bytes);
}
