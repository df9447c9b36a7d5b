// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs of the command that are met while they work, or are not the test's own user's.

use super::{FLEXSYNC, Run, Scratch, is_root, paths, tested};
pub use rustix::process::Signal;
use rustix::process::{
    Pid, Resource, Rlimit, WaitId, WaitIdOptions, kill_process, setrlimit, waitid,
};
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub fn start(scratch: &Scratch, backend: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new(FLEXSYNC);
    command
        .current_dir(scratch.path())
        .args(["--backend", tested(backend)]);
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

/// A user, and a group, that owns nothing.
pub const NOBODY: u32 = 65534;

/// Runs the command as a user who owns nothing here; `None` if this user may not do that.
pub fn as_nobody(scratch: &Scratch, arguments: &[&str]) -> Option<Run> {
    as_nobody_over(scratch, tested("direct"), arguments)
}

/// The same over a backend.
pub fn as_nobody_over(scratch: &Scratch, backend: &str, arguments: &[&str]) -> Option<Run> {
    let mut command = nobodys(scratch, backend, arguments)?;
    Some(output(&mut command).unwrap().into())
}

/// The command, to be run with [`output`].
pub fn nobodys(scratch: &Scratch, backend: &str, arguments: &[&str]) -> Option<Command> {
    if !is_root() {
        println!("SKIP: only root can run the command as somebody else");
        return None;
    }
    let mut command = Command::new(public_copy(scratch));
    command
        .current_dir(scratch.path())
        .args(["--backend", backend])
        .args(arguments)
        .uid(NOBODY)
        .gid(NOBODY);
    Some(command)
}

/// A copy of the command that others can run: the build's directory may be closed to them.
fn public_copy(scratch: &Scratch) -> PathBuf {
    let program = scratch.join("flexsync");
    fs::copy(FLEXSYNC, &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    program
}

/// What becomes of a command that is [copied](public_copy).
pub fn output(command: &mut Command) -> std::io::Result<Output> {
    loop {
        match command.output() {
            // Another test's thread has forked while the copy was written, and has not executed yet.
            Err(why) if why.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            output => return output,
        }
    }
}

/// Runs the command over plain calls as a user of whom there may be one thread, and who owns all that is there; `None` if that
/// cannot be had.
pub fn with_one_thread(scratch: &Scratch, arguments: &[&str]) -> Option<Run> {
    if !is_root() {
        println!("SKIP: only root can run the command as somebody else");
        return None;
    }
    // All threads of a user count.
    let user = 1_000_000 + std::process::id();
    for path in paths(scratch.path()) {
        lchown(path, Some(user), Some(user)).unwrap();
    }
    let limited = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .current_dir(scratch.path())
            .args(arguments)
            .uid(user)
            .gid(user);
        let most = Rlimit {
            current: Some(1),
            maximum: Some(1),
        };
        // SAFETY: It makes one system call.
        unsafe { command.pre_exec(move || Ok(setrlimit(Resource::Nproc, most)?)) };
        output(&mut command)
    };
    let probe = limited(Path::new("/bin/sh"), &["-c", "(exit 0); exit $?"]);
    match probe {
        Ok(probe) if !probe.status.success() => {}
        Ok(_) => {
            println!("SKIP: nothing limits a user's processes here");
            return None;
        }
        Err(error) => {
            println!("SKIP: user {user} cannot be had here: {error}");
            return None;
        }
    }
    let arguments = [&["--backend", "direct"], arguments].concat();
    let run = limited(&public_copy(scratch), &arguments);
    Some(run.unwrap().into())
}
