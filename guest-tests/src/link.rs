// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chains of entries: their order, their end, and the file that they share.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use libflexsc::sys as abi;

use crate::client::{Completion, Context, Mode};
use crate::options::Options;
use crate::posted::{Poster, ensure, expect, six};
use crate::suite;
use crate::world::Ret;

pub mod back;
pub mod ending;
pub mod failure;
pub mod file;
pub mod kinds;
pub mod order;

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut list = Vec::new();
    order::add(&mut list);
    file::add(&mut list);
    kinds::add(&mut list);
    back::add(&mut list);
    failure::add(&mut list);
    ending::add(&mut list);
    suite::run("link", &list, options)
}

/// `-errno` of a name.
fn minus(errno: i32) -> i64 {
    -i64::from(errno)
}

/// One entry of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    nr: u16,
    args: [u64; 6],
    flags: u16,
    time: i64,
}

/// A step that takes its file by its number, or none.
pub fn step(nr: libc::c_long, args: &[u64]) -> Step {
    Step {
        nr: nr as u16,
        args: six(args),
        flags: 0,
        time: 0,
    }
}

/// The same with the chain's file.
pub fn with_file(nr: libc::c_long, args: &[u64]) -> Step {
    step(nr, args).flag(abi::ENTRY_FILE)
}

/// A step that does nothing.
pub fn nop() -> Step {
    step(abi::NR_NOP.into(), &[])
}

/// openat(AT_FDCWD, path, flags, 0600)
pub fn open(path: &CStr, flags: i32) -> Step {
    let here = libc::AT_FDCWD as u64;
    step(
        libc::SYS_openat,
        &[here, path.as_ptr() as u64, flags as u64, 0o600],
    )
}

/// close(2) of the chain's file
pub fn close() -> Step {
    with_file(libc::SYS_close, &[u64::MAX])
}

/// read(2) of the chain's file
pub fn read(memory: &mut [u8]) -> Step {
    let args = [99, memory.as_mut_ptr() as u64, memory.len() as u64];
    with_file(libc::SYS_read, &args)
}

/// write(2) to the chain's file
pub fn write(bytes: &[u8]) -> Step {
    let args = [99, bytes.as_ptr() as u64, bytes.len() as u64];
    with_file(libc::SYS_write, &args)
}

impl Step {
    /// With one more flag.
    pub fn flag(self, flag: u16) -> Self {
        Self {
            flags: self.flags | flag,
            ..self
        }
    }

    /// Its file goes to the chain.
    pub fn file(self) -> Self {
        self.flag(abi::ENTRY_FILE)
    }

    /// With a limit in nanoseconds.
    pub fn within(self, time: i64) -> Self {
        Self {
            time,
            ..self.flag(abi::ENTRY_TIMEOUT)
        }
    }
}

/// Fills entries in, all but the last of them linked to the next, without publishing them.
pub fn prepare(context: &mut Context, steps: &[Step]) -> Result<Vec<u32>, String> {
    let mut indices = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let index = context
            .prepare(step.nr, step.args)
            .ok_or("no entry is free")?;
        let link = if at + 1 < steps.len() {
            abi::ENTRY_LINK
        } else {
            0
        };
        context
            .flags(index)
            .store(step.flags | link, Ordering::Relaxed);
        context
            .ret(index)
            .store(step.time as u64, Ordering::Relaxed);
        // Once more, so that the two words are seen with it.
        context
            .status(index)
            .store(abi::SUBMITTED, Ordering::Release);
        indices.push(index);
    }
    Ok(indices)
}

/// Posts a chain.
pub fn post(poster: &mut Poster, steps: &[Step]) -> Result<Vec<u32>, String> {
    let indices = prepare(&mut poster.context, steps)?;
    poster.context.publish_all(&indices);
    // Otherwise it is the caller's, who waits.
    if poster.mode() == Mode::Lanes {
        let kicked = poster.context.kick_if_needed();
        kicked.map_err(|why| why.to_string())?;
    }
    Ok(indices)
}

/// Takes the completions of one chain, when nothing else is in flight: they come in its order.
pub fn complete(poster: &mut Poster, indices: &[u32]) -> Result<Vec<Completion>, String> {
    let mut all = Vec::new();
    for (at, index) in indices.iter().enumerate() {
        let one = poster.complete().map_err(|why| format!("{at}: {why}"))?;
        expect(
            &format!("the entry that completes {at}th"),
            one.index.into(),
            i64::from(*index),
        )?;
        all.push(one);
    }
    Ok(all)
}

/// Posts a chain and takes all of its completions.
pub fn chain(poster: &mut Poster, steps: &[Step]) -> Result<Vec<Completion>, String> {
    let indices = post(poster, steps)?;
    complete(poster, &indices)
}

/// Posts a chain, none of which is handed back: what its entries return.
pub fn results(poster: &mut Poster, steps: &[Step]) -> Result<Vec<i64>, String> {
    chain(poster, steps)?
        .iter()
        .map(|one| {
            ensure(!one.handed_back(), format!("handed back: {one:?}"))?;
            Ok(one.ret)
        })
        .collect()
}

/// Fails unless the results of a chain are these.
pub fn expect_all(what: &str, are: &[i64], want: &[i64]) -> Result<(), String> {
    let text = |all: &[i64]| {
        let words: Vec<_> = all.iter().map(|ret| Ret(*ret).to_string()).collect();
        words.join(" ")
    };
    ensure(
        are == want,
        format!("{what}: {}, not {}", text(are), text(want)),
    )
}

/// The descriptors of this process.
pub fn descriptors() -> Result<BTreeSet<i32>, String> {
    let list = std::fs::read_dir("/proc/self/fd").map_err(|why| why.to_string())?;
    let mut all: BTreeSet<_> = list
        .flatten()
        .filter_map(|one| one.file_name().to_str()?.parse().ok())
        .collect();
    // The one of the list itself is gone again.
    // SAFETY: no pointers; the call says whether there is such a descriptor.
    all.retain(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0);
    Ok(all)
}
