// SPDX-License-Identifier: MIT OR Apache-2.0
//! The administrator's list of calls, which is given when the module is loaded.

use std::ffi::CStr;

use libflexsc::sys::{self as abi, NR_NOP};

use super::device;
use crate::client::{Lane, ioctl};
use crate::lifecycle::module;
use crate::options::Options;
use crate::posted::{MODES, Poster, ensure, expect};
use crate::process::{isolated, module_unused};
use crate::report::Report;

/// The numbers that a probe lists.
fn probed() -> Result<Vec<u16>, String> {
    use std::os::fd::AsRawFd;
    let device = device()?;
    let mut calls = [abi::ProbeCall {
        nr: 0,
        lanes: 0,
        flags: 0,
    }; 512];
    let mut probe: abi::Probe = abi::Probe {
        count: calls.len() as u32,
        abi_version: 0,
        features: 0,
        calls: calls.as_mut_ptr() as u64,
    };
    ioctl(device.as_raw_fd(), abi::IOC_PROBE, &mut probe).map_err(|why| why.to_string())?;
    let count = probe.count as usize;
    Ok(calls[..count].iter().map(|call| call.nr).collect())
}

fn only_listed() -> Result<(), String> {
    ensure(
        probed()? == [110, 437, NR_NOP],
        format!("a probe lists {:?}", probed()?),
    )?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let parent = poster.entry(libc::SYS_getppid, &[])?;
        ensure(parent.lane != Lane::HandedBack, "getppid was handed back")?;
        // What is not offered is the application's to make: it is not the process's fault.
        let args = [libc::AT_FDCWD as u64, c".".as_ptr() as u64, 0];
        let opened = poster.entry(libc::SYS_openat, &args)?;
        ensure(
            opened.lane == Lane::HandedBack,
            format!("openat gave {opened:?}"),
        )?;
    }
    Ok(())
}

/// Runs `body` with the module loaded with these parameters, but not before `wrong` ones were refused.
fn loaded(
    parameters: &CStr,
    wrong: Option<&CStr>,
    body: fn() -> Result<(), String>,
) -> Result<(), String> {
    let Some(path) = module::file() else {
        return Err("skip: no module file is known".into());
    };
    module_unused()?;
    expect("unloading", module::unload(), 0)?;
    if let Some(wrong) = wrong {
        let taken = module::load(&path, wrong);
        ensure(taken.is_err(), "a number that cannot be posted was taken")?;
    }
    module::load(&path, parameters)?;
    let verdict = isolated(body).and(module_unused());
    expect("unloading again", module::unload(), 0)?;
    module::load(&path, c"")?;
    verdict
}

fn listed() -> Result<(), String> {
    loaded(c"calls=110,437,65535", Some(c"calls=110,4711"), only_listed)?;
    ensure(probed()?.len() > 30, "the list outlives the module")
}

/// What each of these would give by itself is an error; what counts is who executes it.
fn gated() -> Result<(), String> {
    let none = u64::MAX;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for (nr, args) in [
            (libc::SYS_fchmod, [none, 0o600, 0]),
            (libc::SYS_fchown, [none, 0, 0]),
            (libc::SYS_ftruncate, [none, 0, 0]),
            (libc::SYS_flock, [none, libc::LOCK_SH as u64, 0]),
            (libc::SYS_listen, [none, 1, 0]),
            (libc::SYS_shutdown, [none, 0, 0]),
        ] {
            let done = poster.entry(nr, &args)?;
            ensure(
                done.lane == Lane::HandedBack,
                format!("call {nr} was executed in {:?}", done.lane),
            )?;
        }
        let parent = poster.entry(libc::SYS_getppid, &[])?;
        ensure(parent.lane != Lane::HandedBack, "getppid was handed back")?;
    }
    Ok(())
}

fn strict() -> Result<(), String> {
    loaded(c"lsm_strict=1", None, gated)
}

/// Runs the behaviours, which concern the module of everybody and so come last.
pub fn run(options: &Options, report: &mut Report) {
    for (name, run) in [
        (
            "policy.only_listed_calls_are_offered",
            listed as fn() -> Result<(), String>,
        ),
        ("policy.a_strict_gate_hands_gated_calls_back", strict),
    ] {
        if options.wants(name) {
            match run() {
                Err(why) if why.starts_with("skip: ") => report.skip(name, &why[6..]),
                verdict => report.check(name, verdict),
            }
        }
    }
}
