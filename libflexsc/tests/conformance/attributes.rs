// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes: read and changed.

use std::{
    fs::File,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
};

use libflexsc::{FileType, Timespec, backend::Kind, op};

use crate::{
    common::Dir,
    twins::{Twins, libc_result, s},
};

fn same_stat(ours: &libc::stat, theirs: &libc::stat) {
    // SAFETY: Both are plain structures without padding that differs: the kernel zeroes it.
    let bytes = |stat: &libc::stat| unsafe {
        std::slice::from_raw_parts((&raw const *stat).cast::<u8>(), size_of::<libc::stat>())
            .to_vec()
    };
    assert_eq!(bytes(ours), bytes(theirs));
}

pub(crate) fn attributes(kind: Kind) {
    let t = Twins::new(kind);
    let dir = t.our_dir();
    let names = [
        "file",
        "empty",
        "dir",
        "link",
        "broken",
        "fifo",
        "missing",
        "file/x",
        "",
        "/dev/null",
    ];
    for (name, flags) in names.iter().flat_map(|name| {
        [0, libc::AT_SYMLINK_NOFOLLOW, libc::AT_EMPTY_PATH, 1 << 30].map(|flags| (*name, flags))
    }) {
        let path = s(name);
        // SAFETY: All zeroes is a value of it.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let expected = plain!(libc::fstatat(
            dir.as_raw_fd(),
            path.as_ptr(),
            &mut stat,
            flags
        ));
        let ours = t
            .context
            .run(op::Newfstatat::new(&dir, path.clone(), flags));
        match (ours, expected) {
            (Ok(ours), Ok(_)) => same_stat(&ours, &stat),
            (ours, expected) => assert_eq!(ours.err(), expected.err(), "{name:?} {flags:#x}"),
        }

        // SAFETY: As above.
        let mut statx: libc::statx = unsafe { std::mem::zeroed() };
        let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
        let expected = plain!(libc::statx(
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            mask,
            &mut statx
        ));
        let ours = t
            .context
            .run(op::Statx::new(&dir, path.clone(), flags, mask));
        match (ours, expected) {
            (Ok(ours), Ok(_)) => {
                assert_eq!(ours.mode(), u32::from(statx.stx_mode));
                assert_eq!(ours.file_type(), FileType::from_mode(statx.stx_mode.into()));
                assert_eq!(
                    (ours.size(), ours.blocks()),
                    (statx.stx_size, statx.stx_blocks)
                );
                assert_eq!((ours.uid(), ours.gid()), (statx.stx_uid, statx.stx_gid));
                assert_eq!((ours.nlink(), ours.ino()), (statx.stx_nlink, statx.stx_ino));
                assert_eq!(
                    ours.dev(),
                    libc::makedev(statx.stx_dev_major, statx.stx_dev_minor)
                );
                assert_eq!(
                    ours.rdev(),
                    libc::makedev(statx.stx_rdev_major, statx.stx_rdev_minor)
                );
                let time = Timespec::new(statx.stx_mtime.tv_sec, statx.stx_mtime.tv_nsec.into());
                assert_eq!(ours.mtime(), time);
                assert_eq!(
                    (ours.mask(), ours.attributes()),
                    (statx.stx_mask, statx.stx_attributes)
                );
            }
            (ours, expected) => assert_eq!(ours.err(), expected.err(), "{name:?} {flags:#x}"),
        }
    }
    let file = t.ours.open("file");
    // SAFETY: As above.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    plain!(libc::fstat(file.as_raw_fd(), &mut stat)).unwrap();
    same_stat(&t.context.run(op::Fstat::new(file)).unwrap(), &stat);
}

pub(crate) fn changing_attributes(kind: Kind) {
    let t = Twins::new(kind);
    let (our_dir, their_dir) = (t.our_dir(), t.their_dir());
    let dirfd = their_dir.as_raw_fd();
    let (ours, theirs) = (t.ours.open("file"), t.theirs.open("file"));
    for mode in [0o600, 0o7777, 0o200, 0o644, u32::MAX] {
        let expected = plain_unit!(libc::fchmod(theirs.as_raw_fd(), mode));
        assert_eq!(t.context.run(op::Fchmod::new(ours.clone(), mode)), expected);
        t.check("fchmod");
    }
    for (name, mode) in [
        ("file", 0o640),
        ("link", 0o604),
        ("missing", 0o600),
        ("broken", 0o600),
        ("", 0o600),
    ] {
        let path = s(name);
        let expected = plain_unit!(libc::fchmodat(dirfd, path.as_ptr(), mode, 0));
        assert_eq!(
            t.context.run(op::Fchmodat::new(&our_dir, path, mode)),
            expected,
            "{name}"
        );
        t.check("fchmodat");
    }
    // To the own user and group, which everybody may.
    // SAFETY: These calls take nothing.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    for (uid, gid) in [
        (None, None),
        (Some(uid), None),
        (None, Some(gid)),
        (Some(uid), Some(gid)),
    ] {
        let same = u32::MAX;
        let (to_uid, to_gid) = (uid.unwrap_or(same), gid.unwrap_or(same));
        let expected = plain_unit!(libc::fchown(theirs.as_raw_fd(), to_uid, to_gid));
        assert_eq!(
            t.context.run(op::Fchown::new(ours.clone(), uid, gid)),
            expected
        );
        for (name, flags) in [
            ("file", 0),
            ("link", 0),
            ("broken", 0),
            ("broken", libc::AT_SYMLINK_NOFOLLOW),
            ("missing", 0),
            ("", libc::AT_EMPTY_PATH),
            ("file", 1 << 30),
        ] {
            let path = s(name);
            let expected = plain_unit!(libc::fchownat(dirfd, path.as_ptr(), to_uid, to_gid, flags));
            let chown = op::Fchownat::new(&our_dir, path, uid, gid, flags);
            assert_eq!(t.context.run(chown), expected, "{name} {flags}");
            t.check("fchownat");
        }
    }
    let meta = File::open(t.ours.join("file")).unwrap().metadata().unwrap();
    assert_eq!((meta.uid(), meta.gid()), (uid, gid));
}

pub(crate) fn times(kind: Kind) {
    let t = Twins::new(kind);
    let (our_dir, their_dir) = (t.our_dir(), t.their_dir());
    let given = Timespec::new(1_234_567_890, 987_654_321);
    let later = Timespec::new(2_000_000_000, 1);
    let bad = Timespec::new(0, 1_000_000_000);
    for (name, times, flags) in [
        ("file", [given, later], 0),
        ("file", [Timespec::OMIT, given], 0),
        ("file", [later, Timespec::OMIT], 0),
        ("link", [given, given], libc::AT_SYMLINK_NOFOLLOW),
        ("link", [later, later], 0),
        ("dir", [given, later], 0),
        ("missing", [given, later], 0),
        ("missing", [Timespec::OMIT, Timespec::OMIT], 0),
        ("file", [bad, given], 0),
        ("file", [given, later], 1 << 30),
    ] {
        let path = s(name);
        let theirs = times.map(|t| libc::timespec {
            tv_sec: t.sec,
            tv_nsec: t.nsec,
        });
        let fd = their_dir.as_raw_fd();
        let expected = plain_unit!(libc::utimensat(fd, path.as_ptr(), theirs.as_ptr(), flags));
        let set = op::Utimensat::new(&our_dir, path, times, flags);
        assert_eq!(t.context.run(set), expected, "{name} {times:?} {flags}");
        for name in ["file", "dir", "link"] {
            let times = |dir: &Dir| {
                let meta = dir.join(name).symlink_metadata().unwrap();
                let set = [given, later].map(|t| (t.sec, t.nsec));
                let known = |time: (i64, i64)| {
                    if set.contains(&time) {
                        Some(time)
                    } else {
                        None
                    }
                };
                (
                    known((meta.atime(), meta.atime_nsec())),
                    known((meta.mtime(), meta.mtime_nsec())),
                )
            };
            assert_eq!(times(&t.ours), times(&t.theirs), "{name}");
        }
    }
    let file = t.ours.open("empty");
    assert_eq!(
        t.context
            .run(op::Utimensat::of(file.clone(), [given, later])),
        Ok(())
    );
    let meta = t.ours.join("empty").metadata().unwrap();
    assert_eq!((meta.atime(), meta.atime_nsec()), (given.sec, given.nsec));
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (later.sec, later.nsec));
    let before = std::time::SystemTime::now();
    assert_eq!(
        t.context
            .run(op::Utimensat::of(file, [Timespec::OMIT, Timespec::NOW])),
        Ok(())
    );
    let meta = t.ours.join("empty").metadata().unwrap();
    assert_eq!(meta.atime(), given.sec);
    // The kernel's coarse clock may be a tick behind.
    assert!(meta.modified().unwrap() + std::time::Duration::from_secs(1) > before);
}

pub(crate) fn access(kind: Kind) {
    let t = Twins::new(kind);
    let (our_dir, their_dir) = (t.our_dir(), t.their_dir());
    let all = libc::R_OK | libc::W_OK | libc::X_OK;
    for (name, mode) in [
        ("file", libc::F_OK),
        ("file", libc::R_OK),
        ("file", all),
        ("missing", 0),
        ("file", 8),
        ("dir", all),
        ("", 0),
    ] {
        let path = s(name);
        let expected = plain_unit!(libc::syscall(
            libc::SYS_faccessat,
            their_dir.as_raw_fd(),
            path.as_ptr(),
            mode
        ));
        assert_eq!(
            t.context.run(op::Faccessat::new(&our_dir, path, mode)),
            expected,
            "{name}"
        );
    }
}
