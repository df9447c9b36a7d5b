// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions that ours stand before, and what makes ours.

use core::{
    ffi::{CStr, c_void},
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// A function of the next library that has it.
#[derive(Debug)]
pub struct Real {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Real {
    /// The function of this name.
    pub const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            address: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Where it is; null if no library has it. Looked for when the program is loaded, or when it is
    /// called before that.
    pub fn address(&self) -> *mut c_void {
        let known = self.address.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: The name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.address.store(found, Ordering::Relaxed);
        found
    }
}

/// The value of `errno`.
pub fn errno() -> i32 {
    // SAFETY: The address is that of this thread's number.
    unsafe { *libc::__errno_location() }
}

/// Sets `errno`.
pub fn set_errno(errno: i32) {
    // SAFETY: The address is that of this thread's number.
    unsafe { *libc::__errno_location() = errno };
}

/// What a function of the C library returns for what the kernel has.
pub fn returned(ret: i64) -> i64 {
    if (-4095..0).contains(&ret) {
        set_errno(-ret as i32);
        return -1;
    }
    ret
}

/// Defines functions that stand before those of the same name. The body gives what the kernel would
/// return, or `None` if the one before which it stands is to be called.
///
/// A thread that is cancelled inside of that one is unwound through this, so nothing that has to be
/// dropped may be alive there. Arguments behind the `...` of C come in registers like others, and mean
/// nothing where the caller has not given them.
macro_rules! interpose {
    ($($name:ident($($argument:ident: $type:ty),*) -> $ret:ty $body:block)*) => {
        $(
            #[doc = concat!("Stands before the C library's `", stringify!($name), "`.")]
            ///
            /// # Safety
            ///
            /// As for that function.
            #[unsafe(no_mangle)]
            pub unsafe extern "C-unwind" fn $name($($argument: $type),*) -> $ret {
                static REAL: $crate::real::Real = {
                    const NAME: &str = concat!(stringify!($name), "\0");
                    match core::ffi::CStr::from_bytes_with_nul(NAME.as_bytes()) {
                        Ok(name) => $crate::real::Real::new(name),
                        Err(_) => panic!(),
                    }
                };
                extern "C" fn look() {
                    REAL.address();
                }
                #[used]
                #[unsafe(link_section = ".init_array")]
                static LOOK: extern "C" fn() = look;

                let body = || -> Option<i64> { $body };
                if let Some(ret) = body() {
                    return $crate::real::returned(ret) as $ret;
                }
                let real = REAL.address();
                if real.is_null() {
                    return $crate::real::returned(-i64::from(libc::ENOSYS)) as $ret;
                }
                type Function = unsafe extern "C-unwind" fn($($type),*) -> $ret;
                // SAFETY: It is the function of this name, which has these arguments and result.
                let real = unsafe { core::mem::transmute::<*mut core::ffi::c_void, Function>(real) };
                // SAFETY: As the caller promises.
                unsafe { real($($argument),*) }
            }
        )*
    };
}

pub(crate) use interpose;
