// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs of the command of which each system call is seen, and may be made to fail, or be the last.

use super::{FLEXSYNC, Run};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What happens to one call of a run; calls are numbered from the first that belongs to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Kill(usize),
    Fail(usize, Errno),
    /// It does nothing, and returns 0.
    Nothing(usize),
}

/// A run that was watched.
pub struct Watched {
    pub run: Run,
    /// The numbers of its calls, in the order in which they were begun.
    pub calls: Vec<i64>,
    /// Those that were not made by its first thread.
    pub apart: BTreeSet<i64>,
    pub killed: bool,
}

/// Runs flexsync over plain calls, in one thread or two (`jobs`), and has one of its calls meet its fate. `None` if nobody
/// may be watched here.
pub fn watched(dir: &Path, jobs: u32, arguments: &[&str], fate: Option<Fate>) -> Option<Watched> {
    let mut command = Command::new(FLEXSYNC);
    command
        .current_dir(dir)
        .args(["--backend", "direct", "--jobs", &jobs.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(fs::File::create(dir.join("stdout")).unwrap())
        .stderr(fs::File::create(dir.join("stderr")).unwrap());
    // SAFETY: It makes one system call.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(std::io::Error::from)) };
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            println!("SKIP: ptrace is not allowed here: {error}");
            return None;
        }
        Err(error) => panic!("{FLEXSYNC}: {error}"),
    };
    let pid = Pid::from_raw(child.id() as i32);
    // It stops at its exec.
    assert_eq!(
        waitpid(pid, None),
        Ok(WaitStatus::Stopped(pid, Signal::SIGTRAP))
    );
    let mut options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL;
    // In one thread, that which waits for signals is of no interest.
    options.set(ptrace::Options::PTRACE_O_TRACECLONE, jobs > 1);
    ptrace::setoptions(pid, options).unwrap();

    let (mut calls, mut apart, mut begun, mut dying) = (Vec::new(), BTreeSet::new(), false, false);
    // Whether each thread is in a call, and what that is to return without having done anything.
    let mut threads = HashMap::from([(pid, (false, None))]);
    let (mut stopped, mut signal) = (Some(pid), None);
    let status = loop {
        if let Some(thread) = stopped.take().filter(|_| !dying) {
            match ptrace::syscall(thread, signal.take()) {
                // Another thread may have ended all of them meanwhile.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => panic!("{errno}"),
            }
        }
        // Children of other tests are other threads'.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let status = waitpid(None, Some(flags)).unwrap();
        match status {
            WaitStatus::Exited(ended, _) | WaitStatus::Signaled(ended, ..) if ended == pid => {
                break status;
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => continue,
            _ => stopped = status.pid(),
        }
        let thread = stopped.unwrap();
        match (status, threads.get_mut(&thread)) {
            (WaitStatus::PtraceSyscall(_), Some((inside, result))) if !*inside => {
                *inside = true;
                let Ok(mut registers) = ptrace::getregs(thread) else {
                    continue;
                };
                let number = registers.orig_rax as i64;
                // The engine's first question, after all that the runtime does.
                begun |= number == libc::SYS_getgroups;
                if !begun || dying {
                    continue;
                }
                let at = calls.len();
                calls.push(number);
                if thread != pid {
                    apart.insert(number);
                }
                *result = match fate {
                    Some(Fate::Kill(when)) if when == at => {
                        kill(pid, Signal::SIGKILL).unwrap();
                        dying = true;
                        None
                    }
                    Some(Fate::Fail(when, errno)) if when == at => Some(-(errno as i64)),
                    Some(Fate::Nothing(when)) if when == at => Some(0),
                    _ => None,
                };
                if result.is_some() {
                    // No call has this number.
                    registers.orig_rax = u64::MAX;
                    ptrace::setregs(thread, registers).unwrap();
                }
            }
            (WaitStatus::PtraceSyscall(_), Some((inside, result))) => {
                *inside = false;
                if let Some(result) = result.take() {
                    let mut registers = ptrace::getregs(thread).unwrap();
                    registers.rax = result as u64;
                    ptrace::setregs(thread, registers).unwrap();
                }
            }
            (WaitStatus::PtraceEvent(..), Some(_)) => {}
            // A thread begins by stopping.
            (WaitStatus::Stopped(_, Signal::SIGSTOP), None) => {
                threads.insert(thread, (false, None));
            }
            (WaitStatus::Stopped(_, other), Some(_)) => signal = Some(other),
            other => panic!("{other:?}"),
        }
    };
    let read = |name| String::from_utf8_lossy(&fs::read(dir.join(name)).unwrap()).into_owned();
    Some(Watched {
        run: Run {
            status: match status {
                WaitStatus::Exited(_, status) => status,
                _ => -1,
            },
            stdout: read("stdout"),
            stderr: read("stderr"),
        },
        calls,
        apart,
        killed: matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
    })
}
