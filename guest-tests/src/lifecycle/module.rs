// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module itself: not unloadable in use, unloadable and loadable again afterwards.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::blocking::loaded_context;
use crate::client::{Mode, open_device};
use crate::options::{Options, without_faults};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::process::{isolated, module_unused};
use crate::report::Report;

/// Where the module's file is: named by `FLEXSC_KO`, or where a guest has the one that it was started with, or its
/// build, or an installation.
pub fn file() -> Option<PathBuf> {
    let named = std::env::var_os("FLEXSC_KO").map(PathBuf::from);
    let usual = [
        "/run/flexsc/job/flexsc.ko",
        "/opt/flexsc/flexsc.ko",
        "/lib/flexsc/flexsc.ko",
    ]
    .map(PathBuf::from);
    named.into_iter().chain(usual).find(|path| path.is_file())
}

/// Unloads the module: 0, or a negative errno.
pub fn unload() -> i64 {
    // SAFETY: a NUL-terminated name.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_delete_module,
            c"flexsc".as_ptr(),
            libc::O_NONBLOCK,
        )
    };
    if ret < 0 {
        -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        ret
    }
}

/// Loads the module with these parameters, and waits until its device is there. A mutant, whose name
/// `FLEXSC_MUTANT` has, is loaded as that again.
///
/// # Errors
/// Those of loading, as text.
pub fn load(path: &Path, parameters: &std::ffi::CStr) -> Result<(), String> {
    let file = File::open(path).map_err(|why| format!("{}: {why}", path.display()))?;
    let mut all = parameters.to_bytes().to_vec();
    if let Some(mutant) = std::env::var_os("FLEXSC_MUTANT") {
        all.extend([b" mutant=", mutant.as_encoded_bytes()].concat());
    }
    let all = CString::new(all).map_err(|why| why.to_string())?;
    // The kernel itself warns where it lacks memory for a module's tracepoints.
    without_faults(|| {
        // SAFETY: the parameters are a NUL-terminated string.
        let ret =
            unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), all.as_ptr(), 0) };
        libc_ok("finit_module", ret)
    })?;
    // devtmpfs makes the node on its own time.
    let started = Instant::now();
    while !Path::new("/dev/flexsc").exists() {
        ensure(
            started.elapsed() < Duration::from_secs(20),
            "no /dev/flexsc after loading",
        )?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn busy(what: &str) -> Result<(), String> {
    let ret = unload();
    let refused = [libc::EBUSY, libc::EWOULDBLOCK].map(|errno| -i64::from(errno));
    ensure(
        refused.contains(&ret),
        format!("unloading with {what} gave {ret}"),
    )
}

fn refused_in_use() -> Result<(), String> {
    let device = open_device().map_err(|why| why.to_string())?;
    busy("the device open")?;
    drop(device);
    let mut poster = Poster::new(Mode::Lanes)?;
    busy("a context")?;
    poster.nop()?;
    let device = poster.context.unmap();
    busy("a context that is not mapped")?;
    drop(device);
    let context = loaded_context(Mode::Lanes)?;
    busy("calls in flight")?;
    drop(context);
    Ok(())
}

fn again(path: &Path, rounds: u64) -> Result<(), String> {
    for _ in 0..3 * rounds {
        module_unused()?;
        expect("unloading", unload(), 0)?;
        ensure(
            open_device().is_err(),
            "the device is there without the module",
        )?;
        load(path, c"")?;
        for mode in MODES {
            Poster::new(mode)?.nop()?;
        }
        // With calls in flight until just now.
        drop(loaded_context(Mode::Lanes)?);
    }
    module_unused()
}

/// Runs the behaviours, which concern the module of everybody and so come last.
pub fn run(options: &Options, base: &Path, report: &mut Report) {
    let dir = base.join("module");
    let inside = |body: &dyn Fn() -> Result<(), String>| {
        std::fs::create_dir_all(&dir).map_err(|why| why.to_string())?;
        isolated(|| {
            std::env::set_current_dir(&dir).map_err(|why| why.to_string())?;
            body()
        })
    };
    let name = "lifecycle.unloading_in_use_is_refused";
    if options.wants(name) {
        report.check(name, inside(&refused_in_use).and(module_unused()));
    }
    let name = "lifecycle.unload_and_load_again";
    if options.wants(name) {
        match file() {
            None => report.skip(name, "FLEXSC_KO does not name the module's file"),
            Some(path) => {
                let rounds = options.rounds.unwrap_or(1);
                report.check(name, inside(&|| again(&path, rounds)));
            }
        }
    }
}
