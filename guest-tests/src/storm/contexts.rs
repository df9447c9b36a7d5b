// SPDX-License-Identifier: MIT OR Apache-2.0
//! Contexts opened, set up, used and closed.

use std::os::fd::AsRawFd;

use super::figures::{Figures, context_cost};
use crate::posted::{MODES, Poster, expect};
use crate::process::isolated;
use crate::report::{figure, progress};
use crate::suite::{Place, context};

/// Contexts when the command line does not say how many.
const CONTEXTS: u64 = 5000;
/// How many of them are of one process.
const BATCH: u64 = 100;

fn use_up(count: u64, fd: i32) -> Result<(), String> {
    for which in 0..count {
        let mode = MODES[which as usize % 2];
        let entries = if which % 16 == 15 { 1024 } else { 64 };
        let mut poster = Poster::with(context(entries, mode)?, mode);
        poster.nop()?;
        expect("write", poster.write(fd, b"a few bytes")?, 11)?;
    }
    Ok(())
}

/// Uses up many contexts.
///
/// # Errors
/// What went wrong with one, or which figure of the kernel stays higher than before.
pub fn run(place: &mut Place) -> Result<(), String> {
    let contexts = place.rounds.unwrap_or(CONTEXTS);
    let file = place.file("file", b"")?;
    let fd = file.as_raw_fd();
    let cost = context_cost()?;
    // What is cached once and for all is, afterwards.
    isolated(|| use_up(BATCH, fd))?;
    let before = Figures::settled()?;
    let mut done = 0;
    while done < contexts {
        let count = BATCH.min(contexts - done);
        isolated(|| use_up(count, fd)).map_err(|why| format!("after {done} contexts: {why}"))?;
        done += count;
        progress("contexts closed", done, 5000);
    }
    figure(&format!(
        "storm: {contexts} contexts opened, set up, used and closed"
    ));
    before.again(contexts, cost)
}
