// SPDX-License-Identifier: MIT OR Apache-2.0
//! Posts many calls and prints what the kernel counted: a first look at a context for people.
//!
//! `posts [--rounds N] [--only write] [--verbose]` posts N batches (10 by default) of 64 no-ops, or of writes of 32
//! bytes to /dev/null, once by lanes W and T and once by the caller.
#![warn(missing_docs)]

use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::Instant;

use guest_tests::client::Mode;
use guest_tests::options::Options;
use guest_tests::posted::{MODES, Poster, ensure, expect, six};
use guest_tests::report::Report;
use libflexsc::sys::NR_NOP;

const BATCH: u64 = 64;

fn main() -> ExitCode {
    let options = Options::from_arguments();
    let mut report = Report::new(options.fake);
    if options.fake {
        report.skip("posts", "needs the device");
        return report.finish();
    }
    for mode in MODES {
        let name = match mode {
            Mode::Lanes => "posts.lanes",
            Mode::Caller => "posts.caller",
        };
        report.check(name, run(mode, &options));
    }
    report.finish()
}

fn run(mode: Mode, options: &Options) -> Result<(), String> {
    let null = std::fs::File::create("/dev/null").map_err(|why| why.to_string())?;
    let bytes = [0_u8; 32];
    let (nr, args, want) = if options.only.as_deref() == Some("write") {
        let args = [null.as_raw_fd() as u64, bytes.as_ptr() as u64, 32];
        (libc::SYS_write as u16, six(&args), 32)
    } else {
        (NR_NOP, [0; 6], 0)
    };
    let mut poster = Poster::new(mode)?;
    let batches = options.rounds.unwrap_or(10);
    let started = Instant::now();
    for _ in 0..batches {
        for _ in 0..BATCH {
            poster.context.post(nr, args).ok_or("no entry is free")?;
        }
        for _ in 0..BATCH {
            expect("result", poster.complete()?.ret, want)?;
        }
    }
    let time = started.elapsed();
    let counters = poster.context.counters();
    let posted = batches * BATCH;
    println!(
        "# {mode:?}: {posted} calls in {time:?}, {:?} each",
        time / posted.max(1) as u32
    );
    println!("# {counters:?}");
    let sum = counters.entries_w + counters.entries_t + counters.entries_c + counters.handed_back;
    ensure(sum == posted, format!("{posted} posted, {sum} counted"))
}
