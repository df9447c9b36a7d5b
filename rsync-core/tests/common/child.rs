// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs of the command that are met while they work.

use super::{FLEXSYNC, Run, Scratch};
pub use rustix::process::Signal;
use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, waitid};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub fn start(scratch: &Scratch, backend: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new(FLEXSYNC);
    command
        .current_dir(scratch.path())
        .args(["--backend", backend]);
    let command = command.args(arguments).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

pub fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Whether the run has ended. It can still be sent a signal, until it is waited for.
pub fn has_ended(child: &Child) -> bool {
    let id = WaitId::Pid(Pid::from_child(child));
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(id, options).unwrap().is_some()
}

/// Waits until temporary files other than `known` are there; none if the run ends before.
pub fn temporary(child: &Child, dir: &Path, known: &[PathBuf]) -> Option<PathBuf> {
    while !has_ended(child) {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let mut paths = entries.map(|entry| entry.path());
        let is_temporary = |path: &PathBuf| path.to_string_lossy().contains(".flexsync.");
        let new = paths.find(|path| is_temporary(path) && !known.contains(path));
        if new.is_some() {
            return new;
        }
    }
    None
}

pub fn end(child: Child) -> Run {
    child.wait_with_output().unwrap().into()
}
