// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the administrator and a process allow: restrictions, limits, audit, seccomp, and what can be seen of it.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::process::ExitCode;

use libflexsc::sys as abi;

use crate::client::{Context, Mode, ioctl, open_device, setup_request};
use crate::lifecycle::{Behaviour, each};
use crate::options::Options;
use crate::posted::Poster;
use crate::report::Report;
use crate::scratch::{directories, private_mounts};

pub mod account;
pub mod admission;
pub mod bpf;
pub mod container;
pub mod inside;
pub mod limits;
pub mod offered;
pub mod restrict;

/// A module parameter, changed until dropped.
#[derive(Debug)]
pub struct Parameter {
    file: File,
    before: String,
}

impl Parameter {
    /// Sets a parameter of the loaded module.
    ///
    /// # Errors
    /// What reading and writing it fail with, as text.
    pub fn set(name: &str, value: &str) -> Result<Self, String> {
        let path = format!("/sys/module/flexsc/parameters/{name}");
        let told = |why: std::io::Error| format!("{path}: {why}");
        let before = std::fs::read_to_string(&path).map_err(told)?;
        let file = OpenOptions::new().write(true).open(&path).map_err(told)?;
        let mut this = Self { file, before };
        this.write(value).map_err(told)?;
        Ok(this)
    }

    /// Whether it had this value before.
    pub fn was(&self, value: &str) -> bool {
        self.before.trim() == value
    }

    /// Gives it another value.
    ///
    /// # Errors
    /// The error of writing.
    pub fn write(&mut self, value: &str) -> std::io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(value.as_bytes())
    }
}

impl Drop for Parameter {
    fn drop(&mut self) {
        // Also after the process has dropped root's rights: those of the open file count.
        let before = self.before.trim().to_owned();
        if let Err(why) = self.write(&before) {
            eprintln!("a module parameter stays changed: {why}");
        }
    }
}

/// Makes a context of an open device, or tells the errno of set-up.
///
/// # Errors
/// The ioctl's errno, negative.
pub fn set_up(device: std::os::fd::OwnedFd) -> Result<Context, i64> {
    Context::new(device, setup_request(64)).map_err(|why| match why {
        crate::client::ClientError::Kernel(_, why) => {
            -i64::from(why.raw_os_error().unwrap_or(libc::EIO))
        }
        _ => -i64::from(libc::EIO),
    })
}

/// Opens the device and makes a context, or tells the errno of set-up.
///
/// # Errors
/// The ioctl's errno, negative; EIO when the device cannot be opened.
pub fn fresh() -> Result<Context, i64> {
    set_up(open_device().map_err(|_| -i64::from(libc::EIO))?)
}

/// FLEXSC_IOC_RESTRICT with a list, or without one.
///
/// # Errors
/// The ioctl's errno, negative.
pub fn restrict(
    fd: i32,
    calls: Option<&[libc::c_long]>,
    freeze: bool,
) -> Result<abi::Restrict, i64> {
    let numbers: Vec<u16> = calls
        .unwrap_or_default()
        .iter()
        .map(|&nr| nr as u16)
        .collect();
    let mut request = abi::Restrict {
        flags: if calls.is_some() {
            abi::RESTRICT_CALLS
        } else {
            0
        } | if freeze { abi::RESTRICT_FREEZE } else { 0 },
        count: numbers.len() as u32,
        calls: numbers.as_ptr() as u64,
        allowed: 0,
        frozen: 0,
        __reserved: [0; 2],
    };
    match ioctl(fd, abi::IOC_RESTRICT, &mut request) {
        Ok(_) => Ok(request),
        Err(why) => Err(-i64::from(why.raw_os_error().unwrap_or(libc::EIO))),
    }
}

/// A context of an open device.
///
/// # Errors
/// As text.
pub fn poster_of(device: std::os::fd::OwnedFd, mode: Mode) -> Result<Poster, String> {
    let context = set_up(device).map_err(|errno| format!("set-up gave {errno}"))?;
    Ok(Poster::with(context, mode))
}

/// Opens the device.
///
/// # Errors
/// As text.
pub fn device() -> Result<std::os::fd::OwnedFd, String> {
    open_device().map_err(|why| why.to_string())
}

fn all() -> Vec<Behaviour> {
    let mut list = Vec::new();
    restrict::add(&mut list);
    admission::add(&mut list);
    account::add(&mut list);
    limits::add(&mut list);
    inside::add(&mut list);
    bpf::add(&mut list);
    list
}

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut report = Report::new(options.fake);
    if options.fake {
        report.skip("policy", "there is no policy without the device");
        return report.finish();
    }
    if let Err(why) = private_mounts() {
        report.skip("policy", format!("needs root and a mount namespace: {why}"));
        return report.finish();
    }
    let scratch = match directories(options, "policy", false) {
        Ok(scratch) => scratch,
        Err(why) => {
            report.fail("policy.scratch", why);
            return report.finish();
        }
    };
    let base = scratch[0].path().to_path_buf();
    each("policy", &all(), &base, options, &mut report);
    offered::run(options, &mut report);
    report.finish()
}
