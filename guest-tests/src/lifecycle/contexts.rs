// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several contexts, processes and threads at once; contexts made and given up.

use std::fs;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libflexsc::sys as abi;

use super::{Behaviour, Place};
use crate::client::{Context, Mode, ioctl, open_device, setup_request};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok, six};
use crate::process::{Child, End};
use crate::rng::Rng;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("several_contexts_in_a_process", several as fn(&Place) -> _),
        ("several_processes_at_once", processes),
        ("threads_share_a_context", threads),
        ("a_child_may_not_use_the_context", fork_child),
        (
            "a_child_that_shares_the_memory_may_not_either",
            memory_child,
        ),
        ("a_child_keeps_only_the_descriptor", outlived_by_child),
        ("the_context_passed_to_another_process", another_process),
        (
            "calls_on_its_own_descriptor_are_handed_back",
            own_descriptor,
        ),
        ("set_up_and_close_many_times", cycles),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// Mixed work with results that only the right process and file can give.
fn work(
    poster: &mut Poster,
    fd: i32,
    content: &[u8],
    rounds: u64,
    rng: &mut Rng,
) -> Result<(), String> {
    let parent = i64::from(std::os::unix::process::parent_id());
    for _ in 0..rounds {
        match rng.below(4) {
            0 => expect("getppid", poster.call(libc::SYS_getppid, &[])?, parent)?,
            1 => poster.nop()?,
            2 => {
                let (ret, bytes) = poster.pread(fd, content.len() + 10)?;
                expect("pread64", ret, content.len() as i64)?;
                ensure(bytes == content, "pread64 gave the content of another file")?;
            }
            _ => {
                let opened = poster.open(c"content", libc::O_RDONLY | libc::O_CLOEXEC)?;
                ensure(opened >= 0, format!("openat gave {opened}"))?;
                let (_, bytes) = poster.read(opened as i32, content.len())?;
                ensure(bytes == content, "read gave the content of another file")?;
                expect("close", poster.close(opened as i32)?, 0)?;
            }
        }
    }
    Ok(())
}

fn several(place: &Place) -> Result<(), String> {
    place.file("content", b"content of all")?;
    let file = fs::File::open("content").map_err(|why| why.to_string())?;
    let mut rng = Rng::new(place.seed);
    let mut posters = Vec::new();
    for which in 0..8 {
        posters.push(Poster::new(MODES[which % 2])?);
    }
    for _ in 0..10 * place.rounds {
        for poster in &mut posters {
            work(poster, file.as_raw_fd(), b"content of all", 3, &mut rng)?;
        }
    }
    // One context's end is none of the others' business.
    while let Some(gone) = posters.pop() {
        drop(gone);
        for poster in &mut posters {
            work(poster, file.as_raw_fd(), b"content of all", 2, &mut rng)?;
        }
    }
    Ok(())
}

fn processes(place: &Place) -> Result<(), String> {
    let mut children = Vec::new();
    for which in 0..6_u64 {
        let dir = place.dir.join(format!("{which}"));
        fs::create_dir(&dir).map_err(|why| why.to_string())?;
        let content = format!("content of process {which}").into_bytes();
        fs::write(dir.join("content"), &content).map_err(|why| why.to_string())?;
        let seed = place.seed + which;
        let rounds = 60 * place.rounds;
        let child = Child::spawn(move || {
            let result = std::env::set_current_dir(&dir)
                .map_err(|why| why.to_string())
                .and_then(|()| {
                    let file = fs::File::open("content").map_err(|why| why.to_string())?;
                    let mut poster = Poster::new(MODES[which as usize % 2])?;
                    let mut rng = Rng::new(seed);
                    work(&mut poster, file.as_raw_fd(), &content, rounds, &mut rng)
                });
            match result {
                Ok(()) => 0,
                Err(why) => {
                    eprintln!("process {which}: {why}");
                    1
                }
            }
        });
        children.push(child.map_err(|why| why.to_string())?);
    }
    for (which, child) in children.iter_mut().enumerate() {
        let end = child.wait(Duration::from_secs(60));
        ensure(
            end == Some(End::Exit(0)),
            format!("process {which}: {end:?}"),
        )?;
    }
    Ok(())
}

fn threads(place: &Place) -> Result<(), String> {
    place.file("content", b"shared by threads")?;
    let file = Arc::new(fs::File::open("content").map_err(|why| why.to_string())?);
    for mode in MODES {
        let poster = Arc::new(Mutex::new(Poster::new(mode)?));
        let mut handles = Vec::new();
        for which in 0..4 {
            let (poster, file) = (poster.clone(), file.clone());
            let (seed, rounds) = (place.seed + which, 20 * place.rounds);
            handles.push(std::thread::spawn(move || {
                let mut rng = Rng::new(seed);
                for _ in 0..rounds {
                    let mut poster = poster.lock().map_err(|_| "another thread panicked")?;
                    work(
                        &mut poster,
                        file.as_raw_fd(),
                        b"shared by threads",
                        1,
                        &mut rng,
                    )?;
                }
                Ok::<(), String>(())
            }));
        }
        for handle in handles {
            handle.join().map_err(|_| "a thread panicked")??;
        }
    }
    Ok(())
}

fn mapped_in_this_process() -> Result<bool, String> {
    let maps = fs::read_to_string("/proc/self/maps").map_err(|why| why.to_string())?;
    Ok(maps.contains("/dev/flexsc"))
}

fn errno_of(result: std::io::Result<i32>) -> i64 {
    match result {
        Ok(value) => i64::from(value),
        Err(why) => -i64::from(why.raw_os_error().unwrap_or(0)),
    }
}

/// In a process that the context does not belong to: every ioctl and mmap fails, poll says so.
fn is_refused(fd: i32, map_size: usize) -> Result<(), String> {
    // SAFETY: this request takes no argument.
    let ret = unsafe { libc::ioctl(fd, abi::IOC_KICK.into(), 0) };
    ensure(ret == -1, "kick works in another process")?;
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    expect("kick's errno", i64::from(errno), i64::from(libc::EPERM))?;
    let mut wait = abi::Wait {
        min_complete: 0,
        flags: 0,
        timeout_ns: 0,
    };
    expect(
        "wait",
        errno_of(ioctl(fd, abi::IOC_WAIT, &mut wait)),
        -i64::from(libc::EPERM),
    )?;
    let mut setup = setup_request(64);
    let again = errno_of(ioctl(fd, abi::IOC_SETUP, &mut setup));
    ensure(again < 0, "a second set-up works from another process")?;
    // SAFETY: a fresh mapping at an address of the kernel's choice; it is expected to fail.
    let map = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            map_size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd,
            0,
        )
    };
    ensure(
        map == libc::MAP_FAILED,
        "another process can map the context",
    )
}

fn fork_child(_: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        poster.nop()?;
        let (fd, size) = (poster.context.fd(), poster.context.mapping().1);
        let mut child = Child::spawn(move || {
            let verdict = mapped_in_this_process().and_then(|mapped| {
                ensure(!mapped, "the child has the mapping")?;
                is_refused(fd, size)?;
                // A context of its own is fine.
                Poster::new(mode)?.nop()
            });
            crate::process::status_of("child", || verdict)
        })
        .map_err(|why| why.to_string())?;
        let mut calls = 0;
        let end = loop {
            poster.nop()?;
            calls += 1;
            if let Some(end) = child.wait(Duration::ZERO) {
                break end;
            }
            ensure(calls < 1_000_000, "the child hangs")?;
        };
        ensure(end == End::Exit(0), format!("the child ended by {end:?}"))?;
        poster.nop()?;
    }
    Ok(())
}

/// In a process that shares the memory of the context's, but is none of its threads.
extern "C" fn kick_as_stranger(fd: *mut libc::c_void) -> libc::c_int {
    // SAFETY: this request takes no argument.
    let ret = unsafe { libc::ioctl(fd as i32, abi::IOC_KICK.into(), 0) };
    libc::c_int::from(ret >= 0)
}

fn memory_child(_: &Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Lanes)?;
    let mut stack = vec![0_u8; 64 << 10];
    let mut status = -1;
    // SAFETY: the stack is the child's alone until it has ended, which vfork's kind of waiting sees to; the child
    // makes one system call and touches nothing else of ours but errno.
    let cloned = unsafe {
        let top = stack.as_mut_ptr().add(stack.len() - 64);
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let fd = poster.context.fd() as usize as *mut libc::c_void;
        let pid = libc::clone(kick_as_stranger, top.cast(), flags, fd);
        let cloned = libc_ok("clone", pid.into());
        libc::waitpid(pid, &raw mut status, 0);
        cloned
    };
    cloned?;
    expect("its exit status", status.into(), 0)?;
    poster.nop()
}

fn outlived_by_child(_: &Place) -> Result<(), String> {
    let (read, write) = crate::process::pipe().map_err(|why| why.to_string())?;
    let (report, told) = crate::process::pipe().map_err(|why| why.to_string())?;
    let mut middle = Child::spawn(|| {
        let begun = || -> Result<Poster, String> {
            let mut poster = Poster::new(Mode::Lanes)?;
            poster.nop()?;
            Ok(poster)
        };
        let poster = match begun() {
            Ok(poster) => poster,
            Err(why) => {
                eprintln!("the owner: {why}");
                return 2;
            }
        };
        let (fd, size) = (poster.context.fd(), poster.context.mapping().1);
        let grandchild = Child::spawn(|| {
            drop(write);
            let mut byte = [0_u8];
            // SAFETY: one byte of room; the read ends when the first process is gone.
            unsafe { libc::read(read.as_raw_fd(), byte.as_mut_ptr().cast(), 1) };
            let verdict = u8::from(is_refused(fd, size).is_ok());
            // SAFETY: one byte to write.
            unsafe { libc::write(told.as_raw_fd(), (&raw const verdict).cast(), 1) };
            0
        });
        // It is to outlive this process.
        match grandchild {
            Ok(grandchild) => std::mem::forget(grandchild),
            Err(why) => {
                eprintln!("the grandchild: {why}");
                return 2;
            }
        }
        std::mem::forget(poster);
        0
    })
    .map_err(|why| why.to_string())?;
    let end = middle.wait(Duration::from_secs(20));
    ensure(
        end == Some(End::Exit(0)),
        format!("the owner ended by {end:?}"),
    )?;
    let mut verdict = 7_u8;
    // SAFETY: one byte of room.
    let got = unsafe { libc::read(report.as_raw_fd(), (&raw mut verdict).cast(), 1) };
    expect("bytes from the grandchild", got as i64, 1)?;
    ensure(verdict == 1, "the context of a dead process can be used")
}

fn another_process(_: &Place) -> Result<(), String> {
    // A context that the child makes, its descriptor taken over by pidfd_getfd.
    let (ready, tell) = crate::process::pipe().map_err(|why| why.to_string())?;
    let mut child = Child::spawn(|| {
        let poster = match Poster::new(Mode::Lanes) {
            Ok(poster) => poster,
            Err(why) => {
                eprintln!("the process with a context: {why}");
                return 2;
            }
        };
        let fd = poster.context.fd().to_le_bytes();
        // SAFETY: the buffer is as long as said.
        unsafe { libc::write(tell.as_raw_fd(), fd.as_ptr().cast(), fd.len()) };
        std::thread::sleep(Duration::from_secs(60));
        0
    })
    .map_err(|why| why.to_string())?;
    // What the child does not write is an end of file.
    drop(tell);
    let mut fd = [0_u8; 4];
    // SAFETY: the buffer is as long as said.
    let got = unsafe { libc::read(ready.as_raw_fd(), fd.as_mut_ptr().cast(), 4) };
    expect("bytes from the child", got as i64, 4)?;
    // SAFETY: neither call takes memory.
    let stolen = unsafe {
        let handle = libc_ok(
            "pidfd_open",
            libc::syscall(libc::SYS_pidfd_open, child.pid(), 0),
        )?;
        libc::syscall(libc::SYS_pidfd_getfd, handle, i32::from_le_bytes(fd), 0)
    };
    let stolen = libc_ok("pidfd_getfd", stolen)? as i32;
    is_refused(stolen, 3 * 4096)?;
    child.kill()?;
    is_refused(stolen, 3 * 4096)
}

fn own_descriptor(_: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let other = Context::for_mode(Mode::Lanes).map_err(|why| why.to_string())?;
        for fd in [poster.context.fd(), other.fd()] {
            for nr in [
                libc::SYS_close,
                libc::SYS_read,
                libc::SYS_fstat,
                libc::SYS_lseek,
            ] {
                let mut memory = vec![0_u8; 256];
                let args = [fd as u64, memory.as_mut_ptr() as u64, 100];
                let done = poster.entry(nr, &args)?;
                ensure(
                    done.lane == crate::client::Lane::HandedBack,
                    format!("call {nr} on a context's descriptor gave {done:?} by {mode:?}"),
                )?;
            }
            // SAFETY: the command takes no memory.
            let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
            ensure(flags >= 0, "a posted close closed a context's descriptor")?;
        }
        poster.nop()?;
    }
    Ok(())
}

/// What can be had, with the free pages that each processor keeps for itself: there are the more of these the more are
/// given back at once.
fn available_kib() -> Result<i64, String> {
    // Pages on their way back to the allocator count as used.
    let _ = fs::write("/proc/sys/vm/drop_caches", "3");
    let read = |name: &str| fs::read_to_string(name).map_err(|why| why.to_string());
    let numbers = |text: &str, name: &str| -> Vec<i64> {
        let values = text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix(name));
        let numbers = values.filter_map(|value| value.split_whitespace().next()?.parse().ok());
        numbers.collect()
    };
    let available = numbers(&read("/proc/meminfo")?, "MemAvailable:");
    let kept = numbers(&read("/proc/zoneinfo")?, "count:");
    match (&available[..], &kept[..]) {
        ([], _) => Err("no MemAvailable in /proc/meminfo".into()),
        (_, []) => Err("no count in /proc/zoneinfo".into()),
        ([available, ..], kept) => Ok(available + 4 * kept.iter().sum::<i64>()),
    }
}

/// Whether the kernel keeps what was freed from being used again, to see who still touches it:
/// then memory gets less without a leak.
fn has_kasan() -> Result<bool, String> {
    let symbols = fs::read_to_string("/proc/kallsyms").map_err(|why| why.to_string())?;
    Ok(symbols.contains(" __asan_load8\n"))
}

fn cycles(place: &Place) -> Result<(), String> {
    const ROUND: u64 = 100;
    let round = |which: u64| -> Result<(), String> {
        for step in 0..ROUND {
            // Also contexts that nothing was posted to, that were not mapped, or not even set up.
            match (which + step) % 5 {
                0 => drop(open_device().map_err(|why| why.to_string())?),
                1 => {
                    let device = open_device().map_err(|why| why.to_string())?;
                    let mut request = setup_request(1024);
                    ioctl(device.as_raw_fd(), abi::IOC_SETUP, &mut request)
                        .map_err(|why| format!("set-up: {why}"))?;
                }
                2 => drop(Poster::new(Mode::Lanes)?),
                _ => Poster::new(MODES[step as usize % 2])?.nop()?,
            }
        }
        Ok(())
    };
    round(0)?;
    // One round loses something to caches and per-CPU lists; every round losing is a leak.
    let mut before = available_kib()?;
    let mut losses = Vec::new();
    // A context holds at least four pages and a thread's stack of four.
    let leak = ROUND as i64 / 2 * 16;
    for which in 0..3 * place.rounds {
        round(which)?;
        crate::process::module_unused()?;
        // The last close only begins the end of a context: giving back what it holds takes a
        // work item and grace periods of RCU.
        let mut now = available_kib()?;
        for _ in 0..100 {
            if before - now < leak {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            now = available_kib()?;
        }
        losses.push(before - now);
        before = now;
    }
    ensure(
        losses.iter().any(|loss| *loss < leak) || has_kasan()?,
        format!("each {ROUND} contexts cost memory: {losses:?} KiB"),
    )?;
    let mut looks = 0;
    while fs::read_dir("/proc/self/task")
        .map_err(|why| why.to_string())?
        .count()
        > 1
    {
        looks += 1;
        ensure(
            looks < 1000,
            "system call threads stay when their contexts are gone",
        )?;
        std::thread::sleep(Duration::from_millis(10));
    }
    // The entries' memory is of use again at once.
    let mut poster = Poster::new(Mode::Lanes)?;
    let entries = poster.context.setup().entries;
    for _ in 0..entries {
        ensure(
            poster.context.post(abi::NR_NOP, six(&[])).is_some(),
            "an entry is missing",
        )?;
    }
    poster
        .context
        .kick_if_needed()
        .map_err(|why| why.to_string())?;
    for _ in 0..entries {
        poster.complete()?;
    }
    Ok(())
}
