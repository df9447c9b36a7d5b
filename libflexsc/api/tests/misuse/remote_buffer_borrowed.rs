// SPDX-License-Identifier: MIT OR Apache-2.0
//! Another thread posts the operation, and may do so when the caller has returned.

use libflexsc::{Backend, SharedFd, op::Read, remote::Remote};

fn main() {
    let (remote, _) = Remote::thread(Backend::direct()).unwrap();
    let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
    let mut buf = [0; 16];
    let _ = remote.run(Read::new(zero, &mut buf[..]));
}
