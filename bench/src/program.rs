// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole programs: what one run of another program costs, whoever executes its calls.

use std::{
    io,
    process::{Command, Stdio},
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
    /// Takes what a run has printed.
    pub(crate) printed: &'a mut dyn FnMut(Kind, &str),
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
            printed: self.printed,
        }))
    }
}

/// One run after the other.
struct Runs<'a> {
    name: &'static str,
    kind: Kind,
    prepare: &'a mut dyn FnMut(Kind) -> io::Result<()>,
    command: &'a dyn Fn(Kind) -> Command,
    printed: &'a mut dyn FnMut(Kind, &str),
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
            let output = command.output();
            mark::<{ mark::END }>();
            times.push(start.elapsed());
            if let Some(events) = events.as_deref_mut() {
                events.disable();
                counted.push(events.take()?);
            }
            let output = output.map_err(failed)?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                let why = format!("{command:?}: {}: {}", output.status, said.trim());
                return Err(failed(io::Error::other(why)));
            }
            (self.printed)(self.kind, &String::from_utf8_lossy(&output.stdout));
        }
        Ok((times, counted))
    }

    fn stats(&self) -> Option<Stats> {
        None
    }
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
            printed: &mut |_, text| printed.push_str(text),
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
