// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits that set-up reaches, and what libflexsc says of them.

use libflexsc::Backend;
use libflexsc::backend::Options;

use super::account::Group;
use super::{Parameter, device, set_up};
use crate::client::DEVICE;
use crate::lifecycle::{Behaviour, Place};
use crate::posted::{ensure, expect, libc_ok};
use crate::world::{become_root, become_user};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("the_library_names_the_limit", contexts as fn(&Place) -> _),
        ("the_library_names_the_limits_of_threads", threads),
        ("the_library_names_the_limit_of_memory", memory),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// Fails unless the library's sentence on a set-up that is refused has all of these words.
pub(super) fn told(words: &[&str]) -> Result<(), String> {
    let text = match Backend::module(&Options::new()) {
        Ok(_) => return Err(format!("there is a backend where {words:?} should be told")),
        Err(why) => why.to_string(),
    };
    names(&text, words)
}

fn names(text: &str, words: &[&str]) -> Result<(), String> {
    for word in words {
        ensure(
            text.contains(word),
            format!("\"{text}\" does not name {word}"),
        )?;
    }
    Ok(())
}

fn backend() -> Result<(), String> {
    Backend::module(&Options::new())
        .map(drop)
        .map_err(|why| format!("without a limit: {why}"))
}

fn contexts(_: &Place) -> Result<(), String> {
    let _limit = Parameter::set("max_contexts", "0")?;
    told(&["max_contexts", "raise"])
}

/// Leaves the user no thread more, as far as the calling process goes.
fn no_threads() -> Result<(), String> {
    let limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit lives through the call.
    let ret = unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) };
    libc_ok("setrlimit", ret.into()).map(|_| ())
}

fn refused(what: &str) -> Result<(), String> {
    match set_up(device()?) {
        Ok(_) => Err(format!("{what}: set-up was allowed")),
        Err(errno) => expect(what, errno, -i64::from(libc::EAGAIN)),
    }
}

/// RLIMIT_NPROC, which does not count for root, and pids.max, which does.
fn threads(place: &Place) -> Result<(), String> {
    let words = ["RLIMIT_NPROC", "pids.max", "raise"];
    let mode = |mode: u32| {
        // SAFETY: a NUL-terminated path.
        libc_ok(
            "chmod",
            unsafe { libc::chmod(DEVICE.as_ptr(), mode) }.into(),
        )
    };
    mode(0o666)?;
    let verdict = become_user()
        .map_err(|why| why.to_string())
        .and_then(|()| backend())
        .and_then(|()| no_threads())
        .and_then(|()| refused("RLIMIT_NPROC"))
        .and_then(|()| told(&words));
    become_root();
    mode(0o600)?;
    verdict?;

    let group = Group::new(place)?;
    backend()?;
    group.write("pids.max", "1")?;
    refused("pids.max")?;
    told(&words)?;
    group.write("pids.max", "max")?;
    backend()
}

/// As many contexts as the memory of the group allows, and one more.
fn memory(place: &Place) -> Result<(), String> {
    const ENTRIES: u32 = 4096;
    // Less than this many of them have.
    const CONTEXTS: usize = 64;
    let group = Group::new(place)?;
    // There is nobody in the group whom the kernel could kill instead.
    std::fs::write("/proc/self/oom_score_adj", "-1000").map_err(|why| why.to_string())?;
    let used = group.read("memory.current")?;
    let used: u64 = used.trim().parse().map_err(|_| "memory.current")?;
    let mut contexts = Vec::with_capacity(CONTEXTS);
    group.write("memory.max", &(used + (2 << 20)).to_string())?;
    let end = loop {
        match Backend::module(Options::new().entries(ENTRIES)) {
            Ok(backend) if contexts.len() < CONTEXTS => contexts.push(backend),
            Ok(_) => break None,
            Err(why) => break Some(why),
        }
    };
    group.write("memory.max", "max")?;
    let Some(why) = end else {
        return Err(format!("{CONTEXTS} contexts have 2 MiB"));
    };
    names(
        &why.to_string(),
        &["4096 entries", "memory.max", "fewer entries", "raise"],
    )?;
    drop(contexts);
    backend()
}
