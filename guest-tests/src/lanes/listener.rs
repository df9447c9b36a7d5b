// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file of which a fanotify listener is asked before anybody gets at its content.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::client::{Lane, Mode};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{Poster, ensure};
use crate::process::pipe;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    list.push(Behaviour {
        name: "what_a_listener_is_asked_with_locks_held_is_handed_back",
        run: listened,
    });
}

const FAN_PRE_ACCESS: u64 = 0x0010_0000;

/// A listener that wants to be asked before anybody gets at the content of "file"; it never answers.
fn listener() -> Result<OwnedFd, String> {
    let skip = |what: &str| format!("{SKIP}{what}: {}", std::io::Error::last_os_error());
    // SAFETY: a NUL-terminated path, and a descriptor that is nobody else's.
    unsafe {
        let flags = libc::FAN_CLASS_PRE_CONTENT | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK;
        let group = libc::fanotify_init(flags, libc::O_RDONLY as u32);
        if group < 0 {
            return Err(skip("fanotify_init"));
        }
        let group = OwnedFd::from_raw_fd(group);
        let (fd, add) = (group.as_raw_fd(), libc::FAN_MARK_ADD);
        let file = c"file".as_ptr();
        if libc::fanotify_mark(fd, add, FAN_PRE_ACCESS, libc::AT_FDCWD, file) < 0 {
            return Err(skip("fanotify_mark"));
        }
        Ok(group)
    }
}

/// Whether each of these is handed back, of the file as it is opened now.
fn handed_back(back: bool) -> Result<(), String> {
    for mode in [Mode::Lanes, Mode::Caller] {
        let mut poster = Poster::new(mode)?;
        let open = fs::OpenOptions::new().read(true).write(true).open("file");
        let file = open.map_err(|why| why.to_string())?;
        let (_read, write) = pipe().map_err(|why| why.to_string())?;
        let (file, pipe) = (file.as_raw_fd() as u64, write.as_raw_fd() as u64);
        for (what, nr, args) in [
            ("ftruncate", libc::SYS_ftruncate, [file, 8, 0, 0, 0]),
            ("splice", libc::SYS_splice, [file, 0, pipe, 0, 4]),
            ("sendfile", libc::SYS_sendfile, [pipe, file, 0, 4, 0]),
        ] {
            let done = poster.entry(nr, &args)?;
            ensure(
                (done.lane == Lane::HandedBack) == back,
                format!("{what} by {mode:?} gave {done:?}"),
            )?;
        }
    }
    Ok(())
}

fn listened(place: &Place) -> Result<(), String> {
    place.file("file", b"contents")?;
    handed_back(false)?;
    let listener = listener()?;
    handed_back(true)?;
    drop(listener);
    handed_back(false)
}
