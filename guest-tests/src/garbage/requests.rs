// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ioctls with arguments that make no sense.

use std::io;
use std::os::fd::AsRawFd;

use libflexsc::sys as abi;

use crate::client::{ioctl, open_device};

/// What came of an ioctl: its result, or `-errno`.
fn outcome(result: io::Result<i32>) -> i64 {
    match result {
        Ok(value) => value.into(),
        Err(why) => -i64::from(why.raw_os_error().unwrap_or(0)),
    }
}

/// Kick and wait need a context.
pub fn before_setup() -> Result<(), String> {
    let device = open_device().map_err(|why| why.to_string())?;
    let fd = device.as_raw_fd();
    let mut wait = abi::Wait {
        min_complete: 1,
        flags: 0,
        timeout_ns: 0,
    };
    let want = -i64::from(libc::EBADFD);
    let waited = outcome(ioctl(fd, abi::IOC_WAIT, &mut wait));
    let kicked = outcome(ioctl(fd, abi::IOC_KICK, &mut 0_u64));
    if (waited, kicked) == (want, want) {
        Ok(())
    } else {
        Err(format!("wait {waited}, kick {kicked}, not {want}"))
    }
}
