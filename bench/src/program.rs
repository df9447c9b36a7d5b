// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole programs: what one run of another program costs, whoever executes its calls.

use core::mem::MaybeUninit;
use std::{
    io::{self, Read as _},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use libflexsc::Stats;

use crate::{
    backend::Kind,
    cpu::Cpus,
    error::Error,
    events::{Counted, Events},
    mark::{self, mark},
    measure::Subject,
    window::Turn,
};

/// A program that is run once in each window.
pub(crate) struct Program<'a> {
    pub(crate) name: &'static str,
    /// Units of a run.
    pub(crate) units: usize,
    /// Whether it has both CPUs, whoever executes its calls.
    pub(crate) both: bool,
    /// Makes anew what a run uses up, without being measured.
    pub(crate) prepare: &'a mut dyn FnMut(Kind) -> io::Result<()>,
    /// How it is run so that this executes its calls.
    pub(crate) command: &'a dyn Fn(Kind) -> Command,
    /// Takes what has become of a run.
    pub(crate) ended: &'a mut dyn FnMut(Kind, &Ended),
}

/// What has become of a run.
pub(crate) struct Ended {
    /// What it has printed.
    pub(crate) stdout: String,
    /// The most memory that one of its processes has had, in KiB; no less than what this program has had by then.
    pub(crate) peak: u64,
}

impl Subject for Program<'_> {
    fn units(&self) -> usize {
        self.units
    }

    fn set_up(&mut self, kind: Kind, cpus: Cpus) -> Result<Box<dyn Turn + '_>, Error> {
        // The program inherits it, and its library goes by it.
        match cpus.there.filter(|_| self.both || kind.wants_two_cpus()) {
            Some(there) => Cpus::bind(&[cpus.here, there])?,
            None => Cpus::bind(&[cpus.here])?,
        }
        Ok(Box::new(Runs {
            name: self.name,
            kind,
            prepare: self.prepare,
            command: self.command,
            ended: self.ended,
        }))
    }
}

/// One run after the other.
struct Runs<'a> {
    name: &'static str,
    kind: Kind,
    prepare: &'a mut dyn FnMut(Kind) -> io::Result<()>,
    command: &'a dyn Fn(Kind) -> Command,
    ended: &'a mut dyn FnMut(Kind, &Ended),
}

impl Turn for Runs<'_> {
    fn run(
        &mut self,
        windows: usize,
        mut events: Option<&mut Events>,
    ) -> Result<(Vec<Duration>, Vec<Counted>), Error> {
        let failed = |error| Error::Case(self.name, error);
        let (mut times, mut counted) = (Vec::with_capacity(windows), Vec::new());
        for _ in 0..windows {
            (self.prepare)(self.kind).map_err(failed)?;
            let mut command = (self.command)(self.kind);
            command.stdin(Stdio::null());
            if let Some(events) = events.as_deref() {
                events.enable();
            }
            let start = Instant::now();
            mark::<{ mark::BEGIN }>();
            let run = run_to_end(&mut command);
            mark::<{ mark::END }>();
            times.push(start.elapsed());
            if let Some(events) = events.as_deref_mut() {
                events.disable();
                counted.push(events.take()?);
            }
            let (status, ended) = run.map_err(failed)?;
            if !status.success() {
                return Err(failed(io::Error::other(format!("{command:?}: {status}"))));
            }
            (self.ended)(self.kind, &ended);
        }
        Ok((times, counted))
    }

    fn stats(&self) -> Option<Stats> {
        None
    }
}

/// Runs a program, which tells of errors itself.
fn run_to_end(command: &mut Command) -> io::Result<(ExitStatus, Ended)> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut stdout = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut stdout)?;
    }
    let peak = peak(&child)?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    Ok((child.wait()?, Ended { stdout, peak }))
}

/// The most memory that a child, or one of its own, has had, in KiB: waits until it has ended.
fn peak(child: &Child) -> io::Result<u64> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel may write an rusage there, and nothing else. That the C library's function has no place for it makes
    // the system call necessary, waitid(2).
    let ret = unsafe {
        libc::syscall(
            libc::SYS_waitid,
            libc::P_PID,
            child.id(),
            core::ptr::null_mut::<libc::siginfo_t>(),
            libc::WEXITED | libc::WNOWAIT,
            usage.as_mut_ptr(),
        )
    };
    if ret != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all its fields are numbers, and any bytes are some.
    Ok(unsafe { usage.assume_init() }.ru_maxrss as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &dyn Fn(Kind) -> Command) -> (Result<usize, Error>, usize, String) {
        let (mut prepared, mut printed) = (0, String::new());
        let mut program = Program {
            name: "program",
            units: 1,
            both: false,
            prepare: &mut |_| {
                prepared += 1;
                Ok(())
            },
            command,
            ended: &mut |_, ended| {
                printed.push_str(&ended.stdout);
                assert!(ended.peak > 0);
            },
        };
        let mut turn = program.set_up(Kind::Direct, Cpus::usable()).unwrap();
        let result = turn.run(2, None).map(|(times, _)| times.len());
        drop(turn);
        (result, prepared, printed)
    }

    #[test]
    fn each_window_is_prepared_and_runs_the_program_once() {
        let (result, prepared, printed) = run(&|_| {
            let mut command = Command::new("echo");
            command.arg("done");
            command
        });
        assert_eq!((result.unwrap(), prepared), (2, 2));
        assert_eq!(printed, "done\ndone\n");
    }

    #[test]
    fn a_program_that_fails_has_no_figure() {
        let (result, ..) = run(&|_| Command::new("false"));
        assert!(result.unwrap_err().to_string().contains("\"false\""));
    }
}
