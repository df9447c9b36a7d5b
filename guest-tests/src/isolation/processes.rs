// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes that are traced, frozen, dumped, or execute a set-user-ID program while they have a context.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::client::{Mode, PATIENCE};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::policy::account::Group;
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::process::{Child, End, pipe};
use crate::snapshot::c_path;
use crate::tree::USER;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "a_set_user_id_program_keeps_its_rights",
            suid as fn(&Place) -> _,
        ),
        ("a_debugger_may_attach_to_all_threads", traced),
        ("a_core_is_dumped", dumped),
        ("a_core_has_no_shared_page", undumped),
        ("the_cgroup_freezer_freezes", frozen),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// What the set-user-ID program does: tells whether it has root's rights.
pub fn effective_root() -> u8 {
    // SAFETY: takes no memory.
    u8::from(unsafe { libc::geteuid() } != 0)
}

/// Executes the program as an ordinary user, with or without a context that has a call in flight.
fn exec_as_user(program: &std::ffi::CStr, mode: Option<Mode>) -> Result<Option<End>, String> {
    let mut child = Child::spawn(|| {
        let body = || -> Result<(), String> {
            let ends = pipe().map_err(|why| why.to_string())?;
            let mut buffer = [0_u8; 4];
            if let Some(mode) = mode {
                let mut poster = Poster::new(mode)?;
                poster.nop()?;
                let args = [ends.0.as_raw_fd() as u64, buffer.as_mut_ptr() as u64, 4];
                poster.post(libc::SYS_read, &args)?;
                std::mem::forget(poster);
            }
            // SAFETY: neither takes memory.
            let dropped = unsafe { libc::setgid(USER) == 0 && libc::setuid(USER) == 0 };
            ensure(
                dropped,
                format!("setuid: {}", std::io::Error::last_os_error()),
            )?;
            let arguments = [
                program.as_ptr(),
                c"--effective-root".as_ptr(),
                std::ptr::null(),
            ];
            // SAFETY: NUL-terminated strings in an array that ends with null.
            unsafe { libc::execv(program.as_ptr(), arguments.as_ptr()) };
            Err(format!("execv: {}", std::io::Error::last_os_error()))
        };
        if let Err(why) = body() {
            eprintln!("the process to execute: {why}");
        }
        9
    })
    .map_err(|why| why.to_string())?;
    Ok(child.wait(*PATIENCE))
}

fn suid(place: &Place) -> Result<(), String> {
    let path = place.dir.join("program");
    fs::copy("/proc/self/exe", &path).map_err(|why| why.to_string())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755))
        .map_err(|why| why.to_string())?;
    let program = c_path(&path);
    if exec_as_user(&program, None)? != Some(End::Exit(0)) {
        return Err(format!("{SKIP}set-user-ID programs have no effect here"));
    }
    for mode in MODES {
        let end = exec_as_user(&program, Some(mode))?;
        ensure(
            end == Some(End::Exit(0)),
            format!("with a context, {mode:?}: {end:?}"),
        )?;
    }
    Ok(())
}

/// A process with a context that has a read of a pipe in flight; told so by a byte, ended by four.
struct Busy {
    child: Child,
    write: OwnedFd,
}

impl Busy {
    fn new() -> Result<Self, String> {
        let (read, write) = pipe().map_err(|why| why.to_string())?;
        let (ready, tell) = pipe().map_err(|why| why.to_string())?;
        let child = Child::spawn(|| {
            let body = || -> Result<(), String> {
                let mut poster = Poster::new(Mode::Lanes)?;
                poster.nop()?;
                let mut buffer = [0_u8; 16];
                let args = [read.as_raw_fd() as u64, buffer.as_mut_ptr() as u64, 16];
                let reading = poster.post(libc::SYS_read, &args)?;
                fs::File::from(tell)
                    .write_all(b"r")
                    .map_err(|why| why.to_string())?;
                let done = poster.complete()?;
                ensure(done.index == reading, format!("completed {done:?}"))?;
                expect("read", done.ret, 4)?;
                ensure(&buffer[..4] == b"data", "read gave something else")?;
                poster.nop()?;
                let fd = poster.open(c".", libc::O_RDONLY)?;
                ensure(fd >= 0, format!("openat afterwards gave {fd}"))
            };
            let verdict = body();
            if let Err(why) = &verdict {
                eprintln!("busy process: {why}");
            }
            i32::from(verdict.is_err())
        })
        .map_err(|why| why.to_string())?;
        fs::File::from(ready)
            .read_exact(&mut [0])
            .map_err(|why| why.to_string())?;
        Ok(Self { child, write })
    }

    /// Lets the read end; the process must end well.
    fn finish(mut self) -> Result<(), String> {
        fs::File::from(self.write)
            .write_all(b"data")
            .map_err(|why| why.to_string())?;
        let end = self.child.wait(*PATIENCE);
        ensure(
            end == Some(End::Exit(0)),
            format!("the process ended by {end:?}"),
        )
    }
}

fn stopped(thread: i32) -> Result<(), String> {
    let started = Instant::now();
    loop {
        let mut status = 0;
        let flags = libc::__WALL | libc::WNOHANG;
        // SAFETY: the status is writable.
        let ret = unsafe { libc::waitpid(thread, &raw mut status, flags) };
        if libc_ok("waitpid", ret.into())? == i64::from(thread) {
            return ensure(libc::WIFSTOPPED(status), format!("status {status:#x}"));
        }
        if started.elapsed() > *PATIENCE {
            return Err(format!("thread {thread} does not stop for its tracer"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn trace(request: libc::c_uint, thread: i32) -> i64 {
    // SAFETY: none of the requests used here takes memory.
    unsafe { libc::ptrace(request, thread, 0, 0) }
}

fn traced(place: &Place) -> Result<(), String> {
    let busy = Busy::new()?;
    let pid = busy.child.pid();
    for _ in 0..3 * place.rounds {
        let mut threads = Vec::new();
        let table = fs::read_dir(format!("/proc/{pid}/task")).map_err(|why| why.to_string())?;
        for thread in table.flatten() {
            threads.push(
                thread
                    .file_name()
                    .to_string_lossy()
                    .parse::<i32>()
                    .unwrap_or(0),
            );
        }
        ensure(threads.len() > 1, "there is no system call thread")?;
        for &thread in &threads {
            libc_ok("PTRACE_SEIZE", trace(libc::PTRACE_SEIZE, thread))?;
            libc_ok("PTRACE_INTERRUPT", trace(libc::PTRACE_INTERRUPT, thread))?;
            stopped(thread)?;
        }
        for &thread in &threads {
            libc_ok("PTRACE_DETACH", trace(libc::PTRACE_DETACH, thread))?;
        }
    }
    busy.finish()
}

fn dumped(place: &Place) -> Result<(), String> {
    cores(place, |_| Ok(None))
}

/// How much of the mapping at `address` a core has.
fn bytes_in_core(core: &[u8], address: u64) -> Result<u64, String> {
    let word = |at: usize| -> Result<u64, String> {
        let bytes = core.get(at..at + 8).ok_or("the core is too short")?;
        Ok(u64::from_le_bytes(bytes.try_into().unwrap_or([0; 8])))
    };
    let headers = word(32)? as usize;
    let count = word(56)? as u16;
    for which in 0..usize::from(count) {
        let at = headers + which * 56;
        let (kind, start, in_file) = (word(at)? as u32, word(at + 16)?, word(at + 32)?);
        if kind == 1 && start == address {
            return Ok(in_file);
        }
    }
    Err(format!("the core knows nothing of {address:#x}"))
}

/// Also one that is asked to have everything that is mapped.
fn undumped(place: &Place) -> Result<(), String> {
    fs::write("/proc/self/coredump_filter", "0x7f").map_err(|why| why.to_string())?;
    cores(place, |busy| {
        let maps = fs::read_to_string(format!("/proc/{}/maps", busy.child.pid()));
        let maps = maps.map_err(|why| why.to_string())?;
        let line = maps.lines().find(|line| line.ends_with("/dev/flexsc"));
        let start = line.and_then(|line| line.split('-').next());
        let start = start.ok_or("the process has no mapping of the device")?;
        u64::from_str_radix(start, 16)
            .map(Some)
            .map_err(|why| why.to_string())
    })
}

/// Has processes with a context dump their cores, which have to be there, but nothing of the mapping whose address
/// `mapping` tells.
fn cores(
    place: &Place,
    mapping: impl Fn(&Busy) -> Result<Option<u64>, String>,
) -> Result<(), String> {
    let pattern = "/proc/sys/kernel/core_pattern";
    let before = fs::read_to_string(pattern).map_err(|why| why.to_string())?;
    let core = place.dir.join("core");
    fs::write(pattern, core.as_os_str().as_encoded_bytes()).map_err(|why| why.to_string())?;
    let verdict = (|| {
        let limit = libc::rlimit {
            rlim_cur: libc::RLIM_INFINITY,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: the limit is readable.
        let ret = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
        libc_ok("setrlimit", ret.into())?;
        for _ in 0..3 * place.rounds {
            let _ = fs::remove_file(&core);
            let mut busy = Busy::new()?;
            let address = mapping(&busy)?;
            busy.child.signal(libc::SIGQUIT);
            let end = busy.child.wait(*PATIENCE);
            ensure(
                end == Some(End::Signal(libc::SIGQUIT)),
                format!("the process ended by {end:?}"),
            )?;
            let size = fs::metadata(&core).map_or(0, |core| core.len());
            ensure(size > 0, "there is no core")?;
            if let Some(address) = address {
                let bytes = fs::read(&core).map_err(|why| why.to_string())?;
                let dumped = bytes_in_core(&bytes, address)?;
                expect("bytes of shared pages", dumped as i64, 0)?;
            }
        }
        Ok(())
    })();
    let restored = fs::write(pattern, before.trim_end());
    verdict.and(restored.map_err(|why| why.to_string()))
}

fn frozen(place: &Place) -> Result<(), String> {
    // Made before the group, which this process then leaves again: only the other one is to freeze.
    let busy = Busy::new()?;
    let group = Group::new(place)?;
    group.leave()?;
    group.write("cgroup.procs", &busy.child.pid().to_string())?;
    for _ in 0..3 * place.rounds {
        group.write("cgroup.freeze", "1")?;
        let started = Instant::now();
        while !group.read("cgroup.events")?.contains("frozen 1") {
            ensure(started.elapsed() < *PATIENCE, "the group does not freeze")?;
            std::thread::sleep(Duration::from_millis(5));
        }
        group.write("cgroup.freeze", "0")?;
    }
    busy.finish()
}
