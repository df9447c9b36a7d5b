// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits that set-up reaches, and what libflexsc says of them.

use libflexsc::Backend;
use libflexsc::backend::Options;
use libflexsc::sys::MAX_ENTRIES;

use super::account::Group;
use super::{Parameter, device, set_up};
use crate::client::{ClientError, Context, DEVICE, open_device, setup_request};
use crate::lifecycle::{Behaviour, Place};
use crate::posted::{ensure, expect, libc_ok};
use crate::suite::until;
use crate::world::{become_root, become_user};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("the_library_names_the_limit", contexts as fn(&Place) -> _),
        ("the_library_names_the_limits_of_threads", threads),
        ("the_library_names_the_limit_of_memory", memory),
        ("the_library_names_the_limit_of_entries", entries),
        ("entries_of_a_context_are_bounded", bounded_entries),
        ("threads_of_a_context_are_bounded", bounded_threads),
        ("drain_items_of_a_user_are_bounded", bounded_drains),
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

fn entries(_: &Place) -> Result<(), String> {
    let _limit = Parameter::set("max_entries", "64")?;
    told(&["max_entries", "fewer", "raise"])
}

/// What set-up grants of `drains` drain items and `threads` threads, and the context that has them.
fn granted(entries: u32, drains: u32, threads: u32) -> Result<(Context, u32, u32), ClientError> {
    let mut request = setup_request(entries);
    (request.drains, request.threads) = (drains, threads);
    let context = Context::new(open_device()?, request)?;
    let setup = context.setup();
    let (drains, threads) = (setup.drains, setup.threads);
    Ok((context, drains, threads))
}

fn bounded_entries(_: &Place) -> Result<(), String> {
    let _limit = Parameter::set("max_entries", "128")?;
    for (asked, allowed) in [(1, true), (128, true), (129, false), (MAX_ENTRIES, false)] {
        match granted(asked, 1, 1) {
            Ok(_) => ensure(allowed, format!("{asked} entries were allowed"))?,
            Err(ClientError::Kernel(_, why)) if !allowed => {
                expect(
                    "errno",
                    why.raw_os_error().unwrap_or(0).into(),
                    libc::ENOBUFS.into(),
                )?;
            }
            Err(why) => return Err(format!("{asked} entries: {why}")),
        }
    }
    Ok(())
}

fn bounded_threads(_: &Place) -> Result<(), String> {
    // There is one in any case.
    for (limit, asked, expected) in [("3", 8, 3), ("3", 2, 2), ("3", 0, 3), ("0", 8, 1)] {
        let _limit = Parameter::set("max_threads", limit)?;
        let (_context, _, threads) = granted(64, 1, asked).map_err(|why| why.to_string())?;
        expect(
            &format!("threads of {asked}, at most {limit}"),
            threads.into(),
            expected,
        )?;
    }
    Ok(())
}

fn bounded_drains(_: &Place) -> Result<(), String> {
    let _limit = Parameter::set("max_drains", "5")?;
    let mut contexts = Vec::new();
    // The first of each context does not count.
    for (asked, expected) in [(4, 4), (4, 3), (4, 1), (32, 1)] {
        let (context, drains, _) = granted(64, asked, 1).map_err(|why| why.to_string())?;
        expect(&format!("drain items, of {asked}"), drains.into(), expected)?;
        contexts.push(context);
    }
    // What is closed makes room, as soon as it is torn down.
    contexts.remove(0);
    until("there is room again", || {
        granted(64, 4, 1).is_ok_and(|(_, drains, _)| drains == 4)
    })
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
