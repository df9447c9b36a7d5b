// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sentences about errors, one of each kind for each thread.

use core::{
    cell::{Cell, RefCell},
    ffi::{c_char, c_int},
};
use std::{error::Error as _, ffi::CString, io};

use libflexsc::{Errno, backend::Error};

use crate::errno::KeptErrno;

/// Bytes of the longest text of an errno, with its name.
const LONGEST: usize = 128;

thread_local! {
    /// Why the last registration failed.
    static REGISTER: RefCell<Option<CString>> = const { RefCell::new(None) };
    /// What [`flexsc_strerror`] said last.
    static ERRNO: Cell<[u8; LONGEST]> = const { Cell::new([0; LONGEST]) };
}

/// A C string of a text, up to a zero byte in it.
pub(crate) fn c_string(text: String) -> CString {
    let mut bytes = text.into_bytes();
    bytes.retain(|&byte| byte != 0);
    CString::new(bytes).unwrap_or_default()
}

/// Keeps the sentence, and gives the errno.
pub(crate) fn refused(error: Error) -> c_int {
    keep(error.to_string());
    -errno_of(error)
}

/// Keeps the sentence about an attribute, and gives the errno.
pub(crate) fn invalid(sentence: &str) -> c_int {
    keep(sentence.to_owned());
    -libc::EINVAL
}

fn keep(sentence: String) {
    let sentence = c_string(sentence);
    // Where the thread ends there is nobody to ask for it.
    let _ = REGISTER.try_with(|message| message.replace(Some(sentence)));
}

/// The errno that tells most of it.
fn errno_of(error: Error) -> c_int {
    let source = error.source();
    if let Some(errno) = source.and_then(|source| source.downcast_ref::<Errno>()) {
        return errno.raw();
    }
    if let Some(errno) = source
        .and_then(|source| source.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error)
    {
        return errno;
    }
    match error {
        Error::NoDevice => libc::ENODEV,
        Error::NotTheDevice => libc::ENOTTY,
        Error::SetupTwice => libc::EBUSY,
        Error::SetupDenied => libc::EPERM,
        Error::Seccomp => libc::EACCES,
        Error::Audited => libc::EOPNOTSUPP,
        Error::TooManyContexts => libc::EMFILE,
        Error::SetupThread => libc::EAGAIN,
        Error::SetupMemory { .. } => libc::ENOMEM,
        Error::TooManyEntries { .. } => libc::ENOBUFS,
        Error::AbiVersion { .. } | Error::BadLayout => libc::EPROTO,
        Error::UnknownKind { .. } => libc::EINVAL,
        error => match io::Error::from(error).kind() {
            io::ErrorKind::PermissionDenied => libc::EPERM,
            io::ErrorKind::Unsupported => libc::ENOSYS,
            io::ErrorKind::OutOfMemory => libc::ENOMEM,
            io::ErrorKind::ResourceBusy => libc::EMFILE,
            _ => libc::EIO,
        },
    }
}

/// Why the last failed registration of this thread failed: a sentence that names the cause and what
/// to do. Empty if none has failed. Valid until the thread registers again, or ends.
#[unsafe(no_mangle)]
pub extern "C" fn flexsc_register_error() -> *const c_char {
    let _errno = KeptErrno::new();
    REGISTER
        .try_with(|message| {
            message
                .borrow()
                .as_deref()
                .map_or(c"".as_ptr(), |text| text.as_ptr())
        })
        .unwrap_or(c"".as_ptr())
}

/// The name and text of an errno, negative or not. Valid until the thread asks again, or ends.
#[unsafe(no_mangle)]
pub extern "C" fn flexsc_strerror(error: c_int) -> *const c_char {
    let _errno = KeptErrno::new();
    let text = match error.unsigned_abs() {
        0 => "no error".to_owned(),
        error => Errno::from_raw(error as i32).to_string(),
    };
    let mut bytes = [0; LONGEST];
    let len = text.len().min(LONGEST - 1);
    bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
    let said = ERRNO.try_with(|place| {
        place.set(bytes);
        place.as_ptr().cast::<c_char>().cast_const()
    });
    said.unwrap_or(c"".as_ptr())
}
