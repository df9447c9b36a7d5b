// SPDX-License-Identifier: MIT OR Apache-2.0
//! Leases and delegations that another process holds: who breaks them waits in a thread of its own, and nobody else.

use std::ffi::CStr;
use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use libflexsc::sys as abi;

use crate::cancel::request::cancel;
use crate::client::{Lane, Mode, plain};
use crate::lanes::sleeping::others_go_on;
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{MODES, Poster, ensure, expect, six};
use crate::process::{Child, pipe};
use crate::suite::until;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("a_leased_file_is_waited_for", leased as fn(&Place) -> _),
        ("a_delegation_is_waited_for", delegated),
        ("who_waits_for_a_lease_can_be_killed", killed),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// F_SETDELEG of Linux's include/uapi/linux/fcntl.h.
const SET_DELEGATION: libc::c_int = 1024 + 16;

const HERE: u64 = libc::AT_FDCWD as u64;

/// What is held of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// A lease for writing, which every open breaks.
    Lease,
    /// A delegation for reading, as an NFS server gives one: who changes the file or its name breaks it.
    Delegation,
}

/// A process that holds something of a file, and does not give it up when it is asked to.
struct Holder {
    _child: Child,
    tell: fs::File,
    hear: fs::File,
}

impl Holder {
    fn new(path: &CStr, hold: Hold) -> Result<Self, String> {
        let (mut told, tell) = pipes()?;
        let (hear, mut heard) = pipes()?;
        let child = Child::spawn(|| {
            // SAFETY: nothing but the NUL-terminated path and the structure, which live through the calls.
            let taken = unsafe {
                libc::signal(libc::SIGIO, libc::SIG_IGN);
                let fd = libc::open(path.as_ptr(), libc::O_RDONLY);
                match hold {
                    Hold::Lease => libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK),
                    Hold::Delegation => {
                        // No flags, then the type.
                        let request = [0_u32, libc::F_RDLCK as u32];
                        libc::fcntl(fd, SET_DELEGATION, request.as_ptr())
                    }
                }
            };
            let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
            let answer = if taken < 0 { errno as u8 } else { 0 };
            let _ = heard.write_all(&[answer]);
            // Until the other end is written to, or closed.
            let _ = told.read(&mut [0]);
            0
        });
        let mut this = Self {
            _child: child.map_err(|why| why.to_string())?,
            tell,
            hear,
        };
        let mut answer = [0];
        let read = this.hear.read_exact(&mut answer);
        read.map_err(|why| format!("the holder: {why}"))?;
        match i32::from(answer[0]) {
            0 => Ok(this),
            libc::EINVAL => Err(format!("{SKIP}the kernel has no {hold:?} of such files")),
            errno => Err(format!("{hold:?}: errno {errno}")),
        }
    }

    /// It gives up what it holds, by ending.
    fn release(mut self) -> Result<(), String> {
        self.tell.write_all(&[1]).map_err(|why| why.to_string())
    }
}

fn pipes() -> Result<(fs::File, fs::File), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    Ok((read.into(), write.into()))
}

/// Whether some thread of this process waits for a lease.
fn waits() -> bool {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return false;
    };
    tasks.flatten().any(|task| {
        fs::read_to_string(task.path().join("wchan")).is_ok_and(|text| text.contains("break_lease"))
    })
}

/// A call that breaks what a holder has of `held`: it waits in a thread, can be interrupted, and succeeds when the
/// holder gives way. Others go on meanwhile.
fn broken(
    poster: &mut Poster,
    held: &CStr,
    hold: Hold,
    (what, nr, args): (&str, libc::c_long, &[u64]),
) -> Result<i64, String> {
    let mode = poster.mode();
    let quick = fs::File::open("quick").map_err(|why| why.to_string())?;
    let mut one = || -> Result<i64, String> {
        let holder = Holder::new(held, hold)?;
        for interrupted in [true, false] {
            let index = poster.post(nr, args)?;
            if poster.mode() == Mode::Caller {
                // Takes it, finds that it would have to wait, and goes on.
                poster
                    .context
                    .wait(0, None)
                    .map_err(|why| why.to_string())?;
            }
            poster.until_asleep(index, "a thread waits for the holder", waits)?;
            if poster.mode() == Mode::Caller {
                poster.nop()?;
            } else {
                others_go_on(poster, &quick, &[index], 2)?;
            }
            let status = poster.context.status(index).load(Ordering::Acquire);
            ensure(status == abi::BUSY, format!("its status is {status}"))?;
            if interrupted {
                cancel(&poster.context, index, 0);
                let done = poster.complete()?;
                expect("cancelled", done.ret, -i64::from(libc::EINTR))?;
            }
        }
        holder.release()?;
        let done = poster.complete()?;
        ensure(!done.handed_back(), "it was handed back")?;
        Ok(done.ret)
    };
    one().map_err(|why| format!("{what}, posted by {mode:?}: {why}"))
}

fn leased(place: &Place) -> Result<(), String> {
    place.file("file", b"contents")?;
    place.file("quick", &[3; 100])?;
    let name = c"file".as_ptr() as u64;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let holder = Holder::new(c"file", Hold::Lease)?;
        for flags in [libc::O_RDONLY, libc::O_RDWR, libc::O_WRONLY | libc::O_TRUNC] {
            let flags = flags | libc::O_NONBLOCK | libc::O_CLOEXEC;
            let args = [HERE, name, flags as u64, 0];
            // SAFETY: the name lives through the call.
            let want = unsafe { plain(libc::SYS_openat as u16, six(&args)) };
            expect("the plain open", want, -i64::from(libc::EWOULDBLOCK))?;
            let done = poster.entry(libc::SYS_openat, &args)?;
            expect("the posted open", done.ret, want)?;
            ensure(done.lane != Lane::HandedBack, "it was handed back")?;
        }
        holder.release()?;
        // Another way of opening.
        let how = [0_u64, 0, libc::RESOLVE_NO_SYMLINKS];
        for (what, nr, args) in [
            ("openat to read", libc::SYS_openat, vec![HERE, name, 0, 0]),
            ("openat to write", libc::SYS_openat, vec![HERE, name, 2, 0]),
            (
                "openat2",
                libc::SYS_openat2,
                vec![HERE, name, how.as_ptr() as u64, 24],
            ),
            ("truncate", libc::SYS_truncate, vec![name, 4]),
        ] {
            let ret = broken(&mut poster, c"file", Hold::Lease, (what, nr, &args))?;
            ensure(ret >= 0, format!("{what} gave {ret}"))?;
            if ret > 0 {
                expect("close", poster.close(ret as i32)?, 0)?;
            }
        }
    }
    Ok(())
}

fn delegated(place: &Place) -> Result<(), String> {
    place.file("quick", &[3; 100])?;
    let at = |path: &CStr| path.as_ptr() as u64;
    let (file, attr, value) = (c"dir/file", at(c"user.test"), at(c"value"));
    let fifo = u64::from(libc::S_IFIFO | 0o600);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        fs::create_dir("dir").map_err(|why| why.to_string())?;
        place.file("dir/file", b"contents")?;
        let open = fs::File::open("dir/file").map_err(|why| why.to_string())?;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&open) as u64;
        let name = at(file);
        for (held, what, nr, args) in [
            // These run in lane W otherwise, where nobody could interrupt them.
            (file, "fchmod", libc::SYS_fchmod, vec![fd, 0o640]),
            (file, "fchown", libc::SYS_fchown, vec![fd, 0, 0]),
            (
                file,
                "fsetxattr",
                libc::SYS_fsetxattr,
                vec![fd, attr, value, 5],
            ),
            (file, "fremovexattr", libc::SYS_fremovexattr, vec![fd, attr]),
            (
                file,
                "fchmodat",
                libc::SYS_fchmodat,
                vec![HERE, name, 0o600],
            ),
            (
                file,
                "fchownat",
                libc::SYS_fchownat,
                vec![HERE, name, 0, 0, 0],
            ),
            (
                file,
                "utimensat",
                libc::SYS_utimensat,
                vec![HERE, name, 0, 0],
            ),
            (
                file,
                "setxattr",
                libc::SYS_setxattr,
                vec![name, attr, value, 5],
            ),
            (
                file,
                "linkat",
                libc::SYS_linkat,
                vec![HERE, name, HERE, at(c"link"), 0],
            ),
            (
                file,
                "renameat2",
                libc::SYS_renameat2,
                vec![HERE, name, HERE, at(c"moved"), 0],
            ),
            (
                c"moved",
                "unlinkat",
                libc::SYS_unlinkat,
                vec![HERE, at(c"moved"), 0],
            ),
            (
                c"dir",
                "mkdirat",
                libc::SYS_mkdirat,
                vec![HERE, at(c"dir/sub"), 0o700],
            ),
            (
                c"dir",
                "rmdir",
                libc::SYS_unlinkat,
                vec![HERE, at(c"dir/sub"), 0x200],
            ),
            (
                c"dir",
                "symlinkat",
                libc::SYS_symlinkat,
                vec![name, HERE, at(c"dir/sym")],
            ),
            (
                c"dir",
                "mknodat",
                libc::SYS_mknodat,
                vec![HERE, at(c"dir/fifo"), fifo, 0],
            ),
        ] {
            let ret = broken(&mut poster, held, Hold::Delegation, (what, nr, &args))?;
            expect(what, ret, 0)?;
        }
        // O_CREAT changes the directory.
        let args = [HERE, at(c"dir/new"), 0o102, 0o600];
        let call = ("openat to create", libc::SYS_openat, &args[..]);
        let ret = broken(&mut poster, c"dir", Hold::Delegation, call)?;
        ensure(ret >= 0, format!("openat gave {ret}"))?;
        expect("close", poster.close(ret as i32)?, 0)?;
        drop(open);
        fs::remove_file("link").map_err(|why| why.to_string())?;
        fs::remove_dir_all("dir").map_err(|why| why.to_string())?;
    }
    Ok(())
}

fn killed(place: &Place) -> Result<(), String> {
    place.file("leased", b"contents")?;
    place.file("delegated", b"contents")?;
    let file = fs::File::open("delegated").map_err(|why| why.to_string())?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file) as u64;
    let name = c"leased".as_ptr() as u64;
    for (held, hold, nr, args) in [
        (
            c"leased",
            Hold::Lease,
            libc::SYS_openat,
            vec![HERE, name, 0, 0],
        ),
        (
            c"delegated",
            Hold::Delegation,
            libc::SYS_fchmod,
            vec![fd, 0o640],
        ),
    ] {
        let holder = Holder::new(held, hold)?;
        let (mut hear, mut tell) = pipes()?;
        let mut child = Child::spawn(|| {
            let mut wait = || -> Result<(), String> {
                let mut poster = Poster::new(Mode::Lanes)?;
                let index = poster.post(nr, &args)?;
                until("the entry is taken", || {
                    poster.context.status(index).load(Ordering::Acquire) == abi::BUSY
                })?;
                // In whichever lane it is.
                poster.nop()?;
                tell.write_all(&[1]).map_err(|why| why.to_string())?;
                poster.complete().map(|_| ())
            };
            i32::from(wait().is_err())
        })
        .map_err(|why| why.to_string())?;
        hear.read_exact(&mut [0]).map_err(|why| why.to_string())?;
        child.kill()?;
        // Nothing of it is left while the holder still holds what it has.
        crate::process::module_unused()?;
        holder.release()?;
    }
    Ok(())
}
