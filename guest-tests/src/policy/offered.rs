// SPDX-License-Identifier: MIT OR Apache-2.0
//! The administrator's list of calls, which is given when the module is loaded.

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

fn listed() -> Result<(), String> {
    let Some(path) = module::file() else {
        return Err("skip: no module file is known".into());
    };
    module_unused()?;
    expect("unloading", module::unload(), 0)?;
    let wrong = module::load(&path, c"calls=110,4711");
    ensure(wrong.is_err(), "a number that cannot be posted was taken")?;
    module::load(&path, c"calls=110,437,65535")?;
    let verdict = isolated(only_listed).and(module_unused());
    expect("unloading again", module::unload(), 0)?;
    module::load(&path, c"")?;
    verdict?;
    ensure(probed()?.len() > 30, "the list outlives the module")
}

/// Runs the behaviour, which concerns the module of everybody and so comes last.
pub fn run(options: &Options, report: &mut Report) {
    let name = "policy.only_listed_calls_are_offered";
    if options.wants(name) {
        match listed() {
            Err(why) if why.starts_with("skip: ") => report.skip(name, &why[6..]),
            verdict => report.check(name, verdict),
        }
    }
}
