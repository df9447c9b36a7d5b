// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names in a directory.

use std::{
    fs,
    os::{
        fd::AsRawFd,
        unix::fs::{DirEntryExt, FileTypeExt},
    },
};

use libflexsc::{Errno, FileType, backend::Kind, op};

use crate::twins::{Twins, libc_result, s};

pub(crate) fn names(kind: Kind) {
    let t = Twins::new(kind);
    let (our_dir, their_dir) = (t.our_dir(), t.their_dir());
    let fd = their_dir.as_raw_fd();
    for (name, mode) in [
        ("new", 0o750),
        ("dir", 0o700),
        ("file/new", 0o700),
        ("missing/new", 0o700),
        ("", 0),
    ] {
        let path = s(name);
        let expected = plain_unit!(libc::mkdirat(fd, path.as_ptr(), mode));
        assert_eq!(
            t.context.run(op::Mkdirat::new(&our_dir, path, mode)),
            expected,
            "{name}"
        );
        t.check("mkdirat");
    }
    let null = libc::makedev(1, 3);
    for (name, mode, device) in [
        ("pipe", libc::S_IFIFO | 0o640, 0),
        ("socket", libc::S_IFSOCK | 0o600, 0),
        ("regular", libc::S_IFREG | 0o604, 0),
        ("plain", 0o600, 0),
        ("pipe", libc::S_IFIFO | 0o640, 0),
        ("null", libc::S_IFCHR | 0o666, null),
        ("block", libc::S_IFBLK | 0o600, libc::makedev(7, 0x1_2345)),
        ("far", libc::S_IFCHR | 0o600, libc::makedev(0x1234_5678, 1)),
        ("a-dir", libc::S_IFDIR | 0o700, 0),
        ("a-link", libc::S_IFLNK | 0o777, 0),
        ("missing/pipe", libc::S_IFIFO | 0o600, 0),
        ("link", libc::S_IFIFO | 0o600, 0),
        ("", libc::S_IFIFO, 0),
    ] {
        let path = s(name);
        let expected = plain_unit!(libc::mknodat(fd, path.as_ptr(), mode, device));
        assert_eq!(
            t.context
                .run(op::Mknodat::new(&our_dir, path, mode, device)),
            expected,
            "{name}"
        );
        t.check("mknodat");
    }
    let remove = libc::AT_REMOVEDIR;
    for (name, flags) in [
        ("file", remove),
        ("dir", 0),
        ("dir", remove),
        ("new", remove),
        ("new", remove),
        ("link", 0),
        ("file", 0),
        ("file", 0),
        ("fifo", 0),
        (".", remove),
        ("", 0),
        ("empty", 1 << 30),
    ] {
        let path = s(name);
        let expected = plain_unit!(libc::unlinkat(fd, path.as_ptr(), flags));
        assert_eq!(
            t.context.run(op::Unlinkat::new(&our_dir, path, flags)),
            expected,
            "{name}"
        );
        t.check("unlinkat");
    }
}

pub(crate) fn links(kind: Kind) {
    let t = Twins::new(kind);
    let (our_dir, their_dir) = (t.our_dir(), t.their_dir());
    let fd = their_dir.as_raw_fd();
    for (target, name) in [
        ("file", "sym"),
        ("any\u{e9}thing", "sym2"),
        ("x", "file"),
        ("", "sym3"),
        ("x", "missing/y"),
    ] {
        let (target, path) = (s(target), s(name));
        let expected = plain_unit!(libc::symlinkat(target.as_ptr(), fd, path.as_ptr()));
        assert_eq!(
            t.context.run(op::Symlinkat::new(target, &our_dir, path)),
            expected,
            "{name}"
        );
        t.check("symlinkat");
    }
    for (name, room) in [
        ("link", 100),
        ("sym2", 5),
        ("file", 100),
        ("missing", 100),
        ("link", 0),
        ("", 9),
    ] {
        let path = s(name);
        let mut buf = vec![0u8; 100];
        let expected =
            plain!(libc::readlinkat(fd, path.as_ptr(), buf.as_mut_ptr().cast(), room) as i64)
                .map(|len| buf[..len as usize].to_vec());
        let ours = t
            .context
            .run(op::Readlinkat::with_capacity(&our_dir, path, room));
        assert_eq!(ours, expected, "{name}");
    }
    for (old, new, flags) in [
        ("file", "hard", 0),
        ("link", "hard2", 0),
        ("link", "hard3", libc::AT_SYMLINK_FOLLOW),
        ("file", "hard", 0),
        ("dir", "hard4", 0),
        ("missing", "hard5", 0),
        ("file", "hard6", 1 << 30),
    ] {
        let (old, new) = (s(old), s(new));
        let expected = plain_unit!(libc::linkat(fd, old.as_ptr(), fd, new.as_ptr(), flags));
        let ours = t
            .context
            .run(op::Linkat::new(&our_dir, old, &our_dir, new, flags));
        assert_eq!(ours, expected);
        t.check("linkat");
    }
}

pub(crate) fn renames(kind: Kind) {
    let t = Twins::new(kind);
    let (our_dir, their_dir) = (t.our_dir(), t.their_dir());
    let fd = their_dir.as_raw_fd();
    let (no_replace, exchange) = (libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE);
    for (old, new, flags) in [
        ("file", "moved", 0),
        ("moved", "empty", no_replace),
        ("moved", "fresh", no_replace),
        ("fresh", "link", exchange),
        ("fresh", "missing", exchange),
        ("missing", "x", 0),
        ("dir", "dir/inside", 0),
        ("dir", "link", 0),
        ("empty", "dir", 0),
        ("dir/inner", "empty", 0),
        ("empty", "x", 1 << 30),
        ("empty", "x", no_replace | exchange),
    ] {
        let (old, new) = (s(old), s(new));
        let expected = plain_unit!(libc::syscall(
            libc::SYS_renameat2,
            fd,
            old.as_ptr(),
            fd,
            new.as_ptr(),
            flags
        ));
        let ours = t.context.run(op::Renameat2::new(
            &our_dir,
            old.clone(),
            &our_dir,
            new.clone(),
            flags,
        ));
        assert_eq!(ours, expected, "{old:?} {new:?} {flags}");
        t.check("renameat2");
    }
}

pub(crate) fn directories(kind: Kind) {
    let t = Twins::new(kind);
    for i in 0..300 {
        t.ours.write(&format!("name-{i}"), b"");
    }
    let mut expected: Vec<(String, u64, FileType)> = fs::read_dir(t.ours.path())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            let kind = match () {
                () if kind.is_dir() => FileType::Directory,
                () if kind.is_symlink() => FileType::Symlink,
                () if kind.is_fifo() => FileType::Fifo,
                () => FileType::Regular,
            };
            (entry.file_name().into_string().unwrap(), entry.ino(), kind)
        })
        .collect();
    let dir = t.our_dir();
    let mut seen = Vec::new();
    let mut calls = 0;
    loop {
        // Little room, so that it takes many.
        let dirents = t
            .context
            .run(op::Getdents64::new(dir.clone(), 512))
            .unwrap();
        if dirents.is_empty() {
            break;
        }
        calls += 1;
        for dirent in &dirents {
            let name = String::from_utf8(dirent.name.to_vec()).unwrap();
            if name != "." && name != ".." {
                seen.push((name, dirent.ino, FileType::from_d_type(dirent.d_type)));
            }
        }
    }
    assert!(calls > 10);
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(seen, expected);

    assert_eq!(
        t.context
            .run(op::Lseek::new(dir.clone(), 0, libc::SEEK_SET)),
        Ok(0)
    );
    assert_eq!(
        t.context.run(op::Getdents64::new(dir, 10)).unwrap_err(),
        Errno::EINVAL
    );
    let file = t.ours.open("file");
    assert_eq!(
        t.context.run(op::Getdents64::new(file, 512)).unwrap_err(),
        Errno::ENOTDIR
    );
}
