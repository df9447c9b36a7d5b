// SPDX-License-Identifier: MIT OR Apache-2.0
//! Behaviours run in processes of their own, so that one that hangs or dies is one failure and no more.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::PATIENCE;
use crate::suite::until;

/// How long a behaviour may take. Under emulation everything takes ten times as long as it should.
fn limit() -> Duration {
    3 * *PATIENCE
}

/// A child process; killed and waited for when dropped.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    over: bool,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By exit, with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

impl Child {
    /// Forks. The child runs `body` and exits with what it returns, 101 when it panics.
    ///
    /// The calling process must have one thread only.
    ///
    /// # Errors
    /// fork(2)'s error.
    pub fn spawn(body: impl FnOnce() -> i32) -> io::Result<Self> {
        // What is still buffered would be written twice.
        io::stdout().flush()?;
        // SAFETY: the caller has one thread, so that no lock is held by somebody who does not exist in the child.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let body = std::panic::AssertUnwindSafe(body);
                let status = std::panic::catch_unwind(body).unwrap_or(101);
                // SAFETY: the child shares no state that an exit handler would have to tidy.
                unsafe { libc::_exit(status) }
            }
            pid => Ok(Self { pid, over: false }),
        }
    }

    /// The process id.
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so its id is still its own.
        unsafe { libc::kill(self.pid, signal) };
    }

    /// Kills the child and waits until it has ended, by that.
    ///
    /// # Errors
    /// When it ends otherwise, or not within [`PATIENCE`].
    pub fn kill(&mut self) -> Result<(), String> {
        self.signal(libc::SIGKILL);
        match self.wait(*PATIENCE) {
            Some(End::Signal(libc::SIGKILL)) => Ok(()),
            end => Err(format!("a killed child ended by {end:?}")),
        }
    }

    /// Waits until the child has ended; `None` when it has not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<End> {
        let started = Instant::now();
        loop {
            let mut status = 0;
            // SAFETY: the status is writable.
            let ret = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) };
            if ret == self.pid {
                self.over = true;
                return Some(if libc::WIFEXITED(status) {
                    End::Exit(libc::WEXITSTATUS(status))
                } else {
                    End::Signal(libc::WTERMSIG(status))
                });
            }
            if ret < 0 || started.elapsed() > limit {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.over {
            self.signal(libc::SIGKILL);
            self.wait(Duration::from_secs(20));
        }
    }
}

/// A pipe, reading end first, both close-on-exec.
///
/// # Errors
/// pipe2(2)'s error.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: pipe2 has just returned both to us.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Runs `body` in a child and passes its verdict on; a hang or an unexpected end is a failure, too.
///
/// # Errors
/// What `body` returned, or how the child ended instead.
pub fn isolated(body: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    judged(|tell| {
        crate::options::faults();
        tell.status(caught(body))
    })
}

/// The same, but `body` gets what `prepare` has made in the child's main thread, which ends then, in another thread.
///
/// # Errors
/// What either returned, or how the child ended instead.
pub fn survived<T: Send + 'static>(
    prepare: impl FnOnce() -> Result<T, String>,
    body: impl FnOnce(T) -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    judged(|tell| {
        let made = match caught(prepare) {
            Ok(made) => made,
            Err(why) => return tell.status(Err(why)),
        };
        std::thread::spawn(move || {
            let verdict = caught(|| {
                until("the main thread is gone", main_thread_is_gone)?;
                body(made)
            });
            let status = tell.status(verdict);
            // SAFETY: the process shares no state that an exit handler would have to tidy.
            unsafe { libc::_exit(status) }
        });
        loop {
            // The system call itself: the library's function would end the process.
            // SAFETY: nothing of this thread's stack is used by another.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
    })
}

/// Whether the process's main thread is a zombie.
fn main_thread_is_gone() -> bool {
    let path = format!("/proc/self/task/{}/stat", std::process::id());
    fs::read_to_string(path).is_ok_and(|stat| stat.contains(") Z "))
}

fn caught<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
        .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(&*panic))))
}

/// Where a child tells what came of it.
struct Tell(OwnedFd);

impl Tell {
    /// Tells, and returns the status to exit with.
    fn status(self, verdict: Result<(), String>) -> i32 {
        match verdict {
            Ok(()) => 0,
            Err(why) => {
                let mut pipe = fs::File::from(self.0);
                // Without a reader the exit status alone must do.
                let _ = pipe.write_all(why.as_bytes());
                1
            }
        }
    }
}

fn judged(body: impl FnOnce(Tell) -> i32) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let mut child = Child::spawn(|| body(Tell(write))).map_err(|why| format!("fork: {why}"))?;
    // The closure, and with it the writing end, was moved into the child's copy and is still open here.
    let end = child.wait(limit());
    let told = || {
        let mut text = String::new();
        let _ = nonblocking(read).read_to_string(&mut text);
        text
    };
    match end {
        Some(End::Exit(0)) => Ok(()),
        Some(End::Exit(1)) => Err(told()),
        Some(other) => Err(format!("ended by {other:?}")),
        None => Err(format!(
            "hangs: not over after {} s; killed",
            limit().as_secs()
        )),
    }
}

/// What a panic says, as of a thread that cannot be made.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a text")
}

fn nonblocking(fd: OwnedFd) -> fs::File {
    let fd = fd.into_raw_fd();
    // SAFETY: our own descriptor; the command takes no memory.
    unsafe {
        libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK);
        fs::File::from_raw_fd(fd)
    }
}

/// The exit status of a child that has done `body`, which it says on standard error if it fails.
pub fn status_of(who: &str, body: impl FnOnce() -> Result<(), String>) -> i32 {
    match body() {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("{who}: {why}");
            1
        }
    }
}

/// What a program that succeeds prints, without white space around it.
///
/// # Errors
/// What it says on standard error when it fails, or why it does not run.
pub fn output(command: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(command)
        .args(args)
        // Without udev the device node is dmsetup's to make.
        .env("DM_DISABLE_UDEV", "1")
        .output()
        .map_err(|why| format!("{command}: {why}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command}: {said}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a program.
///
/// # Errors
/// As [`output`].
pub fn run(command: &str, args: &[&str]) -> Result<(), String> {
    output(command, args).map(drop)
}

/// How many references keep the module loaded.
///
/// # Errors
/// Why that cannot be told, as text.
pub fn module_references() -> Result<u32, String> {
    let path = "/sys/module/flexsc/refcnt";
    let text = fs::read_to_string(path).map_err(|why| format!("{path}: {why}"))?;
    let count = text.trim().parse();
    count.map_err(|why| format!("{path}: {text:?}: {why}"))
}

/// Waits until nothing refers to the module any more.
///
/// # Errors
/// A text with the references that stay.
pub fn module_unused() -> Result<(), String> {
    let started = Instant::now();
    loop {
        match module_references()? {
            0 => return Ok(()),
            count if started.elapsed() > Duration::from_secs(20) => {
                return Err(format!("flexsc.ko is still referred to {count} times"));
            }
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
