// SPDX-License-Identifier: MIT OR Apache-2.0
//! Positions, sizes and extents of open files.

use libc::{
    FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE, O_APPEND, O_CREAT, O_PATH, O_RDONLY, O_RDWR, O_WRONLY, SEEK_CUR,
    SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET, SYS_fadvise64, SYS_fallocate, SYS_fdatasync,
    SYS_fsync, SYS_ftruncate, SYS_lseek,
};

use crate::case::{Before, Cases, open, seek, user_open};
use crate::op::{Arg, KERNEL_ADDRESS, NULL, Op, WILD_ADDRESS, copy_file_range, num};

const F: Arg = Arg::Fd(0);
const G: Arg = Arg::Fd(1);
const MAX: i64 = i64::MAX;

/// Adds the cases.
pub fn add(cases: &mut Cases) {
    seeks(cases);
    syncs(cases);
    truncations(cases);
    allocations(cases);
    advice(cases);
    copies(cases);
}

/// Descriptors that are of no use for most calls on files.
fn misfits() -> Vec<(&'static str, Vec<Before>)> {
    vec![
        ("closed", vec![]),
        ("path descriptor", vec![open(0, "small", O_PATH)]),
        ("directory", vec![open(0, "dir", O_RDONLY)]),
        ("pipe, reading", vec![Before::Pipe(0, 1)]),
        ("pipe, writing", vec![Before::Pipe(1, 0)]),
        ("unix socket", vec![Before::UnixPair(0, 1)]),
        ("epoll", vec![Before::Epoll(0)]),
        ("eventfd", vec![Before::Eventfd(0, 1)]),
        ("/dev/null", vec![open(0, "/dev/null", O_RDWR)]),
        ("fifo", vec![open(0, "fifo", O_RDWR)]),
        ("read-only file", vec![open(0, "small", O_RDONLY)]),
        ("memfd", vec![Before::Memfd(0, b"0123456789")]),
        ("/proc", vec![open(0, "/proc/self/comm", O_RDONLY)]),
    ]
}

fn seeks(cases: &mut Cases) {
    let s =
        |offset: i64, whence: i32| Op::new(SYS_lseek, &[F, num(offset), num(i64::from(whence))]);
    let big = [open(0, "big", O_RDWR), seek(0, 1000)];
    for (offset, whence) in [
        (0, SEEK_SET),
        (77, SEEK_SET),
        (1 << 40, SEEK_SET),
        (MAX, SEEK_SET),
        (-1, SEEK_SET),
        (i64::MIN, SEEK_SET),
        (0, SEEK_CUR),
        (5, SEEK_CUR),
        (-1000, SEEK_CUR),
        (-1001, SEEK_CUR),
        (MAX, SEEK_CUR),
        (0, SEEK_END),
        (10, SEEK_END),
        (-100_000, SEEK_END),
        (-100_001, SEEK_END),
        (MAX, SEEK_END),
        (0, SEEK_DATA),
        (99_999, SEEK_DATA),
        (100_000, SEEK_DATA),
        (0, SEEK_HOLE),
        (100_000, SEEK_HOLE),
        (-1, SEEK_DATA),
        (0, 5),
        (0, -1),
        (0, i32::MAX),
    ] {
        cases.add(
            &format!("{offset} whence {whence}"),
            &big,
            s(offset, whence),
        );
    }
    let sparse = [open(0, "sparse", O_RDONLY)];
    for (offset, whence) in [
        (0, SEEK_HOLE),
        (8192, SEEK_DATA),
        ((1 << 20) + 2, SEEK_DATA),
        (1 << 20, SEEK_HOLE),
        ((1 << 20) + 3, SEEK_DATA),
    ] {
        cases.add(
            &format!("sparse {offset} whence {whence}"),
            &sparse,
            s(offset, whence),
        );
    }
    for (name, before) in misfits() {
        cases.add(name, &before, s(1, SEEK_SET));
        cases.add(&format!("{name}, bad whence"), &before, s(0, 9));
    }
    let many = [open(0, "many", O_RDONLY)];
    cases.add("directory, far", &many, s(1 << 33, SEEK_SET));
    cases.add("directory, end", &many, s(0, SEEK_END));
    cases.add("garbage above", &big, {
        let mut op = s(3, SEEK_SET);
        op.args[0] = Arg::DirtyFd(0);
        op.args[2] = Arg::Num(0xdead_beef_0000_0001);
        op
    });
}

fn syncs(cases: &mut Cases) {
    for nr in [SYS_fsync, SYS_fdatasync] {
        let op = Op::new(nr, &[F]);
        cases.add("clean", &[open(0, "big", O_RDONLY)], op.clone());
        cases.add(
            "dirty",
            &[open(0, "big", O_RDWR), Before::Put(0, b"dirty")],
            op.clone(),
        );
        cases.add(
            "new",
            &[open(0, "dir/new", O_CREAT | O_RDWR), Before::Put(0, b"x")],
            op.clone(),
        );
        cases.add(
            "garbage above",
            &[open(0, "big", O_RDWR)],
            Op::new(nr, &[Arg::DirtyFd(0)]),
        );
        for (name, before) in misfits() {
            cases.add(name, &before, op.clone());
        }
        cases.mounted(
            "read-only file system",
            &[open(0, "rofs/f", O_RDONLY)],
            op.clone(),
        );
    }
}

fn truncations(cases: &mut Cases) {
    let t = |len: i64| Op::new(SYS_ftruncate, &[F, num(len)]);
    for len in [0, 5, 11, 12, 5000, 1 << 20, 1 << 40, -1, i64::MIN, MAX] {
        cases.add(&format!("{len}"), &[open(0, "small", O_RDWR)], t(len));
    }
    cases.add(
        "shorter, position stays",
        &[open(0, "big", O_WRONLY), seek(0, 90_000)],
        t(4097),
    );
    cases.add("same size", &[open(0, "big", O_WRONLY)], t(100_000));
    cases.add(
        "append descriptor",
        &[open(0, "big", O_WRONLY | O_APPEND)],
        t(3),
    );
    cases.add("set-user-id goes", &[open(0, "suid", O_WRONLY)], t(1));
    cases.user("set-user-id goes", &[open(0, "suid", O_WRONLY)], t(1));
    cases.user("own descriptor", &[user_open(0, "small", O_RDWR)], t(1));
    cases.user("opened by root", &[open(0, "secret", O_RDWR)], t(1));
    cases.add("garbage above", &[open(0, "small", O_RDWR)], {
        Op::new(SYS_ftruncate, &[Arg::DirtyFd(0), num(3)])
    });
    for (name, before) in misfits() {
        cases.add(name, &before, t(1));
        cases.add(&format!("{name}, negative"), &before, t(-1));
    }
    let attributes = |attribute| {
        [
            open(0, "mine", O_WRONLY | O_APPEND),
            Before::Attributes("mine", attribute),
        ]
    };
    cases.add("append-only", &attributes(0x20), t(0));
    cases.add("immutable since", &attributes(0x10), t(0));
    for (name, limit) in [
        ("below the size limit", 2000),
        ("above the size limit", 500),
    ] {
        cases
            .add(name, &[open(0, "small", O_RDWR)], t(1000))
            .environment
            .file_size = Some(limit);
    }
}

fn allocations(cases: &mut Cases) {
    let a = |mode: i32, offset: i64, len: i64| {
        Op::new(
            SYS_fallocate,
            &[F, num(i64::from(mode)), num(offset), num(len)],
        )
    };
    let punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    let big = [open(0, "big", O_RDWR)];
    for (mode, offset, len) in [
        (0, 0, 200_000),
        (0, 50, 10),
        (0, 1 << 20, 4096),
        (FALLOC_FL_KEEP_SIZE, 0, 200_000),
        (punch, 4096, 8192),
        (punch, 5, 100),
        (punch, 0, 1 << 30),
        (FALLOC_FL_PUNCH_HOLE, 0, 4096),
        (FALLOC_FL_ZERO_RANGE, 100, 9000),
        (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 90_000, 90_000),
        (FALLOC_FL_COLLAPSE_RANGE, 0, 4096),
        (FALLOC_FL_COLLAPSE_RANGE, 1, 4096),
        (FALLOC_FL_INSERT_RANGE, 4096, 4096),
        (FALLOC_FL_INSERT_RANGE, 100, 4096),
        (0x40, 0, 4096),
        (0x80, 0, 4096),
        (0x100, 0, 4096),
        (-1, 0, 4096),
        (0, 0, 0),
        (0, -1, 10),
        (0, 0, -1),
        (0, MAX, 1),
        (0, MAX - 5, 10),
        (0, MAX - 5000, 10),
    ] {
        cases.add(
            &format!("mode {mode:#x} {offset}+{len}"),
            &big,
            a(mode, offset, len),
        );
    }
    cases.add("write-only", &[open(0, "small", O_WRONLY)], a(0, 0, 100));
    cases.add("set-user-id", &[open(0, "suid", O_WRONLY)], a(0, 0, 100));
    cases.user("set-user-id", &[open(0, "suid", O_WRONLY)], a(0, 0, 100));
    for (name, before) in misfits() {
        cases.add(name, &before, a(0, 0, 100));
        cases.add(&format!("{name}, no length"), &before, a(0, 0, 0));
        cases.add(&format!("{name}, bad mode"), &before, a(0x40, 0, 1));
    }
    let append = [
        open(0, "mine", O_WRONLY | O_APPEND),
        Before::Attributes("mine", 0x20),
    ];
    cases.add("append-only, punch", &append, a(punch, 0, 1));
    cases.add("append-only, grow", &append, a(0, 0, 100));
    cases
        .add("above the size limit", &big, a(0, 0, 300_000))
        .environment
        .file_size = Some(200_000);
    cases
        .add("below the size limit", &big, a(0, 0, 150_000))
        .environment
        .file_size = Some(200_000);
    cases.add("garbage above", &big, {
        Op::new(
            SYS_fallocate,
            &[
                Arg::DirtyFd(0),
                Arg::Num(0xdead_beef_0000_0000),
                num(0),
                num(150_000),
            ],
        )
    });
}

fn advice(cases: &mut Cases) {
    let a = |offset: i64, len: i64, advice: i64| {
        Op::new(SYS_fadvise64, &[F, num(offset), num(len), num(advice)])
    };
    let big = [open(0, "big", O_RDONLY)];
    for advice in -1..8 {
        cases.add(&format!("advice {advice}"), &big, a(0, 0, advice));
    }
    for (offset, len) in [(0, -1), (-1, 10), (MAX, MAX), (i64::MIN, 5), (50, 1 << 40)] {
        cases.add(&format!("{offset}+{len}"), &big, a(offset, len, 3));
    }
    cases.add("garbage above", &big, {
        let mut op = a(0, 100, 3);
        op.args[0] = Arg::DirtyFd(0);
        op.args[3] = Arg::Num(0xdead_beef_0000_0004);
        op
    });
    for (name, before) in misfits() {
        cases.add(name, &before, a(0, 10, 3));
        cases.add(&format!("{name}, bad advice"), &before, a(0, 10, 77));
    }
}

fn copies(cases: &mut Cases) {
    let c =
        |from: Option<i64>, to: Option<i64>, len: i64| copy_file_range((F, from), (G, to), len, 0);
    let pair = [open(0, "big", O_RDONLY), open(1, "small", O_RDWR)];
    cases.add("positions", &pair, c(None, None, 1000));
    cases.add("offsets", &pair, c(Some(10), Some(5), 5000));
    cases.add("offset in only", &pair, c(Some(99_990), None, 5000));
    cases.add("offset out only", &pair, c(None, Some(70_000), 5000));
    cases.add("whole", &pair, c(Some(0), Some(0), 1 << 30));
    cases.add("nothing", &pair, c(Some(0), Some(0), 0));
    cases.add("from the end", &pair, c(Some(100_000), Some(0), 10));
    cases.add("past the end", &pair, c(Some(200_000), Some(0), 10));
    cases.add("negative in", &pair, c(Some(-1), Some(0), 10));
    cases.add("negative out", &pair, c(Some(0), Some(-1), 10));
    cases.add("out far", &pair, c(Some(0), Some(MAX - 3), 10));
    cases.add("out at the end of all", &pair, c(Some(0), Some(MAX), 10));
    cases.add("in far", &pair, c(Some(MAX - 3), Some(0), 10));
    cases.add("length -1", &pair, c(Some(0), Some(0), -1));
    cases.add("length i64::MIN", &pair, c(Some(0), Some(0), i64::MIN));
    cases.add(
        "after seeks",
        &[pair[0].clone(), pair[1].clone(), seek(0, 500), seek(1, 3)],
        c(None, None, 100),
    );
    cases.add("flags", &pair, copy_file_range((F, None), (G, None), 10, 1));
    cases.add("flags and bad offset", &pair, {
        let mut op = copy_file_range((F, Some(0)), (G, None), 10, 1);
        op.args[1] = WILD_ADDRESS;
        op
    });
    cases.add(
        "flags above 32 bits",
        &pair,
        copy_file_range((F, None), (G, None), 10, 1 << 32),
    );

    let same = [open(0, "big", O_RDWR), open(1, "big", O_RDWR)];
    cases.add("same file", &same, c(Some(0), Some(50_000), 20_000));
    cases.add(
        "same file, overlapping",
        &same,
        c(Some(0), Some(10), 20_000),
    );
    cases.add(
        "same descriptor",
        &same,
        copy_file_range((F, Some(0)), (F, Some(60_000)), 100, 0),
    );
    cases.add(
        "sparse",
        &[open(0, "sparse", O_RDONLY), open(1, "small", O_RDWR)],
        c(Some(0), Some(0), 1 << 21),
    );
    cases.add(
        "append",
        &[
            open(0, "big", O_RDONLY),
            open(1, "small", O_WRONLY | O_APPEND),
        ],
        c(None, None, 10),
    );
    cases.add(
        "in write-only",
        &[open(0, "big", O_WRONLY), open(1, "small", O_RDWR)],
        c(None, None, 10),
    );
    cases.add(
        "out read-only",
        &[open(0, "big", O_RDONLY), open(1, "small", O_RDONLY)],
        c(None, None, 10),
    );
    cases.add(
        "in a directory",
        &[open(0, "dir", O_RDONLY), open(1, "small", O_RDWR)],
        c(None, None, 10),
    );
    cases.add(
        "out a directory",
        &[open(0, "big", O_RDONLY), open(1, "dir", O_RDONLY)],
        c(None, None, 10),
    );
    cases.add(
        "in a pipe",
        &[Before::Pipe(0, 2), open(1, "small", O_RDWR)],
        c(None, None, 10),
    );
    cases.add(
        "out a pipe",
        &[open(0, "big", O_RDONLY), Before::Pipe(2, 1)],
        c(None, None, 10),
    );
    cases.add(
        "in a device",
        &[open(0, "/dev/zero", O_RDONLY), open(1, "small", O_RDWR)],
        c(None, None, 10),
    );
    cases.add(
        "in /proc",
        &[
            open(0, "/proc/self/comm", O_RDONLY),
            open(1, "small", O_RDWR),
        ],
        c(None, None, 10),
    );
    cases.add("in closed", &[open(1, "small", O_RDWR)], c(None, None, 10));
    cases.add("out closed", &[open(0, "big", O_RDONLY)], c(None, None, 10));
    cases.add("both closed", &[], c(None, None, 10));
    cases.add(
        "in a path descriptor",
        &[open(0, "big", O_PATH), open(1, "small", O_RDWR)],
        c(None, None, 10),
    );
    cases.add("garbage above", &pair, {
        copy_file_range((Arg::DirtyFd(0), None), (Arg::DirtyFd(1), None), 10, 0)
    });
    for (name, address) in [
        ("null-page", num(8)),
        ("kernel", KERNEL_ADDRESS),
        ("no access", Arg::Guard(0)),
        ("read-only page", Arg::Ro(0)),
        ("read-only page, far", Arg::Ro(4088)),
    ] {
        for which in [1, 3] {
            let mut op = c(Some(0), Some(0), 100);
            op.args[which] = address;
            cases.add(&format!("offset {which} at {name}"), &pair, op);
        }
    }
    cases.add("offsets at null are positions", &pair, {
        let mut op = c(Some(0), Some(0), 100);
        op.args[1] = NULL;
        op
    });
    for (name, limit) in [("above the size limit", 50), ("across the size limit", 150)] {
        cases
            .add(name, &pair, c(Some(0), Some(100), 100))
            .environment
            .file_size = Some(limit);
    }
    cases.user(
        "set-user-id goes",
        &[open(0, "small", O_RDONLY), open(1, "suid", O_WRONLY)],
        c(None, None, 5),
    );
    let crossing = [open(0, "big", O_RDONLY), open(1, "mnt/f", O_RDWR)];
    cases.mounted("across file systems", &crossing, c(None, None, 5000));
}
