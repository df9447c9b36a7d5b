// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking at files: fstat, newfstatat, statx, readlinkat, faccessat, getdents64.

use libc::{
    AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_REMOVEDIR, AT_STATX_DONT_SYNC,
    AT_STATX_FORCE_SYNC, AT_SYMLINK_NOFOLLOW, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR,
    SYS_faccessat, SYS_getdents64, SYS_readlinkat,
};

use crate::arena::OUT_SIZE;
use crate::case::{Before, Cases, open, remove, seek};
use crate::op::{
    Arg, CWD, KERNEL_ADDRESS, NULL, Op, Output, PathArg, WILD_ADDRESS, at, fstat, getdents,
    newfstatat, num, readlinkat, statx,
};
use crate::tree::long_name;

const F: Arg = Arg::Fd(0);
const BASIC: u32 = 0x7ff;
const BTIME: u32 = 0x800;
const END: usize = OUT_SIZE;

/// Adds the cases.
pub fn add(cases: &mut Cases) {
    let by_path: [fn(Arg, PathArg) -> Op; 4] = [
        |dir, path| newfstatat(dir, path, 0),
        |dir, path| statx(dir, path, 0, BASIC | BTIME),
        |dir, path| readlinkat(dir, path, 4096),
        |dir, path| at(SYS_faccessat, dir, path, &[num(i64::from(libc::R_OK))]),
    ];
    for op in by_path {
        lookups(cases, op);
    }
    stat_flags(cases);
    statx_masks(cases);
    readlinks(cases);
    access(cases);
    descriptors(cases);
    directories(cases);
}

/// What every call that looks a path up has in common.
pub fn lookups(cases: &mut Cases, op: fn(Arg, PathArg) -> Op) {
    let o = |path: &str| op(CWD, PathArg::from(path));
    for path in [
        "small",
        "dir",
        "dir/",
        "dir/sub/deep",
        "link",
        "dirlink",
        "dirlink/",
        "dirlink/a",
        "dangling",
        "loop1",
        "loop1/x",
        "abs",
        "escape",
        "up",
        "fifo",
        "suid",
        "none",
        "none/x",
        "small/",
        "small/x",
        "link/",
        ".",
        "..",
        "./dir/..",
        "dir//sub///deep",
        "@/small",
        "@/none",
        "/",
        "//",
        "sparse",
        "nodir/f",
        "/dev/null",
        "/proc/self",
        "self",
        "sticky",
        "hard",
    ] {
        cases.add(path, &[], o(path));
    }
    cases.add("empty name", &[], o(""));
    let long = long_name();
    cases.add("longest name", &[], o(&long));
    cases.add("name too long", &[], o(&format!("{long}n")));
    cases.add(
        "longest path",
        &[],
        o(&format!("{}small", "./".repeat(2045))),
    );
    cases.add("path too long", &[], o(&"x/".repeat(2048)));
    for (name, path) in [
        ("name at null", PathArg::Bad(NULL)),
        ("name in the kernel", PathArg::Bad(KERNEL_ADDRESS)),
        ("name nowhere", PathArg::Bad(WILD_ADDRESS)),
        ("name without access", PathArg::Bad(Arg::Guard(0))),
        ("name runs into no access", PathArg::Cut(b"smal".to_vec())),
        (
            "name ends before no access",
            PathArg::Snug(b"link".to_vec()),
        ),
    ] {
        cases.add(name, &[], op(CWD, path.clone()));
        cases.add(&format!("{name}, closed directory"), &[], op(F, path));
    }
    cases
        .add("in a working directory", &[], o("../small"))
        .environment
        .directory = Some("dir");
    let dir = [open(0, "dir", O_RDONLY)];
    cases.add("below a directory", &dir, op(F, "a".into()));
    cases.add(
        "below a directory, link",
        &[open(0, ".", O_RDONLY)],
        op(F, "link".into()),
    );
    cases.add(
        "garbage above the directory",
        &dir,
        op(Arg::DirtyFd(0), "a".into()),
    );
    cases.add(
        "garbage above AT_FDCWD",
        &[],
        op(
            Arg::Num(0x1234_5678_0000_0000 | u64::from(AT_FDCWD as u32)),
            "link".into(),
        ),
    );
    cases.add(
        "below a path descriptor",
        &[open(0, "dir", O_PATH)],
        op(F, "sub".into()),
    );
    cases.add(
        "below a file",
        &[open(0, "small", O_RDONLY)],
        op(F, "x".into()),
    );
    cases.add(
        "below a file, absolute",
        &[open(0, "small", O_RDONLY)],
        op(F, "@/link".into()),
    );
    cases.add(
        "below a file, empty name",
        &[open(0, "small", O_RDONLY)],
        op(F, "".into()),
    );
    cases.add("below a closed descriptor", &[], op(F, "a".into()));
    cases.add(
        "below a closed descriptor, absolute",
        &[],
        op(F, "@/link".into()),
    );
    cases.add(
        "below a closed descriptor, empty name",
        &[],
        op(F, "".into()),
    );
    let removed = [
        open(0, "emptydir", O_RDONLY),
        remove("emptydir", AT_REMOVEDIR),
    ];
    cases.add("below a removed directory", &removed, op(F, "a".into()));
    cases.add("a removed directory", &removed, op(F, ".".into()));
    for path in [
        "small",
        "secret",
        "nodir/f",
        "nodir",
        "rodir/f",
        "mine",
        "dir/b",
        "nodir/none",
    ] {
        cases.user(path, &[], o(path));
    }
    cases.user(
        "below a directory opened by root",
        &[open(0, "nodir", O_RDONLY)],
        op(F, "f".into()),
    );
    cases.mounted("read-only file system", &[], o("rofs/f"));
    cases.mounted("mount point", &[], o("mnt"));
}

fn stat_flags(cases: &mut Cases) {
    let calls: [fn(Arg, PathArg, i32) -> Op; 2] = [newfstatat, |dir, path, flags| {
        statx(dir, path, flags, BASIC)
    }];
    for op in calls {
        for (path, flags) in [
            ("link", AT_SYMLINK_NOFOLLOW),
            ("dangling", AT_SYMLINK_NOFOLLOW),
            ("loop1", AT_SYMLINK_NOFOLLOW),
            ("dirlink/", AT_SYMLINK_NOFOLLOW),
            ("small", AT_NO_AUTOMOUNT),
            ("small", AT_EMPTY_PATH),
            ("small", AT_STATX_FORCE_SYNC),
            ("small", AT_STATX_DONT_SYNC),
            ("small", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC),
            ("small", AT_REMOVEDIR),
            ("small", 0x4000_0000),
            ("small", -1),
            ("none", -1),
            ("", AT_EMPTY_PATH),
        ] {
            let name = format!("{path:?} flags {flags:#x}");
            cases.add(&name, &[], op(CWD, path.into(), flags));
        }
        for (name, path) in [("empty", PathArg::from("")), ("null", PathArg::Bad(NULL))] {
            for (kind, before) in [
                ("file", open(0, "small", O_RDONLY)),
                ("path descriptor", open(0, "link", O_PATH | O_NOFOLLOW)),
                ("pipe", Before::Pipe(0, 1)),
                ("unix socket", Before::UnixPair(0, 1)),
                ("nothing", Before::Close(0)),
            ] {
                for flags in [
                    AT_EMPTY_PATH,
                    AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW,
                    AT_EMPTY_PATH | 0x40_0000,
                ] {
                    let name = format!("{name} name of a {kind}, flags {flags:#x}");
                    cases.add(
                        &name,
                        std::slice::from_ref(&before),
                        op(F, path.clone(), flags),
                    );
                }
            }
            let name = format!("{name} name of AT_FDCWD");
            cases.add(&name, &[], op(CWD, path, AT_EMPTY_PATH));
        }
        cases.add("bad name, bad flags", &[], op(CWD, WILD_ADDRESS.into(), -1));
        let place = if op(CWD, "".into(), 0).output == Output::Stat {
            2
        } else {
            4
        };
        for (name, address) in [
            ("into null", NULL),
            ("into the kernel", KERNEL_ADDRESS),
            ("into no access", Arg::Guard(0)),
            ("into a read-only page", Arg::Ro(0)),
            ("across into no access", Arg::Out(END - 100)),
        ] {
            let mut faulty = op(CWD, "small".into(), 0);
            faulty.args[place] = address;
            cases.add(name, &[], faulty.clone());
            let mut faulty = op(CWD, "none".into(), 0);
            faulty.args[place] = address;
            cases.add(&format!("{name}, no file"), &[], faulty);
        }
        cases.add("garbage above the flags", &[], {
            let mut op = op(CWD, "link".into(), 0);
            let flags = if place == 2 { 3 } else { 2 };
            op.args[flags] = Arg::Num(0xdead_beef_0000_0000 | AT_SYMLINK_NOFOLLOW as u64);
            op
        });
    }
}

fn statx_masks(cases: &mut Cases) {
    for bit in 0..32 {
        for path in ["small", "dir", "/dev/null"] {
            cases.add(
                &format!("{path} mask bit {bit}"),
                &[],
                statx(CWD, path, 0, 1 << bit),
            );
        }
    }
    for mask in [0, BASIC, BASIC | BTIME, 0x2fff, 0x0003_afff] {
        let op = statx(CWD, "link", AT_SYMLINK_NOFOLLOW, mask);
        cases.add(&format!("link mask {mask:#x}"), &[], op);
    }
    cases.add("mount id", &[], statx(CWD, "small", 0, BASIC | 0x1000));
    cases.add(
        "unique mount id",
        &[],
        statx(CWD, "small", 0, BASIC | 0x4000),
    );
    cases.add("all bits", &[], statx(CWD, "small", 0, u32::MAX));
    cases.add("garbage above the mask", &[], {
        let mut op = statx(CWD, "small", 0, 0);
        op.args[3] = Arg::Num(0xdead_beef_0000_0000 | u64::from(BASIC));
        op
    });
    for (attribute, name) in [
        (0x10, "immutable"),
        (0x20, "append-only"),
        (0x40, "no dump"),
    ] {
        let before = [Before::Attributes("small", attribute)];
        cases.add(name, &before, statx(CWD, "small", 0, BASIC));
    }
    cases.mounted("mount point's attribute", &[], statx(CWD, "mnt", 0, BASIC));
    cases.mounted("no mount point", &[], statx(CWD, "mnt/f", 0, BASIC));
}

fn readlinks(cases: &mut Cases) {
    for len in [0, 1, 4, 5, 6, 4096, -1, i64::from(i32::MIN), i64::MAX] {
        cases.add(&format!("room {len}"), &[], readlinkat(CWD, "link", len));
        cases.add(
            &format!("room {len}, no link"),
            &[],
            readlinkat(CWD, "small", len),
        );
    }
    cases.add("room 0, no file", &[], readlinkat(CWD, "none", 0));
    cases.add("room 0, bad name", &[], readlinkat(CWD, NULL, 0));
    let link = [open(0, "link", O_PATH | O_NOFOLLOW)];
    cases.add("empty name of a link", &link, readlinkat(F, "", 100));
    cases.add(
        "empty name of a file",
        &[open(0, "small", O_PATH)],
        readlinkat(F, "", 100),
    );
    cases.add("empty name of AT_FDCWD", &[], readlinkat(CWD, "", 100));
    cases.add(
        "magic link",
        &[open(0, "small", O_RDONLY)],
        readlinkat(CWD, "/proc/self/cwd", 4),
    );
    cases.add(
        "magic link to a root",
        &[],
        readlinkat(CWD, "/proc/self/root", 100),
    );
    for (name, address) in [
        ("into null", NULL),
        ("into the kernel", KERNEL_ADDRESS),
        ("into no access", Arg::Guard(0)),
        ("into a read-only page", Arg::Ro(0)),
        ("across into no access", Arg::Out(END - 2)),
    ] {
        let mut op = readlinkat(CWD, "link", 100);
        op.args[2] = address;
        cases.add(name, &[], op);
    }
    let op = at(SYS_readlinkat, CWD, "link", &[Arg::Out(END - 5), num(100)]);
    cases.add("fits before no access", &[], op);
}

fn access(cases: &mut Cases) {
    let a = |path: &str, mode: i64| at(SYS_faccessat, CWD, path, &[num(mode)]);
    for path in [
        "small", "secret", "suid", "dir", "nodir", "rodir", "mine", "page", "dir/b", "fifo",
    ] {
        for mode in 0..8 {
            cases.add(&format!("{path} mode {mode}"), &[], a(path, mode));
            cases.user(&format!("{path} mode {mode}"), &[], a(path, mode));
        }
    }
    for mode in [8, -1, i64::from(i32::MIN), 7 + 8, 0x1_0000_0004] {
        cases.add(&format!("mode {mode:#x}"), &[], a("small", mode));
        cases.add(&format!("mode {mode:#x}, none"), &[], a("none", mode));
    }
    cases.add(
        "bad mode, bad name",
        &[],
        at(SYS_faccessat, CWD, NULL, &[num(8)]),
    );
    cases.add(
        "fourth argument is ignored",
        &[],
        at(SYS_faccessat, CWD, "small", &[num(4), num(-1)]),
    );
    cases.mounted("read-only file system, write", &[], a("rofs/f", 2));
    cases.mounted("read-only file system, directory", &[], a("rofs/d", 2));
    cases.mounted("read-only file system, read", &[], a("rofs/f", 4));
}

fn descriptors(cases: &mut Cases) {
    for (name, before) in [
        ("file", open(0, "small", O_RDWR)),
        ("directory", open(0, "dir", O_RDONLY)),
        ("sparse", open(0, "sparse", O_RDONLY)),
        ("set-user-id", open(0, "suid", O_RDONLY)),
        ("path descriptor", open(0, "link", O_PATH | O_NOFOLLOW)),
        ("device", open(0, "/dev/null", O_RDWR)),
        ("fifo", open(0, "fifo", O_RDWR)),
        ("pipe", Before::Pipe(0, 1)),
        ("epoll", Before::Epoll(0)),
        ("unix socket", Before::UnixPair(0, 1)),
        ("memfd", Before::Memfd(0, b"content")),
        ("/proc", open(0, "/proc/self/comm", O_RDONLY)),
    ] {
        cases.add(name, std::slice::from_ref(&before), fstat(F));
        cases.user(name, std::slice::from_ref(&before), fstat(F));
    }
    cases.add(
        "garbage above",
        &[open(0, "small", O_RDWR)],
        fstat(Arg::DirtyFd(0)),
    );
    cases.add(
        "removed",
        &[open(0, "mine", O_RDWR), remove("mine", 0)],
        fstat(F),
    );
    cases.add("closed", &[], fstat(F));
    cases.add("i32::MAX", &[], fstat(num(i64::from(i32::MAX))));
    for (name, address) in [
        ("into null", NULL),
        ("into the kernel", KERNEL_ADDRESS),
        ("into no access", Arg::Guard(0)),
        ("into a read-only page", Arg::Ro(0)),
        ("across into no access", Arg::Out(END - 50)),
    ] {
        let mut op = fstat(F);
        op.args[1] = address;
        cases.add(name, &[open(0, "small", O_RDONLY)], op.clone());
        cases.add(&format!("closed, {name}"), &[], op);
    }
}

fn directories(cases: &mut Cases) {
    let many = [open(0, "many", O_RDONLY | O_DIRECTORY)];
    for len in [32_768, 4096, 1000, 200, 64, 32, 24, 23, 10, 1, 0] {
        cases.add(&format!("room {len}"), &many, getdents(F, len));
    }
    for len in [-1, i64::from(i32::MAX), 1 << 32, (1 << 32) + 200] {
        cases.add(&format!("room {len}"), &many, getdents(F, len));
    }
    let part = Before::Call(getdents(F, 300));
    cases.add(
        "second part",
        &[many[0].clone(), part.clone()],
        getdents(F, 32_768),
    );
    let all = Before::Call(getdents(F, 60_000));
    cases.add(
        "after the end",
        &[many[0].clone(), all.clone()],
        getdents(F, 32_768),
    );
    cases.add(
        "after the end, no room",
        &[many[0].clone(), all.clone()],
        getdents(F, 0),
    );
    cases.add(
        "again from the start",
        &[many[0].clone(), all, seek(0, 0)],
        getdents(F, 32_768),
    );
    for dir in ["dir", "emptydir", ".", "/proc/self/task/..", "/sys"] {
        cases.add(dir, &[open(0, dir, O_RDONLY)], getdents(F, 300));
    }
    let removed = [
        open(0, "emptydir", O_RDONLY),
        remove("emptydir", AT_REMOVEDIR),
    ];
    cases.add("removed", &removed, getdents(F, 1000));
    cases.add(
        "removed since",
        &[many[0].clone(), part, remove("many/xxxxxxx1", 0)],
        getdents(F, 32_768),
    );
    cases.add(
        "seek to nowhere",
        &[many[0].clone(), seek(0, 12_345)],
        getdents(F, 32_768),
    );
    cases.add("garbage above", &many, getdents(Arg::DirtyFd(0), 32_768));
    cases.user(
        "opened by root",
        &[open(0, "nodir", O_RDONLY)],
        getdents(F, 4096),
    );

    cases.add("closed", &[], getdents(F, 1000));
    cases.add("file", &[open(0, "small", O_RDONLY)], getdents(F, 1000));
    cases.add(
        "file, no room",
        &[open(0, "small", O_RDONLY)],
        getdents(F, 0),
    );
    cases.add("pipe", &[Before::Pipe(0, 1)], getdents(F, 1000));
    cases.add(
        "path descriptor",
        &[open(0, "dir", O_PATH)],
        getdents(F, 1000),
    );
    let to = |address: Arg, len: i64| {
        let mut op = Op::new(SYS_getdents64, &[F, address, num(len)]);
        op.output = Output::Dents;
        op
    };
    cases.add("into null", &many, to(NULL, 1000));
    cases.add("into the kernel", &many, to(KERNEL_ADDRESS, 1000));
    cases.add("into nowhere", &many, to(WILD_ADDRESS, 1000));
    cases.add("into no access", &many, to(Arg::Guard(0), 1000));
    cases.add("into a read-only page", &many, to(Arg::Ro(0), 1000));
    cases.add(
        "file, into null",
        &[open(0, "small", O_RDWR)],
        to(NULL, 1000),
    );
    for room in [20, 30, 100, 200] {
        let op = to(Arg::Out(END - room), 4096);
        cases.add(&format!("across into no access after {room}"), &many, op);
    }
}
