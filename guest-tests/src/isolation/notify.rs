// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who watches files by inotify or fanotify sees posted calls as plain ones, and whoever is asked before is heard.

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::comparison::{Round, WAYS, Want, compare, posters, prepare};
use crate::client::Lane;
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{ensure, libc_ok};
use crate::process::Child;
use crate::shared_words::SharedWords;
use crate::snapshot::c_path;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("inotify_tells_of_posted_calls", inotify as fn(&Place) -> _),
        ("fanotify_tells_who_it_was", fanotify),
        ("a_fanotify_listener_decides", asked),
    ] {
        list.push(Behaviour { name, run });
    }
}

const HERE: u64 = libc::AT_FDCWD as u64;

fn tree() -> Result<(), String> {
    let make = || -> std::io::Result<()> {
        fs::create_dir("watched")?;
        fs::write("watched/file", "contents")?;
        fs::write("outside", "contents")
    };
    make().map_err(|why| why.to_string())
}

/// Every kind of change, in a directory that is watched.
fn changes(round: &mut Round) -> Result<(), String> {
    let at = |path: &std::ffi::CStr| path.as_ptr() as u64;
    let ok = Want::Success;
    let mut memory = [7_u8; 64];
    let room = memory.as_mut_ptr() as u64;
    let args = [HERE, at(c"watched/new"), 0o102, 0o600];
    let file = round.open("open to create", libc::SYS_openat, &args, ok)?;
    let file = file.ok_or("no file")?;
    let fd = file.as_raw_fd() as u64;
    let close = |round: &mut Round, file: OwnedFd| {
        let fd = file.into_raw_fd() as u64;
        round.call("close", libc::SYS_close, &[fd], ok).map(|_| ())
    };
    for (what, nr, args) in [
        ("write", libc::SYS_write, vec![fd, room, 32]),
        ("pread64", libc::SYS_pread64, vec![fd, room, 32, 0]),
        ("ftruncate", libc::SYS_ftruncate, vec![fd, 16]),
        ("fallocate", libc::SYS_fallocate, vec![fd, 0, 0, 64]),
        ("fchmod", libc::SYS_fchmod, vec![fd, 0o640]),
        (
            "fsetxattr",
            libc::SYS_fsetxattr,
            vec![fd, at(c"user.test"), room, 4],
        ),
    ] {
        round.call(what, nr, &args, ok)?;
    }
    close(round, file)?;
    let args = [HERE, at(c"watched/file"), 0];
    let file = round.open("open to read", libc::SYS_openat, &args, ok)?;
    close(round, file.ok_or("no file")?)?;
    let (new, moved) = (at(c"watched/new"), at(c"watched/moved"));
    let fifo = u64::from(libc::S_IFIFO | 0o600);
    for (what, nr, args) in [
        (
            "renameat2",
            libc::SYS_renameat2,
            vec![HERE, new, HERE, moved, 0],
        ),
        (
            "renameat2 out",
            libc::SYS_renameat2,
            vec![HERE, moved, HERE, at(c"gone"), 0],
        ),
        (
            "renameat2 in",
            libc::SYS_renameat2,
            vec![HERE, at(c"outside"), HERE, new, 0],
        ),
        (
            "linkat",
            libc::SYS_linkat,
            vec![HERE, new, HERE, at(c"watched/link"), 0],
        ),
        (
            "symlinkat",
            libc::SYS_symlinkat,
            vec![new, HERE, at(c"watched/sym")],
        ),
        (
            "mknodat",
            libc::SYS_mknodat,
            vec![HERE, at(c"watched/fifo"), fifo, 0],
        ),
        (
            "mkdirat",
            libc::SYS_mkdirat,
            vec![HERE, at(c"watched/dir"), 0o700],
        ),
        ("truncate", libc::SYS_truncate, vec![new, 3]),
        ("fchmodat", libc::SYS_fchmodat, vec![HERE, new, 0o600]),
        ("utimensat", libc::SYS_utimensat, vec![HERE, new, 0, 0]),
        (
            "unlinkat",
            libc::SYS_unlinkat,
            vec![HERE, at(c"watched/link"), 0],
        ),
        (
            "rmdir",
            libc::SYS_unlinkat,
            vec![HERE, at(c"watched/dir"), 0x200],
        ),
        ("unlinkat", libc::SYS_unlinkat, vec![HERE, new, 0]),
    ] {
        round.call(what, nr, &args, ok)?;
    }
    Ok(())
}

/// What is there to be read.
fn events(group: &fs::File) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0_u8; 1 << 16];
    let mut group = group;
    match group.read(&mut bytes) {
        Ok(count) => bytes.truncate(count),
        Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => bytes.clear(),
        Err(why) => return Err(why.to_string()),
    }
    Ok(bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

fn inotify(place: &Place) -> Result<(), String> {
    prepare(&place.dir, tree)?;
    let mut posters = posters()?;
    let lanes = compare(&place.dir, &mut posters, |round| {
        // SAFETY: a new descriptor that is nobody else's, and a NUL-terminated path.
        let group = unsafe {
            let fd = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
            let fd = libc_ok("inotify_init1", fd.into())? as i32;
            let group = fs::File::from_raw_fd(fd);
            let watch = libc::inotify_add_watch(fd, c"watched".as_ptr(), libc::IN_ALL_EVENTS);
            libc_ok("inotify_add_watch", watch.into())?;
            group
        };
        changes(round)?;
        let bytes = events(&group)?;
        let (mut at, mut cookies) = (0, Vec::new());
        // struct inotify_event: watch, mask, cookie, length of the name.
        while let (Some(mask), Some(cookie), Some(len)) = (
            word(&bytes, at + 4),
            word(&bytes, at + 8),
            word(&bytes, at + 12),
        ) {
            let name = &bytes[at + 16..at + 16 + len as usize];
            let name = name.iter().take_while(|byte| **byte != 0);
            let sum = name.fold(0_i64, |sum, byte| (sum * 31 + i64::from(*byte)) % 65_521);
            // Which events belong together, not the number.
            let pair = match cookie {
                0 => 0,
                _ => {
                    if !cookies.contains(&cookie) {
                        cookies.push(cookie);
                    }
                    cookies.len() as i64
                }
            };
            round.note("an event's kind", mask.into())?;
            round.note("an event's name", sum)?;
            round.note("an event's cookie", pair)?;
            at += 16 + len as usize;
        }
        ensure(
            cookies.len() == 3,
            format!("{} renames were told", cookies.len()),
        )
    })?;
    lanes.executed(&[
        "open to create",
        "write",
        "close",
        "renameat2",
        "unlinkat",
        "mkdirat",
    ])?;
    lanes.exactly("write", &[Lane::Worker, Lane::Caller])
}

/// struct fanotify_event_metadata.
#[repr(C)]
#[derive(Clone, Copy)]
struct Event {
    len: u32,
    version: u8,
    reserved: u8,
    metadata_len: u16,
    mask: u64,
    fd: i32,
    pid: i32,
}

const SIZE: usize = size_of::<Event>();

/// A group that is told of `mask` on a file or a directory and what is in it.
fn group(class: u32, path: &Path, mask: u64) -> Result<fs::File, String> {
    let skip = |what: &str| format!("{SKIP}{what}: {}", std::io::Error::last_os_error());
    // SAFETY: a NUL-terminated path, and a descriptor that is nobody else's.
    unsafe {
        let flags = class | libc::FAN_CLOEXEC;
        let fd = libc::fanotify_init(flags, (libc::O_RDONLY | libc::O_LARGEFILE) as u32);
        if fd < 0 {
            return Err(skip("fanotify_init"));
        }
        let group = fs::File::from_raw_fd(fd);
        let path = c_path(path);
        let add = libc::FAN_MARK_ADD;
        if libc::fanotify_mark(fd, add, mask, libc::AT_FDCWD, path.as_ptr()) < 0 {
            return Err(skip("fanotify_mark"));
        }
        Ok(group)
    }
}

/// The events that are there; their descriptors are closed.
fn told(group: &fs::File) -> Result<Vec<Event>, String> {
    let bytes = events(group)?;
    let mut list = Vec::new();
    for chunk in bytes.chunks_exact(SIZE) {
        // SAFETY: the kernel writes whole structures, which all of their bit patterns are valid for.
        let event = unsafe { chunk.as_ptr().cast::<Event>().read_unaligned() };
        if event.fd >= 0 {
            // SAFETY: the event's descriptor is ours to close.
            drop(unsafe { OwnedFd::from_raw_fd(event.fd) });
        }
        list.push(event);
    }
    Ok(list)
}

/// Whose process an event tells of: the process's own, or a worker of the kernel.
fn is_worker(pid: i32) -> Result<bool, String> {
    if pid == std::process::id() as i32 {
        return Ok(false);
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    let name = name.map_err(|why| format!("process {pid}: {why}"))?;
    ensure(
        name.starts_with("kworker"),
        format!("an event tells of process {pid}, {name:?}"),
    )?;
    Ok(true)
}

fn fanotify(place: &Place) -> Result<(), String> {
    prepare(&place.dir, tree)?;
    let mut posters = posters()?;
    let mask = libc::FAN_OPEN | libc::FAN_ACCESS | libc::FAN_MODIFY | libc::FAN_CLOSE;
    compare(&place.dir, &mut posters, |round| {
        let class = libc::FAN_CLASS_NOTIF | libc::FAN_NONBLOCK;
        let mask = mask | libc::FAN_EVENT_ON_CHILD;
        let group = group(class, Path::new("watched"), mask)?;
        let mut memory = [7_u8; 64];
        let room = memory.as_mut_ptr() as u64;
        let after = |round: &mut Round, what, in_w: bool| -> Result<(), String> {
            let in_w = in_w && WAYS[round.way()] == "lanes";
            for event in told(&group)? {
                round.note(what, event.mask as i64)?;
                ensure(
                    is_worker(event.pid)? == in_w,
                    format!("{what}, {}: process {}", WAYS[round.way()], event.pid),
                )?;
            }
            Ok(())
        };
        let args = [HERE, c"watched/file".as_ptr() as u64, 2];
        let file = round.open("open", libc::SYS_openat, &args, Want::Success)?;
        let file = file.ok_or("no file")?;
        after(round, "told of the open", false)?;
        let fd = file.into_raw_fd() as u64;
        for (what, told, nr, args) in [
            (
                "read",
                "told of the read",
                libc::SYS_read,
                vec![fd, room, 4],
            ),
            (
                "write",
                "told of the write",
                libc::SYS_write,
                vec![fd, room, 4],
            ),
        ] {
            round.call(what, nr, &args, Want::Success)?;
            after(round, told, true)?;
        }
        round.call("close", libc::SYS_close, &[fd], Want::Success)?;
        after(round, "told of the close", false)
    })?
    .exactly("write", &[Lane::Worker, Lane::Caller])
}

/// What the listener of [`asked`] shares with the process that it decides about.
const DENIES: usize = 0;
const EVENTS: usize = 1;
const STRANGERS: usize = 2;

/// Answers everything that it is asked, and counts.
fn answers(mut group: fs::File, asks: u32, words: &SharedWords) -> i32 {
    let mut bytes = vec![0_u8; 64 * SIZE];
    loop {
        let Ok(count) = group.read(&mut bytes) else {
            return 1;
        };
        for chunk in bytes[..count].chunks_exact(SIZE) {
            // SAFETY: as in `told`.
            let event = unsafe { chunk.as_ptr().cast::<Event>().read_unaligned() };
            words[EVENTS].fetch_add(1, Ordering::Relaxed);
            if event.pid != asks as i32 {
                words[STRANGERS].fetch_add(1, Ordering::Relaxed);
            }
            let denied = words[DENIES].load(Ordering::Relaxed) & event.mask != 0;
            let response = [
                event.fd as u32,
                if denied {
                    libc::FAN_DENY
                } else {
                    libc::FAN_ALLOW
                },
            ];
            // SAFETY: the response has this size, and the event's descriptor is ours to close.
            unsafe {
                libc::write(group.as_raw_fd(), response.as_ptr().cast(), 8);
                libc::close(event.fd);
            }
        }
    }
}

fn asked(place: &Place) -> Result<(), String> {
    prepare(&place.dir, tree)?;
    let mut posters = posters()?;
    let words = SharedWords::new(3).map_err(|why| why.to_string())?;
    let (open, read) = (libc::FAN_OPEN_PERM, libc::FAN_ACCESS_PERM);
    let me = std::process::id();
    let lanes = compare(&place.dir, &mut posters, |round| {
        let group = group(
            libc::FAN_CLASS_CONTENT,
            Path::new("watched/file"),
            open | read,
        )?;
        let mut listener =
            Child::spawn(|| answers(group, me, &words)).map_err(|why| why.to_string())?;
        let refused = Want::Refused(libc::EPERM);
        let mut memory = [0_u8; 64];
        let room = memory.as_mut_ptr() as u64;
        let args = [HERE, c"watched/file".as_ptr() as u64, 0];
        for (denies, may_open, may_read) in [
            (0, Want::Success, Want::Success),
            (open, refused, Want::Success),
            (read, Want::Success, refused),
        ] {
            words[DENIES].store(0, Ordering::Relaxed);
            words[EVENTS].store(0, Ordering::Relaxed);
            let mut file = None;
            if denies == open {
                let opened = fs::File::open("watched/file").map_err(|why| why.to_string())?;
                file = Some(OwnedFd::from(opened));
            }
            words[DENIES].store(denies, Ordering::Relaxed);
            let opened = round.open("open", libc::SYS_openat, &args, may_open)?;
            let file = file.or(opened).ok_or("no file")?;
            let args = [file.as_raw_fd() as u64, room, 4, 0];
            round.call("pread64", libc::SYS_pread64, &args, may_read)?;
            let asked = words[EVENTS].load(Ordering::Relaxed);
            round.note("how often it was asked", asked as i64)?;
            ensure(asked >= 2, format!("it was asked {asked} times"))?;
        }
        listener.kill()
    })?;
    let strangers = words[STRANGERS].load(Ordering::Relaxed);
    ensure(
        strangers == 0,
        format!("{strangers} events told of another process"),
    )?;
    lanes.executed(&["open"])?;
    // Neither a page worker nor the caller of wait waits for a listener.
    lanes.exactly("pread64", &[Lane::Thread])
}
