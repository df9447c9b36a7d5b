// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a context is registered with.

use core::{
    ffi::{CStr, c_char, c_int},
    time::Duration,
};

use libflexsc::{
    Backend,
    backend::{Kind, Options},
};

use crate::message::{invalid, refused};

/// `cpu` counts.
pub const FLEXSC_ATTR_CPU: u32 = 1 << 0;
/// `idle_spin_us` counts.
pub const FLEXSC_ATTR_IDLE_SPIN: u32 = 1 << 1;
/// `wait_spin_us` counts.
pub const FLEXSC_ATTR_WAIT_SPIN: u32 = 1 << 2;

const KNOWN: u32 = FLEXSC_ATTR_CPU | FLEXSC_ATTR_IDLE_SPIN | FLEXSC_ATTR_WAIT_SPIN;

/// What a context is registered with: `struct flexsc_attr`. All zeroes are the defaults.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct flexsc_attr {
    /// The backend's name; null for the best there is.
    pub backend: *const c_char,
    /// `FLEXSC_ATTR_*`.
    pub flags: u32,
    /// Entries of the page; 0 for 256.
    pub entries: u32,
    /// With [`FLEXSC_ATTR_CPU`]: where the page workers run.
    pub cpu: u32,
    /// The most threads; 0 for the default.
    pub threads: u32,
    /// The module's drain items; 0 for the default.
    pub drains: u32,
    /// With [`FLEXSC_ATTR_IDLE_SPIN`]: how long the other side polls an empty page, microseconds.
    pub idle_spin_us: u32,
    /// With [`FLEXSC_ATTR_WAIT_SPIN`]: how long a wait spins before it sleeps, microseconds.
    pub wait_spin_us: u32,
    /// How long unregistering waits for what is in progress, milliseconds; 0 for 5000.
    pub close_timeout_ms: u32,
    /// 0.
    pub reserved: [u64; 3],
}

impl flexsc_attr {
    const DEFAULT: Self = Self {
        backend: core::ptr::null(),
        flags: 0,
        entries: 0,
        cpu: 0,
        threads: 0,
        drains: 0,
        idle_spin_us: 0,
        wait_spin_us: 0,
        close_timeout_ms: 0,
        reserved: [0; 3],
    };

    fn options(&self) -> Options {
        let micros = |time: u32| Duration::from_micros(time.into());
        let mut options = Options::new();
        options.threads(self.threads).drains(self.drains);
        if self.entries != 0 {
            options.entries(self.entries);
        }
        if self.close_timeout_ms != 0 {
            options.drop_timeout(Duration::from_millis(self.close_timeout_ms.into()));
        }
        if self.flags & FLEXSC_ATTR_CPU != 0 {
            options.cpu(self.cpu);
        }
        if self.flags & FLEXSC_ATTR_IDLE_SPIN != 0 {
            options.idle_spin(micros(self.idle_spin_us));
        }
        if self.flags & FLEXSC_ATTR_WAIT_SPIN != 0 {
            options.wait_spin(micros(self.wait_spin_us));
        }
        options
    }
}

/// The backend that is asked for, or what to return instead.
///
/// # Safety
///
/// `attr` is null or valid for reads, and the name in it is null or a C string.
pub(crate) unsafe fn backend(attr: *const flexsc_attr) -> Result<Backend, c_int> {
    // SAFETY: As the caller promises.
    let attr = unsafe { attr.as_ref() }.unwrap_or(&flexsc_attr::DEFAULT);
    if attr.flags & !KNOWN != 0 || attr.reserved != [0; 3] {
        return Err(invalid(
            "struct flexsc_attr has flags that this library does not know, or a reserved field is \
             not 0: clear it first, or take a newer library",
        ));
    }
    let options = attr.options();
    let opened = if attr.backend.is_null() {
        Backend::auto_with(&options)
    } else {
        // SAFETY: As the caller promises.
        let name = unsafe { CStr::from_ptr(attr.backend) }.to_string_lossy();
        Kind::from_name(&name).and_then(|kind| Backend::open(kind, &options))
    };
    opened.map_err(refused)
}
