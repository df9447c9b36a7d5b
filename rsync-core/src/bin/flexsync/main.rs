// SPDX-License-Identifier: MIT OR Apache-2.0

//! `flexsync`: rsync for trees on one machine, over posted system calls.

#![forbid(unsafe_code)]

mod command;
mod debug;
mod explain;
mod fake;
mod filters;
mod format;
mod json;
mod levels;
mod limit;
mod log;
mod owners;
mod parser;
mod progress;
mod refused;
mod report;
#[cfg(test)]
mod share;
mod shown;
mod signals;
mod switches;
mod values;

use command::Command;
use futures_util::future::{Either, select};
use libflexsc::op::{Openat, Write};
use libflexsc::task::block_on;
use libflexsc::{At, Backend, Context, Handle, backend};
use report::Reporter;
use rsync_core::error::exit;
use rsync_core::{Error, Stats, Sync};
use signals::Stopping;
use std::cell::Cell;
use std::ffi::CString;
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt as _;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Instant;

/// The exit status when the time is over.
const TIME_LIMIT: u8 = 30;

/// Entries of the page: enough for what the engine posts at once.
const ENTRIES: u32 = 1024;

fn main() -> ExitCode {
    let command = match Command::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(code) => return code.into(),
    };
    keep_freed_memory();
    run(&command).unwrap_or_else(|Refusal { status, message }| {
        eprintln!("flexsync: {message}");
        status.into()
    })
}

/// What is freed stays with the process, for what comes next. glibc gives the end of its heap back at twice the length of the
/// longest block that it has had from the kernel alone and seen freed, at most this one (mallopt(3), `M_MMAP_THRESHOLD`):
/// unless it has seen one, each file's pieces would be given back and faulted in again.
fn keep_freed_memory() {
    const LONGEST: usize = 31 << 20;
    // Nothing is written to it, so that it is no memory yet.
    drop(black_box(Vec::<u8>::with_capacity(LONGEST)));
}

/// Why nothing was done.
struct Refusal {
    status: u8,
    message: String,
}

fn run(command: &Command) -> Result<ExitCode, Refusal> {
    let start = Instant::now();
    let stopping = Stopping::new();
    let mut options = backend::Options::new();
    options.entries(ENTRIES);
    let open = || {
        let backend = match command.backend {
            Some(kind) => Backend::open(kind, &options),
            None => Backend::auto_with(&options),
        };
        backend.map_err(|error| Refusal {
            status: exit::UNSUPPORTED,
            message: error.to_string(),
        })
    };
    let handle = Handle::new(Context::new(open()?));
    let receiving = match threads(command, handle.choice().kind) {
        0..=1 => None,
        _ => Some(open()?),
    };

    let mut sync = Sync::new(command.options.clone());
    if let Some(destination) = &command.destination {
        sync = sync.destination(destination);
    }
    for source in &command.sources {
        sync = sync.source(source);
    }
    let mut reporter = Reporter::new(command);
    let late_first = Cell::new(false);
    let mut other = libflexsc::Stats::default();
    reporter.start();
    let result = if command.list_only {
        block_on(&handle, sync.list(&handle, &mut reporter))
    } else {
        // A time that no clock will tell is none.
        let limit = command
            .time_limit
            .and_then(|limit| start.checked_add(limit));
        let stop = async {
            match limit {
                Some(limit) => {
                    let late = pin!(handle.sleep_until(limit));
                    let signal = pin!(stopping.arrived());
                    late_first.set(matches!(select(signal, late).await, Either::Right(_)));
                }
                None => stopping.arrived().await,
            }
        };
        match receiving {
            Some(receiving) => {
                sync.run_apart(&handle, receiving, &mut reporter, stop)
                    .map(|(stats, calls)| {
                        other = calls;
                        stats
                    })
            }
            None => block_on(&handle, sync.run_until(&handle, &mut reporter, stop)),
        }
    };
    let mut calls = handle.stats();
    calls += other;
    let seconds = start.elapsed().as_secs_f64();
    let stats = match result {
        Ok(stats) => stats,
        Err(error) => {
            let (message, status) = match error {
                Error::Stopped if late_first.get() => (
                    "stopped before the end, since its time is over: run again to complete it"
                        .to_owned(),
                    TIME_LIMIT,
                ),
                error => (error.to_string(), error.exit_status()),
            };
            reporter.refused(&message, status);
            return Ok(status.into());
        }
    };
    reporter.finish(&stats, calls, handle.choice(), seconds);
    if let Some(path) = &command.stats_json {
        let json = report::figures_json(&stats, calls, handle.choice(), seconds);
        write_file(&handle, path.as_bytes(), json).map_err(|errno| Refusal {
            status: exit::FILE_IO,
            message: format!(
                "cannot write \"{}\": {errno}",
                std::path::Path::new(path).display()
            ),
        })?;
    }
    let status = status(&stats, &mut reporter);
    reporter.end(&stats, status);
    Ok(status.into())
}

/// How many threads are to work.
fn threads(command: &Command, kind: backend::Kind) -> usize {
    let own = match kind {
        // With all others calls are made elsewhere already.
        backend::Kind::Direct => libflexsc::sys::usable_cpus(),
        _ => 1,
    };
    match command.list_only {
        // There is no receiving side.
        true => 1,
        false => command.jobs.map_or(own, |jobs| jobs as usize),
    }
}

fn status(stats: &Stats, reporter: &mut Reporter) -> u8 {
    let status = stats.exit_status();
    let files = |count: u64| {
        if count == 1 {
            "1 file".to_owned()
        } else {
            format!("{count} files")
        }
    };
    if stats.undeleted > 0 {
        let and = match status {
            exit::MAX_DELETE => format!(" (exit status {status})"),
            _ => String::new(),
        };
        reporter.error(format_args!(
            "{} should have been deleted too, but --max-delete allows no more{and}",
            files(stats.undeleted)
        ));
    }
    match status {
        exit::PARTIAL => reporter.error(format_args!(
            "{} could not be dealt with, see above (exit status {status})",
            files(stats.failures)
        )),
        exit::VANISHED => reporter.error(format_args!(
            "{} vanished before they were read (exit status {status})",
            files(stats.vanished)
        )),
        _ => {}
    }
    status
}

fn write_file(handle: &Handle, path: &[u8], text: String) -> libflexsc::Result<()> {
    let path = CString::new(path).map_err(|_| libflexsc::Errno::EINVAL)?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC;
    let file = handle.run(Openat::new(At::Cwd, path, flags, 0o666))?;
    let (count, text) = handle.run(Write::new(file, text.into_bytes()));
    match count? {
        count if count == text.len() => Ok(()),
        _ => Err(libflexsc::Errno::ENOSPC),
    }
}
