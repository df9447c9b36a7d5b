// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many files this process may have open.

#![allow(unsafe_code)]

use std::io;

/// Lets it have at least so many, where it is not forbidden.
///
/// # Errors
///
/// That of `setrlimit(2)`.
pub(crate) fn allow(count: usize) -> io::Result<()> {
    let count = count as libc::rlim_t;
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: The structure is valid for writes.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur >= count {
        return Ok(());
    }
    limit.rlim_cur = count;
    limit.rlim_max = limit.rlim_max.max(count);
    // SAFETY: The structure is valid for reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_already_is_left_alone() {
        assert!(allow(1).is_ok());
    }
}
