// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opening.

use std::os::fd::AsRawFd;

use libflexsc::{
    At, Errno, SharedFd,
    backend::Kind,
    op::{self, OpenHow},
};

use crate::twins::{Twins, at, libc_result, s};

/// What an open brought: its status flags and position, then closed.
fn opened(fd: i32) -> (i32, i32) {
    // SAFETY: The calls take no pointer.
    unsafe {
        (
            libc::fcntl(fd, libc::F_GETFL),
            libc::fcntl(fd, libc::F_GETFD),
        )
    }
}

pub(crate) fn opening(kind: Kind) {
    let t = Twins::new(kind);
    let (our_dir, their_dir) = (t.our_dir(), t.their_dir());
    let new = libc::O_CREAT | libc::O_WRONLY;
    for (name, flags, mode) in [
        ("file", libc::O_RDONLY, 0),
        ("file", libc::O_RDWR | libc::O_CLOEXEC | libc::O_APPEND, 0),
        ("file", libc::O_WRONLY | libc::O_TRUNC, 0),
        ("file", new | libc::O_EXCL, 0o600),
        ("file", libc::O_RDONLY | libc::O_DIRECTORY, 0),
        ("dir", libc::O_RDONLY | libc::O_DIRECTORY, 0),
        ("dir", libc::O_WRONLY, 0),
        ("dir/inner", libc::O_PATH, 0),
        ("link", libc::O_RDONLY, 0),
        ("link", libc::O_RDONLY | libc::O_NOFOLLOW, 0),
        ("link", libc::O_PATH | libc::O_NOFOLLOW, 0),
        ("broken", libc::O_RDONLY, 0),
        ("missing", libc::O_RDONLY, 0),
        ("missing/inner", libc::O_RDONLY, 0),
        ("file/inner", libc::O_RDONLY, 0),
        ("", libc::O_RDONLY, 0),
        ("new", new, 0o4751),
        ("new2", new | libc::O_EXCL, 0o222),
        (".", libc::O_TMPFILE | libc::O_RDWR, 0o600),
        ("new3", libc::O_CREAT | libc::O_DIRECTORY, 0o600),
    ] {
        let run = |ours: Result<SharedFd, Errno>, theirs: Result<u64, Errno>| {
            match (&ours, theirs) {
                (Ok(ours), Ok(fd)) => {
                    assert_eq!(
                        opened(ours.as_raw_fd()),
                        opened(fd as i32),
                        "{name} {flags:#x}"
                    );
                    // SAFETY: The file was opened for this test.
                    assert_eq!(unsafe { libc::close(fd as i32) }, 0);
                }
                (Err(errno), Err(expected)) => assert_eq!(*errno, expected, "{name} {flags:#x}"),
                (_, theirs) => panic!("{name} {flags:#x}: {ours:?}, the plain call {theirs:?}"),
            }
            t.check(name);
        };
        let path = s(name);
        let expected = plain!(libc::openat(
            their_dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            mode
        ));
        run(
            t.context.run(op::Openat::new(&our_dir, path, flags, mode)),
            expected,
        );
        let (ours, theirs) = (at(&t.ours, name), at(&t.theirs, name));
        let expected = plain!(libc::open(theirs.as_ptr(), flags, mode));
        run(
            t.context.run(op::Openat::new(At::Cwd, ours, flags, mode)),
            expected,
        );
    }
    let file = t.ours.open("file");
    let open = op::Openat::new(file, s("inner"), libc::O_RDONLY, 0);
    assert_eq!(t.context.run(open).unwrap_err(), Errno::ENOTDIR);
    let long = s(&"x".repeat(5000));
    let open = op::Openat::new(&our_dir, long, libc::O_RDONLY, 0);
    assert_eq!(t.context.run(open).unwrap_err(), Errno::ENAMETOOLONG);
}

pub(crate) fn opening_with_rules(kind: Kind) {
    let t = Twins::new(kind);
    let (our_dir, their_dir) = (t.our_dir(), t.their_dir());
    let read = libc::O_RDONLY as u64;
    let new = (libc::O_CREAT | libc::O_RDWR) as u64;
    let (beneath, no_symlinks) = (libc::RESOLVE_BENEATH, libc::RESOLVE_NO_SYMLINKS);
    for (name, flags, mode, resolve) in [
        ("file", read, 0, 0),
        ("file", read, 0, beneath),
        ("dir/../file", read, 0, beneath),
        ("../x", read, 0, beneath),
        ("/etc/passwd", read, 0, beneath),
        ("root/etc/passwd", read, 0, beneath),
        ("root/file", read, 0, libc::RESOLVE_IN_ROOT),
        ("link", read, 0, beneath),
        ("link", read, 0, no_symlinks),
        ("new", new, 0o640, beneath),
        ("dir/new", new, 0o640, beneath | no_symlinks),
        ("file", read, 0o600, 0),
        ("file", 1 << 40, 0, 0),
        ("file", read, 0, 1 << 40),
    ] {
        let how = OpenHow::new(flags).mode(mode).resolve(resolve);
        let path = s(name);
        let expected = plain!(libc::syscall(
            libc::SYS_openat2,
            their_dir.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<OpenHow>()
        ));
        let ours = t.context.run(op::Openat2::new(&our_dir, path, how));
        match (&ours, expected) {
            (Ok(ours), Ok(fd)) => {
                assert_eq!(
                    opened(ours.as_raw_fd()),
                    opened(fd as i32),
                    "{name} {how:?}"
                );
                // SAFETY: The file was opened for this test.
                assert_eq!(unsafe { libc::close(fd as i32) }, 0);
            }
            (Err(errno), Err(expected)) => assert_eq!(*errno, expected, "{name} {how:?}"),
            (_, theirs) => panic!("{name} {how:?}: {ours:?}, the plain call {theirs:?}"),
        }
        t.check(name);
    }
}
