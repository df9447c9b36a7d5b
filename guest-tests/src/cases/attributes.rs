// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mode, owner and times, of open files and by path.

use libc::{
    AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR, SYS_fchmod,
    SYS_fchmodat, SYS_fchown, SYS_fchownat, SYS_utimensat, UTIME_NOW, UTIME_OMIT,
};

use super::look::lookups;
use crate::case::{Before, Cases, open, remove, user_open};
use crate::op::{
    Arg, CWD, KERNEL_ADDRESS, NULL, Op, PathArg, STRUCT, WILD_ADDRESS, at, num, utimensat,
};

const F: Arg = Arg::Fd(0);

/// Adds the cases.
pub fn add(cases: &mut Cases) {
    let by_path: [fn(Arg, PathArg) -> Op; 3] = [
        |dir, path| at(SYS_fchmodat, dir, path, &[num(0o640)]),
        |dir, path| at(SYS_fchownat, dir, path, &[num(7), num(8), num(0)]),
        |dir, path| utimensat(dir, path, [(123, 456), (789, 12)], 0),
    ];
    for op in by_path {
        // Devices and /proc are not ours to change.
        let from = cases.0.len();
        lookups(cases, op);
        let mut which = 0;
        cases.0.retain(|case| {
            which += 1;
            which <= from || !reaches_outside(case.op.path_text(1))
        });
    }
    modes(cases);
    owners(cases);
    times(cases);
}

fn reaches_outside(path: Option<&[u8]>) -> bool {
    path.is_some_and(|path| path.starts_with(b"/") || path == b"self")
}

/// Open files of all kinds that can be changed without harm.
fn files() -> Vec<(&'static str, Vec<Before>)> {
    vec![
        ("file", vec![open(0, "small", O_RDWR)]),
        ("read-only descriptor", vec![open(0, "small", O_RDONLY)]),
        ("directory", vec![open(0, "dir", O_RDONLY)]),
        ("set-user-id", vec![open(0, "suid", O_RDONLY)]),
        ("set-group-id", vec![open(0, "sgid", O_RDONLY)]),
        ("fifo", vec![open(0, "fifo", O_RDWR)]),
        ("path descriptor", vec![open(0, "small", O_PATH)]),
        ("pipe", vec![Before::Pipe(0, 1)]),
        ("memfd", vec![Before::Memfd(0, b"x")]),
        ("unix socket", vec![Before::UnixPair(0, 1)]),
        ("removed", vec![open(0, "mine", O_RDWR), remove("mine", 0)]),
        (
            "append-only",
            vec![open(0, "mine", O_RDONLY), Before::Attributes("mine", 0x20)],
        ),
        (
            "immutable",
            vec![open(0, "mine", O_RDONLY), Before::Attributes("mine", 0x10)],
        ),
        ("closed", vec![]),
    ]
}

fn modes(cases: &mut Cases) {
    let f = |mode: i64| Op::new(SYS_fchmod, &[F, num(mode)]);
    for (name, before) in files() {
        cases.add(name, &before, f(0o751));
        cases.user(name, &before, f(0o751));
    }
    for mode in [
        0,
        0o7777,
        0o4755,
        0o2755,
        0o1777,
        0o107_777,
        0xffff,
        -1,
        0x1_0000_01ff,
    ] {
        cases.add(
            &format!("mode {mode:#o}"),
            &[open(0, "small", O_RDWR)],
            f(mode),
        );
        let op = at(SYS_fchmodat, CWD, "mine", &[num(mode)]);
        cases.add(&format!("mode {mode:#o}"), &[], op.clone());
        cases.user(&format!("mode {mode:#o}"), &[], op);
        let own = [user_open(0, "mine", O_RDWR)];
        cases.user(&format!("own file, mode {mode:#o}"), &own, f(mode));
    }
    cases.add("garbage above", &[open(0, "small", O_RDWR)], {
        Op::new(
            SYS_fchmod,
            &[Arg::DirtyFd(0), Arg::Num(0xdead_beef_0000_01a4)],
        )
    });
    // The group of the file is not the user's: the set-group-id bit goes.
    let group = [Before::Call(
        Op::new(SYS_fchownat, &[CWD, NULL, num(1000), num(0)]).path(1, "mine"),
    )];
    cases.user("foreign group loses set-group-id", &group, {
        at(SYS_fchmodat, CWD, "mine", &[num(0o2755)])
    });
    cases.add("flags are ignored", &[], {
        at(
            SYS_fchmodat,
            CWD,
            "link",
            &[num(0o600), num(i64::from(AT_SYMLINK_NOFOLLOW))],
        )
    });
    cases.mounted(
        "read-only file system",
        &[open(0, "rofs/f", O_RDONLY)],
        f(0o600),
    );
    let op = at(SYS_fchmodat, CWD, "rofs/f", &[num(0o600)]);
    cases.mounted("read-only file system, mode", &[], op.clone());
    cases.user(
        "not the owner",
        &[],
        at(SYS_fchmodat, CWD, "small", &[num(0o600)]),
    );
}

fn owners(cases: &mut Cases) {
    let f = |uid: i64, gid: i64| Op::new(SYS_fchown, &[F, num(uid), num(gid)]);
    let p = |path: &str, uid: i64, gid: i64, flags: i32| {
        at(
            SYS_fchownat,
            CWD,
            path,
            &[num(uid), num(gid), num(i64::from(flags))],
        )
    };
    for (name, before) in files() {
        cases.add(name, &before, f(5, 6));
        cases.add(&format!("{name}, neither"), &before, f(-1, -1));
        cases.user(name, &before, f(5, 6));
        cases.user(&format!("{name}, neither"), &before, f(-1, -1));
    }
    for (uid, gid) in [
        (1, -1),
        (-1, 1),
        (0, 0),
        (0xffff_fffe, 0),
        (0x7fff_ffff, 3),
        (0x1_0000_0001, 2),
    ] {
        cases.add(
            &format!("{uid}:{gid}"),
            &[open(0, "small", O_RDWR)],
            f(uid, gid),
        );
        cases.add(&format!("{uid}:{gid}"), &[], p("small", uid, gid, 0));
        cases.user(&format!("{uid}:{gid}"), &[], p("mine", uid, gid, 0));
    }
    cases.user("own group", &[], p("mine", -1, 1000, 0));
    cases.user(
        "own file, own group",
        &[user_open(0, "mine", O_RDWR)],
        f(1000, 1000),
    );
    cases.user("set-group-id goes", &[], p("sgid", -1, 1000, 0));
    for (path, flags) in [
        ("link", 0),
        ("link", AT_SYMLINK_NOFOLLOW),
        ("dangling", AT_SYMLINK_NOFOLLOW),
        ("dirlink/", AT_SYMLINK_NOFOLLOW),
        ("loop1", AT_SYMLINK_NOFOLLOW),
        ("suid", 0),
        ("sgid", 0),
        ("dir", 0),
        ("small", AT_EMPTY_PATH),
        ("small", 0x200),
        ("small", -1),
        ("none", -1),
        ("", 0),
        ("", AT_EMPTY_PATH),
    ] {
        cases.add(
            &format!("{path:?} flags {flags:#x}"),
            &[],
            p(path, 3, 4, flags),
        );
    }
    let bad = at(SYS_fchownat, CWD, NULL, &[num(1), num(1), num(-1)]);
    cases.add("bad name, bad flags", &[], bad);
    for (name, before) in [
        ("file", open(0, "small", O_RDONLY)),
        ("path descriptor", open(0, "link", O_PATH | O_NOFOLLOW)),
        ("nothing", Before::Close(0)),
    ] {
        let op = at(
            SYS_fchownat,
            F,
            "",
            &[num(3), num(4), num(i64::from(AT_EMPTY_PATH))],
        );
        cases.add(&format!("empty name of a {name}"), &[before], op);
    }
    cases.add("garbage above", &[open(0, "small", O_RDWR)], {
        Op::new(
            SYS_fchown,
            &[Arg::DirtyFd(0), Arg::Num(0xdead_beef_0000_0003), num(4)],
        )
    });
    cases.mounted(
        "read-only file system",
        &[open(0, "rofs/f", O_RDONLY)],
        f(1, 1),
    );
    cases.mounted(
        "read-only file system, neither",
        &[open(0, "rofs/f", O_RDONLY)],
        f(-1, -1),
    );
    cases.mounted("read-only file system, owner", &[], p("rofs/f", 1, 1, 0));
    cases.user("not the owner", &[], p("small", 1000, -1, 0));
}

fn times(cases: &mut Cases) {
    let set = [(1_111_111_111, 111), (1_222_222_222, 999_999_999)];
    let values = [
        ("both", set),
        ("before the epoch", [(-5, 1), (-1_000_000, 2)]),
        ("far", [(8_000_000_000, 1), (1 << 34, 2)]),
        ("beyond what is stored", [(i64::MAX, 0), (i64::MIN, 0)]),
        ("now and set", [(0, UTIME_NOW), set[1]]),
        ("set and now", [set[0], (0, UTIME_NOW)]),
        ("both now", [(7, UTIME_NOW), (8, UTIME_NOW)]),
        ("omit and set", [(0, UTIME_OMIT), set[1]]),
        ("set and omit", [set[0], (0, UTIME_OMIT)]),
        ("omit and now", [(0, UTIME_OMIT), (0, UTIME_NOW)]),
        ("both omit", [(7, UTIME_OMIT), (8, UTIME_OMIT)]),
        ("nanoseconds 10^9", [(0, 1_000_000_000), (0, 0)]),
        ("nanoseconds -1", [(0, 0), (0, -1)]),
        ("bad and omit", [(0, 2_000_000_000), (0, UTIME_OMIT)]),
    ];
    for (name, times) in values {
        cases.add(name, &[], utimensat(CWD, "small", times, 0));
        cases.add(
            &format!("{name}, descriptor"),
            &[open(0, "small", O_RDONLY)],
            utimensat(F, NULL, times, 0),
        );
        for path in ["mine", "small", "page", "secret", "none"] {
            cases.user(
                &format!("{path}, {name}"),
                &[],
                utimensat(CWD, path, times, 0),
            );
        }
    }
    let null_times = |dir: Arg, path: PathArg, flags: i32| {
        let mut op = utimensat(dir, path, set, flags);
        op.args[2] = NULL;
        op
    };
    cases.add("null is now", &[], null_times(CWD, "small".into(), 0));
    for path in ["mine", "small", "page", "secret"] {
        cases.user(
            &format!("{path}, null is now"),
            &[],
            null_times(CWD, path.into(), 0),
        );
    }
    for (path, flags) in [
        ("link", 0),
        ("link", AT_SYMLINK_NOFOLLOW),
        ("dangling", AT_SYMLINK_NOFOLLOW),
        ("loop1", AT_SYMLINK_NOFOLLOW),
        ("dir", AT_SYMLINK_NOFOLLOW),
        ("small", AT_EMPTY_PATH),
        ("small", 0x200),
        ("small", -1),
        ("none", -1),
        ("", 0),
        ("", AT_EMPTY_PATH),
    ] {
        cases.add(
            &format!("{path:?} flags {flags:#x}"),
            &[],
            utimensat(CWD, path, set, flags),
        );
    }
    for (name, before) in [
        ("file", open(0, "small", O_RDONLY)),
        ("directory", open(0, "dir", O_RDONLY)),
        ("path descriptor", open(0, "link", O_PATH | O_NOFOLLOW)),
        ("pipe", Before::Pipe(0, 1)),
        ("memfd", Before::Memfd(0, b"x")),
        (
            "immutable",
            open(0, "immutable-to-be", O_RDONLY | libc::O_CREAT),
        ),
        ("nothing", Before::Close(0)),
    ] {
        let before = [before, Before::Attributes("immutable-to-be", 0x10)];
        for flags in [0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, 0x200] {
            let name = format!("null name of a {name}, flags {flags:#x}");
            cases.add(&name, &before, utimensat(F, NULL, set, flags));
        }
        let name = format!("empty name of a {name}");
        cases.add(&name, &before, utimensat(F, "", set, AT_EMPTY_PATH));
    }
    cases.add("null name of AT_FDCWD", &[], utimensat(CWD, NULL, set, 0));
    for (name, attribute) in [("append-only", 0x20), ("immutable", 0x10)] {
        let before = [Before::Attributes("mine", attribute)];
        cases.add(name, &before, utimensat(CWD, "mine", set, 0));
        cases.add(
            &format!("{name}, now"),
            &before,
            null_times(CWD, "mine".into(), 0),
        );
    }
    for (name, address) in [
        ("times nowhere", WILD_ADDRESS),
        ("times in the kernel", KERNEL_ADDRESS),
        ("times without access", Arg::Guard(0)),
        (
            "times cross into no access",
            Arg::Out(crate::arena::OUT_SIZE - 16),
        ),
        ("times in the read-only page", Arg::Ro(0)),
    ] {
        for path in ["small", "none"] {
            let mut op = utimensat(CWD, path, set, 0);
            op.args[2] = address;
            cases.add(&format!("{name}, {path}"), &[], op);
        }
    }
    cases.add("bad times, bad name, bad flags", &[], {
        Op::new(SYS_utimensat, &[F, NULL, WILD_ADDRESS, num(-1)])
    });
    cases.add("both omit, bad name, bad flags", &[], {
        let mut op = utimensat(F, WILD_ADDRESS, [(0, UTIME_OMIT); 2], -1);
        op.args[2] = Arg::In(STRUCT);
        op
    });
    cases.mounted(
        "read-only file system",
        &[],
        utimensat(CWD, "rofs/f", set, 0),
    );
    let read_only = [open(0, "rofs/f", O_RDONLY)];
    cases.mounted(
        "read-only file system, descriptor",
        &read_only,
        utimensat(F, NULL, set, 0),
    );
}
