// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the end of a context means to entries in flight.

use super::request::{asleep, opening, single};
use crate::process::module_unused;
use crate::suite::{Behaviour, Place, until};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("the_end_of_a_context_ends_what_is_in_flight", close);
}

fn close(_: &mut Place) -> Result<(), String> {
    for round in 0..3 {
        let mut poster = single()?;
        asleep(&mut poster, &format!("fifo{round}"))?;
        for _ in 0..20 {
            let here = libc::AT_FDCWD as u64;
            let args = [here, c"none".as_ptr() as u64, 0];
            poster.post(libc::SYS_openat, &args)?;
        }
        // Unmaps the context and closes it; nobody opens the FIFO's other end.
        drop(poster);
        until("no thread sleeps in the open", || !opening())?;
        module_unused()?;
        until("the system call thread is gone", || {
            std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
        })?;
    }
    Ok(())
}
