// SPDX-License-Identifier: MIT OR Apache-2.0
//! The extended attributes of a file, looked at and taken away by plain calls.

use std::ffi::{CStr, CString};

/// All attributes of `path` itself, by name; none where the file system has none.
pub fn all(path: &CStr) -> Vec<(CString, Vec<u8>)> {
    let mut list = [0_u8; 1024];
    // SAFETY: the path is NUL-terminated and the buffer as long as said.
    let len = unsafe { libc::llistxattr(path.as_ptr(), list.as_mut_ptr().cast(), list.len()) };
    let mut found = Vec::new();
    let Ok(len) = usize::try_from(len) else {
        return found;
    };
    for name in list[..len].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let mut value = vec![0_u8; 65_536];
        // SAFETY: as above.
        let len = unsafe {
            libc::lgetxattr(
                path.as_ptr(),
                name.as_ptr(),
                value.as_mut_ptr().cast(),
                value.len(),
            )
        };
        value.truncate(usize::try_from(len).unwrap_or(0));
        found.push((name.to_owned(), value));
    }
    found.sort();
    found
}

/// Takes them all away.
pub fn clear(path: &CStr) {
    for (name, _) in all(path) {
        // SAFETY: both strings are NUL-terminated. What stays is seen when the trees are compared.
        unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) };
    }
}
