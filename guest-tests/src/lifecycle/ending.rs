// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes that end, or become another program, with calls in flight.

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::blocking::loaded_context;
use super::{Behaviour, Place};
use crate::client::Mode;
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::process::{Child, End, module_unused, pipe};
use crate::rng::Rng;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("kill_with_calls_in_flight", kill as fn(&Place) -> _),
        ("kill_at_any_moment", kill_any_moment),
        ("exit_with_calls_in_flight", exit),
        ("exit_from_another_thread", exit_group),
        ("exec_with_calls_in_flight", exec),
        ("exec_keeping_the_descriptor", exec_keeping),
        ("exec_from_another_thread", exec_from_thread),
        ("the_registering_thread_exits", registering_thread_exits),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// What a process that was exec'ed with a context's descriptor does: finds it refused.
pub fn after_exec(fd: i32) -> i32 {
    // SAFETY: this request takes no argument.
    let ret = unsafe { libc::ioctl(fd, libflexsc::sys::IOC_KICK.into(), 0) };
    let error = std::io::Error::last_os_error();
    if ret == -1 && error.raw_os_error() == Some(libc::EPERM) {
        return 0;
    }
    eprintln!("kick after exec gave {ret}: {error}");
    1
}

/// Runs `body` in a child that tells when it is ready, then `end`s it; it must be over soon, and the module unused.
pub fn ended(
    body: impl FnOnce() -> Result<(), String>,
    end: impl FnOnce(&Child),
    expected: End,
) -> Result<(), String> {
    over(body, end, expected)?;
    module_unused()
}

/// The same, but others may use the module.
pub fn over(
    body: impl FnOnce() -> Result<(), String>,
    end: impl FnOnce(&Child),
    expected: End,
) -> Result<(), String> {
    let (ready, tell) = pipe().map_err(|why| why.to_string())?;
    let mut child = Child::spawn(|| {
        if let Err(why) = body() {
            eprintln!("the process to end: {why}");
            return 1;
        }
        let _ = std::fs::File::from(tell).write_all(b"r");
        std::thread::sleep(Duration::from_secs(60));
        9
    })
    .map_err(|why| why.to_string())?;
    // At its end without a byte the child has exited by itself, as some bodies do.
    let _ = std::fs::File::from(ready).read(&mut [0]);
    end(&child);
    let limit = *crate::client::PATIENCE;
    match child.wait(limit) {
        Some(over) => ensure(
            over == expected,
            format!("ended by {over:?}, not {expected:?}"),
        ),
        None => Err(format!("does not end within {} s", limit.as_secs())),
    }
}

fn kill(place: &Place) -> Result<(), String> {
    for which in 0..6 * place.rounds {
        let body = || {
            for mode in MODES {
                std::mem::forget(loaded_context(mode)?);
            }
            std::thread::sleep(Duration::from_millis(which * 3));
            Ok(())
        };
        ended(
            body,
            |child| child.signal(libc::SIGKILL),
            End::Signal(libc::SIGKILL),
        )?;
    }
    Ok(())
}

/// Endless mixed work, set-up and close included.
fn churn(seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    loop {
        let mut poster = Poster::new(*rng.pick(&MODES))?;
        for _ in 0..rng.below(20) {
            match rng.below(4) {
                0 => {
                    let fd = poster.open(c".", libc::O_RDONLY | libc::O_CLOEXEC)?;
                    poster.close(fd as i32)?;
                }
                1 => poster.nop()?,
                2 => {
                    poster.open(c"none", libc::O_RDONLY)?;
                }
                _ => {
                    std::mem::forget(loaded_context(*rng.pick(&MODES))?);
                    if rng.one_in(3) {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn kill_any_moment(place: &Place) -> Result<(), String> {
    let mut rng = Rng::new(place.seed);
    for round in 0..8 * place.rounds {
        let seed = place.seed + round;
        let mut child = Child::spawn(|| {
            let why = loop {
                if let Err(why) = churn(seed) {
                    break why;
                }
            };
            eprintln!("the process to kill: {why}");
            1
        })
        .map_err(|why| why.to_string())?;
        std::thread::sleep(Duration::from_micros(rng.below(60_000)));
        child.kill()?;
    }
    module_unused()
}

fn exit(place: &Place) -> Result<(), String> {
    for which in 0..4 * place.rounds {
        let body = || {
            std::mem::forget(loaded_context(MODES[which as usize % 2])?);
            // SAFETY: no exit handler matters.
            unsafe { libc::_exit(17) }
        };
        ended(body, |_| (), End::Exit(17))?;
    }
    Ok(())
}

fn exit_group(place: &Place) -> Result<(), String> {
    for which in 0..4 * place.rounds {
        let body = || {
            std::mem::forget(loaded_context(MODES[which as usize % 2])?);
            std::thread::spawn(|| {
                // SAFETY: ends every thread of the process; no memory is involved.
                unsafe { libc::syscall(libc::SYS_exit_group, 18) };
            });
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        };
        ended(body, |_| (), End::Exit(18))?;
    }
    Ok(())
}

fn run_program(arguments: &[&str]) -> String {
    let owned: Vec<_> = arguments
        .iter()
        .map(|argument| CString::new(*argument).unwrap_or_default())
        .collect();
    let mut pointers: Vec<_> = owned.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: NUL-terminated strings in an array that ends with null.
    unsafe { libc::execv(owned[0].as_ptr(), pointers.as_ptr()) };
    format!("{}: {}", arguments[0], std::io::Error::last_os_error())
}

fn exec(place: &Place) -> Result<(), String> {
    for which in 0..4 * place.rounds {
        let body = || {
            std::mem::forget(loaded_context(MODES[which as usize % 2])?);
            Err(run_program(&["/bin/sh", "-c", "exit 19"]))
        };
        ended(body, |_| (), End::Exit(19))?;
    }
    Ok(())
}

fn exec_keeping(place: &Place) -> Result<(), String> {
    for which in 0..3 * place.rounds {
        let body = || {
            let context = loaded_context(MODES[which as usize % 2])?;
            let fd = context.fd();
            std::mem::forget(context);
            // SAFETY: the command takes no memory.
            libc_ok("fcntl", unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }.into())?;
            let text = fd.to_string();
            Err(run_program(&["/proc/self/exe", "--after-exec", &text]))
        };
        ended(body, |_| (), End::Exit(0))?;
    }
    Ok(())
}

fn exec_from_thread(place: &Place) -> Result<(), String> {
    for which in 0..3 * place.rounds {
        let body = || {
            std::mem::forget(loaded_context(MODES[which as usize % 2])?);
            std::thread::spawn(|| {
                eprintln!("{}", run_program(&["/bin/sh", "-c", "exit 20"]));
                // SAFETY: no exit handler matters.
                unsafe { libc::_exit(1) }
            });
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        };
        ended(body, |_| (), End::Exit(20))?;
    }
    Ok(())
}

fn registering_thread_exits(place: &Place) -> Result<(), String> {
    place.file("content", b"still here")?;
    let file = std::fs::File::open("content").map_err(|why| why.to_string())?;
    for mode in MODES {
        let made = std::thread::spawn(move || {
            let mut poster = Poster::new(mode)?;
            poster.nop().map(|()| poster)
        });
        let mut poster = made.join().map_err(|_| "the thread panicked")??;
        // The thread is joined when its id is cleared, a little before it is gone.
        std::thread::sleep(Duration::from_millis(20));
        for _ in 0..20 * place.rounds {
            poster.nop()?;
            let (ret, bytes) = poster.pread(file.as_raw_fd(), 100)?;
            expect("pread64", ret, 10)?;
            ensure(bytes == b"still here", "pread64 gave something else")?;
            let fd = poster.open(c"content", libc::O_RDONLY)?;
            ensure(fd >= 0, format!("openat gave {fd}"))?;
            expect("close", poster.close(fd as i32)?, 0)?;
            let parent = i64::from(std::os::unix::process::parent_id());
            expect("getppid", poster.call(libc::SYS_getppid, &[])?, parent)?;
        }
        if mode == Mode::Lanes {
            let counters = poster.context.counters();
            ensure(
                counters.handed_back == 0,
                format!("calls are handed back once the thread is gone: {counters:?}"),
            )?;
        }
    }
    Ok(())
}
