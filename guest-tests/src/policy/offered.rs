// SPDX-License-Identifier: MIT OR Apache-2.0
//! The administrator's list of calls, which is given when the module is loaded.

use std::ffi::CStr;

use libflexsc::sys::{self as abi, NR_NOP};

use crate::client::{Lane, probe};
use crate::lifecycle::module;
use crate::options::Options;
use crate::posted::{MODES, Poster, ensure, expect};
use crate::process::{isolated, module_unused};
use crate::report::Report;

/// The numbers that a probe lists.
fn probed() -> Result<Vec<u16>, String> {
    let calls = probe().map_err(|why| why.to_string())?;
    Ok(calls.iter().map(|call| call.nr).collect())
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

/// The gated calls, with arguments that get as far as the gate and have no effect behind it. There are 16 bytes at `room`.
fn gated_calls(room: u64) -> [(libc::c_long, Vec<u64>); 17] {
    let (none, here) = (u64::MAX, libc::AT_FDCWD as u64);
    let name = |name: &CStr| name.as_ptr() as u64;
    let (missing, other) = (name(c"missing"), name(c"missing too"));
    [
        (libc::SYS_connect, vec![none, room, 16]),
        (libc::SYS_shutdown, vec![none, 0]),
        (libc::SYS_bind, vec![none, room, 16]),
        (libc::SYS_listen, vec![none, 1]),
        (libc::SYS_fcntl, vec![none, libc::F_GETFL as u64]),
        (libc::SYS_flock, vec![none, libc::LOCK_SH as u64]),
        (libc::SYS_ftruncate, vec![none, 0]),
        (libc::SYS_fchmod, vec![none, 0o600]),
        (libc::SYS_fchown, vec![none, 0, 0]),
        (libc::SYS_fchownat, vec![here, missing, 0, 0, 0]),
        // Of a directory: that of a file has its hook.
        (
            libc::SYS_unlinkat,
            vec![here, missing, libc::AT_REMOVEDIR as u64],
        ),
        (libc::SYS_linkat, vec![here, missing, here, other, 0]),
        (libc::SYS_symlinkat, vec![other, none, missing]),
        // The kind of link that is not read by the function that has the hook.
        (
            libc::SYS_readlinkat,
            vec![here, name(c"/proc/self/cwd"), room, 1],
        ),
        (libc::SYS_fchmodat, vec![here, missing, 0o600]),
        (libc::SYS_accept4, vec![none, 0, 0, 0]),
        (libc::SYS_fchmodat2, vec![here, missing, 0o600, 0]),
    ]
}

/// Whether the gated calls, all that a probe lists, are handed back.
fn gated(back: bool) -> Result<(), String> {
    let mut room = [0_u8; 16];
    let calls = gated_calls(room.as_mut_ptr() as u64);
    let listed: Vec<_> = probe()
        .map_err(|why| why.to_string())?
        .iter()
        .filter(|call| call.flags & abi::CALL_GATED != 0)
        .map(|call| call.nr)
        .collect();
    let tried = calls.each_ref().map(|(nr, _)| *nr as u16);
    ensure(
        listed == tried,
        format!("the gated calls are {listed:?}, those that are tried {tried:?}"),
    )?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for (nr, args) in &calls {
            let done = poster.entry(*nr, args)?;
            ensure(
                (done.lane == Lane::HandedBack) == back,
                format!("call {nr} by {mode:?} gave {done:?}"),
            )?;
        }
        let parent = poster.entry(libc::SYS_getppid, &[])?;
        ensure(parent.lane != Lane::HandedBack, "getppid was handed back")?;
    }
    Ok(())
}

fn strict() -> Result<(), String> {
    // Else it would not be the parameter that hands them back.
    isolated(|| gated(false))?;
    loaded(c"lsm_strict=1", None, || gated(true))
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
