// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that nobody may change, immutable, append-only, on a read-only mount; and what an open asks for.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use super::comparison::{Want, compare, posters, prepare};
use crate::client::{Lane, Mode, plain};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok, six};
use crate::snapshot::c_path;
use crate::tree::{USER, mount_tmpfs};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("immutable_files_hold", immutable as fn(&Place) -> _),
        ("append_only_files_hold", append_only),
        ("a_mount_made_read_only_holds", read_only),
        ("an_open_asks_what_the_plain_one_asks", opening),
        ("an_opened_file_has_the_flags_of_a_plain_one", flags),
    ] {
        list.push(Behaviour { name, run });
    }
}

const IMMUTABLE: libc::c_long = 0x10;
const APPEND: libc::c_long = 0x20;
const EPERM: i64 = -(libc::EPERM as i64);
const EROFS: i64 = -(libc::EROFS as i64);

/// A flag that a file has besides its others, as chattr(1) adds it, until dropped.
struct Flag {
    file: fs::File,
    others: libc::c_long,
}

impl Flag {
    fn set(name: &str, flag: libc::c_long) -> Result<Self, String> {
        let file = fs::File::open(name).map_err(|why| why.to_string())?;
        let mut others: libc::c_long = 0;
        // SAFETY: there is room for the flags, which the kernel takes for an int.
        let ret = unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_GETFLAGS, &raw mut others) };
        let this = Self { file, others };
        if ret == 0 && this.write(others | flag) == 0 {
            return Ok(this);
        }
        let why = io::Error::last_os_error();
        match why.raw_os_error() {
            Some(libc::ENOTTY | libc::EOPNOTSUPP) => {
                Err(format!("{SKIP}the file system has no such flags"))
            }
            _ => Err(format!("flags of {name}: {why}")),
        }
    }

    fn write(&self, flags: libc::c_long) -> libc::c_int {
        // SAFETY: the flags are readable.
        unsafe {
            libc::ioctl(
                self.file.as_raw_fd(),
                libc::FS_IOC_SETFLAGS,
                &raw const flags,
            )
        }
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        self.write(self.others);
    }
}

/// Fails unless the posted call and the plain one both give `want`.
fn both(
    what: &str,
    poster: &mut Poster,
    nr: libc::c_long,
    args: &[u64],
    want: i64,
) -> Result<Lane, String> {
    // SAFETY: callers pass pointers to memory that lives through this call.
    expect(what, unsafe { plain(nr as u16, six(args)) }, want)?;
    let done = poster.entry(nr, args)?;
    if done.lane != Lane::HandedBack {
        expect(
            &format!("{what}, posted by {:?}", poster.mode()),
            done.ret,
            want,
        )?;
    }
    Ok(done.lane)
}

fn immutable(place: &Place) -> Result<(), String> {
    place.file("file", b"contents")?;
    let open = fs::OpenOptions::new().read(true).write(true).open("file");
    let file = open.map_err(|why| why.to_string())?;
    let fd = file.as_raw_fd() as u64;
    let cwd = libc::AT_FDCWD as u64;
    let name = c"file".as_ptr() as u64;
    let mut posters = [Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?];
    let _flags = Flag::set("file", IMMUTABLE)?;
    for poster in &mut posters {
        let mut went = 0;
        for (what, nr, args) in [
            ("openat to write", libc::SYS_openat, vec![cwd, name, 1]),
            ("unlinkat", libc::SYS_unlinkat, vec![cwd, name, 0]),
            ("fchmod", libc::SYS_fchmod, vec![fd, 0o600]),
            ("fchown", libc::SYS_fchown, vec![fd, 1, 1]),
            ("fchmodat", libc::SYS_fchmodat, vec![cwd, name, 0o600]),
            ("utimensat", libc::SYS_utimensat, vec![cwd, name, 0, 0]),
            ("fallocate", libc::SYS_fallocate, vec![fd, 0, 0, 100]),
        ] {
            // SAFETY: what the arguments point to lives through the call.
            let want = unsafe { plain(nr as u16, six(&args)) };
            ensure(want == EPERM, format!("the plain {what} gave {want}"))?;
            let lane = both(what, poster, nr, &args, EPERM)?;
            went += i32::from(lane != Lane::HandedBack);
        }
        ensure(went > 3, "nearly all was handed back")?;
        expect("pread64", poster.pread(file.as_raw_fd(), 100)?.0, 8)?;
    }
    Ok(())
}

fn append_only(place: &Place) -> Result<(), String> {
    place.file("file", b"contents")?;
    let open = fs::OpenOptions::new().append(true).open("file");
    let file = open.map_err(|why| why.to_string())?;
    let fd = file.as_raw_fd() as u64;
    let cwd = libc::AT_FDCWD as u64;
    let name = c"file".as_ptr() as u64;
    let mut posters = [Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?];
    let _flags = Flag::set("file", APPEND)?;
    for poster in &mut posters {
        for (what, nr, args) in [
            ("openat to write", libc::SYS_openat, vec![cwd, name, 1]),
            (
                "openat to truncate",
                libc::SYS_openat,
                vec![cwd, name, 0o3001],
            ),
            ("ftruncate", libc::SYS_ftruncate, vec![fd, 0]),
            ("unlinkat", libc::SYS_unlinkat, vec![cwd, name, 0]),
            ("punching a hole", libc::SYS_fallocate, vec![fd, 3, 0, 4]),
        ] {
            both(what, poster, nr, &args, EPERM)?;
        }
        // Positioned or not, it goes to the end.
        let before = file.metadata().map_err(|why| why.to_string())?.len();
        let args = [fd, c"more".as_ptr() as u64, 4, 0];
        expect("pwrite64", poster.call(libc::SYS_pwrite64, &args)?, 4)?;
        expect("write", poster.write(file.as_raw_fd(), b"more")?, 4)?;
        let after = file.metadata().map_err(|why| why.to_string())?.len();
        expect("size", after as i64, before as i64 + 8)?;
    }
    let content = fs::read("file").map_err(|why| why.to_string())?;
    ensure(
        content.starts_with(b"contents"),
        "the beginning was overwritten",
    )
}

fn read_only(place: &Place) -> Result<(), String> {
    let dir = place.dir.join("mount");
    fs::create_dir(&dir).map_err(|why| why.to_string())?;
    mount_tmpfs(&dir, "size=1m").map_err(|why| why.to_string())?;
    fs::write(dir.join("file"), "contents").map_err(|why| why.to_string())?;
    let file = fs::File::open(dir.join("file")).map_err(|why| why.to_string())?;
    let mut posters = [Poster::new(Mode::Lanes)?, Poster::new(Mode::Caller)?];
    for poster in &mut posters {
        let args = [file.as_raw_fd() as u64, 0o640];
        expect("fchmod before", poster.call(libc::SYS_fchmod, &args)?, 0)?;
    }
    // SAFETY: a NUL-terminated path; nothing else is read for a remount.
    let ret = unsafe {
        libc::mount(
            std::ptr::null(),
            c_path(&dir).as_ptr(),
            std::ptr::null(),
            libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY,
            std::ptr::null(),
        )
    };
    libc_ok("remount", ret.into())?;
    std::env::set_current_dir(&dir).map_err(|why| why.to_string())?;
    let fd = file.as_raw_fd() as u64;
    let cwd = libc::AT_FDCWD as u64;
    let (name, new) = (c"file".as_ptr() as u64, c"new".as_ptr() as u64);
    for (poster, _) in posters.iter_mut().zip(MODES) {
        for (what, nr, args) in [
            ("openat to write", libc::SYS_openat, vec![cwd, name, 1]),
            (
                "openat to create",
                libc::SYS_openat,
                vec![cwd, new, 0o101, 0o600],
            ),
            ("mkdirat", libc::SYS_mkdirat, vec![cwd, new, 0o700]),
            ("unlinkat", libc::SYS_unlinkat, vec![cwd, name, 0]),
            (
                "renameat2",
                libc::SYS_renameat2,
                vec![cwd, name, cwd, new, 0],
            ),
            ("symlinkat", libc::SYS_symlinkat, vec![name, cwd, new]),
            ("linkat", libc::SYS_linkat, vec![cwd, name, cwd, new, 0]),
            ("fchmod", libc::SYS_fchmod, vec![fd, 0o600]),
            ("fchown", libc::SYS_fchown, vec![fd, 1, 1]),
            ("utimensat", libc::SYS_utimensat, vec![cwd, name, 0, 0]),
        ] {
            both(what, poster, nr, &args, EROFS)?;
        }
    }
    Ok(())
}

/// As the user, who owns none of it.
fn opening(place: &Place) -> Result<(), String> {
    prepare(&place.dir, || {
        for (name, mode) in [("closed", 0o600), ("open", 0o644)] {
            fs::write(name, "contents").map_err(|why| why.to_string())?;
            fs::set_permissions(name, fs::Permissions::from_mode(mode))
                .map_err(|why| why.to_string())?;
        }
        fs::create_dir("dir").map_err(|why| why.to_string())
    })?;
    let mut posters = posters()?;
    // SAFETY: no memory is involved.
    let ret = unsafe { libc::setresuid(USER, USER, 0) };
    libc_ok("setresuid", ret.into())?;
    let lanes = compare(&place.dir, &mut posters, |round| {
        for (what, name, flags, want) in [
            ("a file", c"open", libc::O_RDONLY, Want::Success),
            ("a directory", c"dir", libc::O_RDONLY, Want::Success),
            ("a path", c"closed", libc::O_PATH, Want::Success),
            (
                "another's file",
                c"closed",
                libc::O_RDONLY,
                Want::Refused(libc::EACCES),
            ),
            (
                "a file to write",
                c"open",
                libc::O_RDWR,
                Want::Refused(libc::EACCES),
            ),
            (
                "a directory to write",
                c"dir",
                libc::O_WRONLY,
                Want::Refused(libc::EISDIR),
            ),
            (
                "a file without its time",
                c"open",
                libc::O_RDONLY | libc::O_NOATIME,
                Want::Refused(libc::EPERM),
            ),
        ] {
            let args = [libc::AT_FDCWD as u64, name.as_ptr() as u64, flags as u64];
            round.open(what, libc::SYS_openat, &args, want)?;
        }
        Ok(())
    });
    // SAFETY: as above.
    let ret = unsafe { libc::setresuid(0, 0, 0) };
    libc_ok("setresuid", ret.into())?;
    lanes?.executed(&[
        "a file",
        "a directory",
        "a path",
        "another's file",
        "a file to write",
        "a directory to write",
        "a file without its time",
    ])
}

fn flags(place: &Place) -> Result<(), String> {
    prepare(&place.dir, || {
        fs::write("file", "contents").map_err(|why| why.to_string())
    })?;
    let mut posters = posters()?;
    let lanes = compare(&place.dir, &mut posters, |round| {
        for (what, flags) in [
            ("to read", libc::O_RDONLY),
            ("to be closed", libc::O_RDWR | libc::O_CLOEXEC),
            ("to be on the disk", libc::O_WRONLY | libc::O_SYNC),
            ("to append", libc::O_WRONLY | libc::O_APPEND),
            ("all", libc::O_NOATIME | libc::O_NOFOLLOW | libc::O_NONBLOCK),
            ("a path", libc::O_PATH | libc::O_CLOEXEC | libc::O_NOFOLLOW),
            (
                "to truncate",
                libc::O_RDWR | libc::O_TRUNC | libc::O_CLOEXEC,
            ),
        ] {
            let name = c"file".as_ptr() as u64;
            let args = [libc::AT_FDCWD as u64, name, flags as u64];
            let file = round.open(what, libc::SYS_openat, &args, Want::Success)?;
            let fd = file.as_ref().map_or(-1, AsRawFd::as_raw_fd);
            // SAFETY: no memory is involved.
            let (file, descriptor) = unsafe {
                (
                    libc::fcntl(fd, libc::F_GETFL),
                    libc::fcntl(fd, libc::F_GETFD),
                )
            };
            round.note("flags", file.into())?;
            round.note("flags of the descriptor", descriptor.into())?;
        }
        Ok(())
    })?;
    lanes.executed(&[
        "to read",
        "to be closed",
        "to be on the disk",
        "to append",
        "all",
        "a path",
        "to truncate",
    ])
}
