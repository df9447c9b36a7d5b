// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that block, and closes that somebody waits for.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Behaviour, Place};
use crate::client::{Context, Mode};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::process::{Child, End, pipe};
use crate::tree::mount_tmpfs;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("a_blocked_fifo_holds_nobody", fifo as fn(&Place) -> _),
        ("many_blocked_fifos_hold_nobody", fifos),
        ("a_blocked_read_ends_with_data", pipe_read),
        ("a_blocked_write_ends_with_room", pipe_write),
        ("a_posted_close_gives_end_of_file", close_is_eof),
        ("a_posted_close_lets_unmount", close_unmounts),
        ("a_posted_close_gives_a_lock_up", close_unlocks),
        ("close_with_calls_in_flight", close_in_flight),
        ("unmap_with_calls_in_flight", unmap_in_flight),
        ("close_with_blocked_calls", close_blocked),
        ("stop_and_continue_restart_calls", stop_continue),
        ("signals_do_not_disturb_posted_calls", signals),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// A FIFO in the current directory.
pub fn make_fifo(name: &std::ffi::CStr) -> Result<(), String> {
    // SAFETY: a NUL-terminated name.
    libc_ok(
        "mkfifo",
        i64::from(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }),
    )
    .map(|_| ())
}

/// Posts an open of a FIFO that has no writer.
pub fn post_blocking_open(poster: &mut Poster, name: &std::ffi::CStr) -> Result<u32, String> {
    let args = [
        libc::AT_FDCWD as u64,
        name.as_ptr() as u64,
        (libc::O_RDONLY | libc::O_CLOEXEC) as u64,
        0,
    ];
    poster.post(libc::SYS_openat, &args)
}

/// Posts path calls and takes their completions, which must all come although `blocked` does not.
pub fn others_complete(poster: &mut Poster, blocked: &[u32], rounds: u32) -> Result<(), String> {
    let mut stats = vec![[0_u8; 256]; 8];
    for _ in 0..rounds {
        for stat in &mut stats {
            let args = [
                libc::AT_FDCWD as u64,
                c".".as_ptr() as u64,
                0,
                0x7ff,
                stat.as_mut_ptr() as u64,
            ];
            poster.post(libc::SYS_statx, &args)?;
        }
        for _ in 0..stats.len() {
            let done = poster.complete()?;
            ensure(
                !blocked.contains(&done.index),
                format!("the open did not block: {done:?}"),
            )?;
            expect("statx", done.ret, 0)?;
        }
    }
    Ok(())
}

fn open_writer(name: &str) -> Result<fs::File, String> {
    fs::OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(name)
        .map_err(|why| format!("{name}: no reader waits: {why}"))
}

fn fifo(place: &Place) -> Result<(), String> {
    make_fifo(c"fifo")?;
    let mut poster = Poster::new(Mode::Lanes)?;
    for _ in 0..3 * place.rounds {
        let blocked = post_blocking_open(&mut poster, c"fifo")?;
        others_complete(&mut poster, &[blocked], 10)?;
        let writer = open_writer("fifo")?;
        let done = poster.complete()?;
        expect(
            "the entry that completes",
            i64::from(done.index),
            i64::from(blocked),
        )?;
        ensure(
            done.ret >= 0 && !done.handed_back(),
            format!("the open gave {done:?}"),
        )?;
        expect("close", poster.close(done.ret as i32)?, 0)?;
        drop(writer);
    }
    Ok(())
}

fn fifos(place: &Place) -> Result<(), String> {
    const COUNT: usize = 5;
    let mut poster = Poster::new(Mode::Lanes)?;
    for round in 0..place.rounds {
        let names: Vec<_> = (0..COUNT)
            .map(|which| std::ffi::CString::new(format!("fifo{round}-{which}")).unwrap_or_default())
            .collect();
        let mut blocked = Vec::new();
        for name in &names {
            make_fifo(name)?;
            blocked.push(post_blocking_open(&mut poster, name)?);
        }
        others_complete(&mut poster, &blocked, 10)?;
        let mut writers = Vec::new();
        for name in &names {
            // The thread may not have come to this one yet.
            let name = name.to_string_lossy().into_owned();
            let mut writer = open_writer(&name);
            for _ in 0..2000 {
                if writer.is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
                writer = open_writer(&name);
            }
            writers.push(writer?);
        }
        for _ in 0..COUNT {
            let done = poster.complete()?;
            ensure(
                blocked.contains(&done.index),
                format!("unexpected completion {done:?}"),
            )?;
            ensure(done.ret >= 0, format!("the open gave {done:?}"))?;
            // SAFETY: the open has just returned this descriptor to us.
            unsafe { libc::close(done.ret as i32) };
        }
    }
    Ok(())
}

fn pipe_read(_: &Place) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let mut buffer = vec![0_u8; 16];
    let args = [read.as_raw_fd() as u64, buffer.as_mut_ptr() as u64, 16];
    let blocked = poster.post(libc::SYS_read, &args)?;
    others_complete(&mut poster, &[blocked], 10)?;
    fs::File::from(write)
        .write_all(b"data")
        .map_err(|why| why.to_string())?;
    let done = poster.complete()?;
    expect("read", done.ret, 4)?;
    ensure(&buffer[..4] == b"data", "read gave something else")
}

fn pipe_write(_: &Place) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let bytes = vec![9_u8; 200_000];
    let args = [
        write.as_raw_fd() as u64,
        bytes.as_ptr() as u64,
        bytes.len() as u64,
    ];
    let blocked = poster.post(libc::SYS_write, &args)?;
    others_complete(&mut poster, &[blocked], 10)?;
    let mut got = vec![0_u8; bytes.len()];
    fs::File::from(read)
        .read_exact(&mut got)
        .map_err(|why| why.to_string())?;
    let done = poster.complete()?;
    expect("write", done.ret, bytes.len() as i64)?;
    ensure(got == bytes, "the reader got something else")
}

fn close_is_eof(place: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..10 * place.rounds {
            let (read, write) = pipe().map_err(|why| why.to_string())?;
            let reader = std::thread::spawn(move || {
                let mut rest = Vec::new();
                fs::File::from(read).read_to_end(&mut rest).map(|_| rest)
            });
            let fd = write.as_raw_fd();
            expect("write", poster.write(fd, b"last words")?, 10)?;
            // Ownership goes to the posted close.
            std::mem::forget(write);
            expect("close", poster.close(fd)?, 0)?;
            let rest = reader.join().map_err(|_| "the reader panicked")?;
            let rest = rest.map_err(|why| why.to_string())?;
            ensure(rest == b"last words", "the reader got something else")?;
            // SAFETY: the command takes no memory.
            let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
            ensure(flags < 0, "the descriptor is still open")?;
        }
    }
    Ok(())
}

fn close_unmounts(place: &Place) -> Result<(), String> {
    let dir = place.dir.join("mount");
    fs::create_dir(&dir).map_err(|why| why.to_string())?;
    let path = place.path("mount");
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for which in 0..5 {
            mount_tmpfs(&dir, "size=1m").map_err(|why| format!("mount: {why}"))?;
            // Opened and used through the page, too: nothing of that may stay.
            let fd = poster.open(c"mount/file", libc::O_RDWR | libc::O_CREAT)?;
            ensure(fd >= 0, format!("openat gave {fd}"))?;
            expect("write", poster.write(fd as i32, b"x")?, 1)?;
            expect("close", poster.close(fd as i32)?, 0)?;
            // SAFETY: a NUL-terminated path.
            let ret = unsafe { libc::umount2(path.as_ptr(), 0) };
            libc_ok(
                &format!("umount at once after the close, round {which} by {mode:?}"),
                ret.into(),
            )?;
        }
    }
    Ok(())
}

fn close_unlocks(place: &Place) -> Result<(), String> {
    place.file("lock", b"")?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..10 {
            let fd = poster.open(c"lock", libc::O_RDWR)? as i32;
            ensure(fd >= 0, format!("openat gave {fd}"))?;
            // SAFETY: neither call takes memory.
            libc_ok("flock", unsafe { libc::flock(fd, libc::LOCK_EX) }.into())?;
            expect("close", poster.close(fd)?, 0)?;
            let other = fs::File::open("lock").map_err(|why| why.to_string())?;
            // SAFETY: as above.
            let ret = unsafe { libc::flock(other.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
            libc_ok("flock at once after the close", ret.into())?;
        }
    }
    Ok(())
}

/// Fills the page with calls of all lanes, some of which block.
pub fn fill(
    poster: &mut Poster,
    memory: &mut [u8],
    pipe_end: i32,
    file: i32,
) -> Result<(), String> {
    let address = memory.as_mut_ptr() as u64;
    post_blocking_open(poster, c"fifo")?;
    poster.post(libc::SYS_read, &[pipe_end as u64, address, 64])?;
    for which in 0..12_u64 {
        let place = address + 64 * (1 + which % 8);
        match which % 3 {
            0 => poster.post(libc::SYS_pread64, &[file as u64, place, 64, 0])?,
            1 => poster.post(libc::SYS_fsync, &[file as u64])?,
            _ => {
                let args = [
                    libc::AT_FDCWD as u64,
                    c".".as_ptr() as u64,
                    0,
                    0x7ff,
                    address + 1024,
                ];
                poster.post(libc::SYS_statx, &args)?
            }
        };
    }
    Ok(())
}

struct Loaded {
    poster: Poster,
    _memory: &'static mut [u8],
    _ends: (OwnedFd, OwnedFd),
    _file: fs::File,
}

/// A context with calls in flight that point to memory which is never given back.
fn loaded(mode: Mode) -> Result<Loaded, String> {
    if fs::metadata("fifo").is_err() {
        make_fifo(c"fifo")?;
    }
    fs::write("file", [5_u8; 4096]).map_err(|why| why.to_string())?;
    let file = fs::OpenOptions::new().read(true).write(true).open("file");
    let file = file.map_err(|why| why.to_string())?;
    let ends = pipe().map_err(|why| why.to_string())?;
    let memory: &'static mut [u8] = Box::leak(vec![0_u8; 4096].into_boxed_slice());
    let mut poster = Poster::new(mode)?;
    fill(&mut poster, memory, ends.0.as_raw_fd(), file.as_raw_fd())?;
    Ok(Loaded {
        poster,
        _memory: memory,
        _ends: ends,
        _file: file,
    })
}

fn goes_on() -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        poster.nop()?;
        let fd = poster.open(c"file", libc::O_RDONLY)?;
        ensure(fd >= 0, format!("openat gave {fd}"))?;
        expect("read", poster.read(fd as i32, 100)?.0, 100)?;
        expect("close", poster.close(fd as i32)?, 0)?;
    }
    Ok(())
}

fn close_in_flight(place: &Place) -> Result<(), String> {
    for which in 0..10 * place.rounds {
        let loaded = loaded(MODES[which as usize % 2])?;
        let fd = loaded.poster.context.fd();
        // SAFETY: the descriptor is closed under the context's feet: that is the test. The context is
        // forgotten below, so that nobody closes the number again.
        libc_ok("close", unsafe { libc::close(fd) }.into())?;
        std::thread::sleep(Duration::from_millis(which % 4));
        let (map, size) = loaded.poster.context.mapping();
        std::mem::forget(loaded.poster);
        // SAFETY: our own mapping, whose owner is forgotten.
        libc_ok("munmap", unsafe { libc::munmap(map.cast(), size) }.into())?;
        goes_on()?;
    }
    Ok(())
}

fn unmap_in_flight(place: &Place) -> Result<(), String> {
    for which in 0..10 * place.rounds {
        let loaded = loaded(MODES[which as usize % 2])?;
        let device = loaded.poster.context.unmap();
        std::thread::sleep(Duration::from_millis(which % 4));
        goes_on()?;
        drop(device);
        goes_on()?;
    }
    Ok(())
}

fn close_blocked(place: &Place) -> Result<(), String> {
    for _ in 0..5 * place.rounds {
        let mut loaded = loaded(Mode::Lanes)?;
        // Until only the two that block are left.
        for _ in 0..12 {
            loaded.poster.complete()?;
        }
        std::thread::sleep(Duration::from_millis(5));
        drop(loaded);
        goes_on()?;
    }
    Ok(())
}

fn stop_continue(place: &Place) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let (ready, tell) = pipe().map_err(|why| why.to_string())?;
    make_fifo(c"fifo")?;
    let mut child = Child::spawn(|| {
        let body = || -> Result<(), String> {
            let mut poster = Poster::new(Mode::Lanes)?;
            let mut buffer = vec![0_u8; 16];
            let args = [read.as_raw_fd() as u64, buffer.as_mut_ptr() as u64, 16];
            let blocked = poster.post(libc::SYS_read, &args)?;
            others_complete(&mut poster, &[blocked], 3)?;
            fs::File::from(tell)
                .write_all(b"r")
                .map_err(|why| why.to_string())?;
            let done = poster.complete()?;
            expect("read across a stop", done.ret, 4)?;
            ensure(&buffer[..4] == b"data", "read gave something else")?;
            poster.nop()
        };
        crate::process::status_of("stopped process", body)
    })
    .map_err(|why| why.to_string())?;
    if let Err(why) = fs::File::from(ready).read_exact(&mut [0]) {
        // It has said why by then.
        let end = child.wait(Duration::from_secs(60));
        return Err(format!(
            "the process ended by {end:?} and was not ready: {why}"
        ));
    }
    for _ in 0..3 * place.rounds {
        child.signal(libc::SIGSTOP);
        let mut status = 0;
        // SAFETY: the status is writable.
        let ret = unsafe { libc::waitpid(child.pid(), &raw mut status, libc::WUNTRACED) };
        libc_ok("waitpid", ret.into())?;
        ensure(
            libc::WIFSTOPPED(status),
            format!("the process did not stop: {status:#x}"),
        )?;
        child.signal(libc::SIGCONT);
    }
    fs::File::from(write)
        .write_all(b"data")
        .map_err(|why| why.to_string())?;
    let end = child.wait(Duration::from_secs(60));
    ensure(
        end == Some(End::Exit(0)),
        format!("the process ended by {end:?}"),
    )
}

static CAUGHT: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    CAUGHT.fetch_add(1, Ordering::Relaxed);
}

/// Catches `signal` and counts it, without restarting what it interrupts.
pub fn catch(signal: i32) {
    // SAFETY: all zeroes is a valid value; the handler only adds to an atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

/// How many signals were caught.
pub fn caught() -> u32 {
    CAUGHT.load(Ordering::Relaxed)
}

fn signals(place: &Place) -> Result<(), String> {
    catch(libc::SIGUSR1);
    make_fifo(c"fifo")?;
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let mut buffer = vec![0_u8; 16];
    let args = [read.as_raw_fd() as u64, buffer.as_mut_ptr() as u64, 16];
    let reading = poster.post(libc::SYS_read, &args)?;
    let opening = post_blocking_open(&mut poster, c"fifo")?;
    for _ in 0..30 * place.rounds {
        // SAFETY: a signal to ourselves, which is caught.
        unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
        others_complete(&mut poster, &[reading, opening], 1)?;
    }
    ensure(caught() > 0, "no signal was caught")?;
    // SAFETY: a copy of a descriptor that we own; each is closed once.
    let mut end = unsafe { fs::File::from_raw_fd(libc::dup(write.as_raw_fd())) };
    end.write_all(b"data").map_err(|why| why.to_string())?;
    let _writer = open_writer("fifo")?;
    for _ in 0..2 {
        let done = poster.complete()?;
        if done.index == reading {
            expect("read among signals", done.ret, 4)?;
        } else {
            ensure(done.ret >= 0, format!("open among signals gave {done:?}"))?;
        }
    }
    Ok(())
}

/// A context whose page is full of calls, for tests that end the process.
pub fn loaded_context(mode: Mode) -> Result<Context, String> {
    let loaded = loaded(mode)?;
    std::mem::forget((loaded._ends, loaded._file));
    Ok(loaded.poster.context)
}
