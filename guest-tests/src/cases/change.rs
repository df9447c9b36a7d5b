// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changing directories: mkdirat, unlinkat, renameat2, symlinkat, linkat.

use libc::{
    AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, O_DIRECTORY, O_NOFOLLOW, O_PATH,
    O_RDONLY, O_RDWR, O_TMPFILE, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, SYS_linkat,
    SYS_mkdirat, SYS_renameat2, SYS_unlinkat,
};

use crate::case::{Before, Cases, open, remove};
use crate::op::{
    Arg, CWD, KERNEL_ADDRESS, NULL, Op, PathArg, WILD_ADDRESS, at, num, openat, symlinkat,
    two_paths,
};
use crate::tree::long_name;

const F: Arg = Arg::Fd(0);
const G: Arg = Arg::Fd(1);

/// Adds the cases.
pub fn add(cases: &mut Cases) {
    let by_path: [fn(Arg, PathArg) -> Op; 6] = [
        |dir, path| at(SYS_mkdirat, dir, path, &[num(0o755)]),
        |dir, path| at(SYS_unlinkat, dir, path, &[num(0)]),
        |dir, path| at(SYS_unlinkat, dir, path, &[num(i64::from(AT_REMOVEDIR))]),
        |dir, path| symlinkat("target", dir, path),
        |dir, path| two_paths(SYS_linkat, (CWD, "small".into()), (dir, path), 0),
        |dir, path| two_paths(SYS_linkat, (dir, path), (CWD, "new".into()), 0),
    ];
    for (which, op) in by_path.into_iter().enumerate() {
        names(cases, &format!("{which} "), op);
    }
    let renames: [fn(Arg, PathArg) -> Op; 4] = [
        |dir, path| rename((dir, path), (CWD, "new".into()), 0),
        |dir, path| rename((CWD, "small".into()), (dir, path), 0),
        |dir, path| rename((CWD, "other".into()), (dir, path), 0),
        |dir, path| rename((CWD, "small".into()), (dir, path), RENAME_NOREPLACE),
    ];
    for (which, op) in renames.into_iter().enumerate() {
        names(cases, &format!("{which} "), op);
    }
    directories(cases);
    removals(cases);
    renaming(cases);
    symlinks(cases);
    links(cases);
}

fn rename(from: (Arg, PathArg), to: (Arg, PathArg), flags: u32) -> Op {
    two_paths(SYS_renameat2, from, to, flags)
}

/// What every call that names a directory entry has in common.
fn names(cases: &mut Cases, prefix: &str, op: fn(Arg, PathArg) -> Op) {
    let mut add = |name: &str, before: &[Before], op: Op| {
        cases.add(&format!("{prefix}{name}"), before, op);
    };
    for path in [
        "small",
        "dir",
        "dir/",
        "emptydir",
        "emptydir/",
        "emptydir//",
        "fresh",
        "fresh/",
        "dir/fresh",
        "dir/a",
        "dir//sub/./fresh",
        "dir/../fresh",
        "none/fresh",
        "small/",
        "small/fresh",
        "link",
        "link/",
        "dirlink",
        "dirlink/",
        "dirlink/fresh",
        "dangling",
        "dangling/",
        "loop1",
        "loop1/fresh",
        "up/fresh",
        ".",
        "..",
        "dir/.",
        "dir/..",
        "dir/./",
        "@/fresh",
        "@/dir/a",
        "@/small",
        "/",
        "hard",
        "fifo",
        "sparse",
        "",
    ] {
        add(&format!("{path:?}"), &[], op(CWD, path.into()));
    }
    let long = long_name();
    add("longest name", &[], op(CWD, format!("dir/{long}").into()));
    add("name too long", &[], op(CWD, format!("{long}n").into()));
    add("path too long", &[], op(CWD, "./".repeat(2048).into()));
    // As long as what the kernel has room for beside a name's head, and one less and more.
    for len in [167, 168, 169] {
        let path = format!("dir{}fresh", "/".repeat(len - "dirfresh".len()));
        add(&format!("path of {len} bytes"), &[], op(CWD, path.into()));
    }
    for (name, path) in [
        ("name at null", PathArg::Bad(NULL)),
        ("name in the kernel", PathArg::Bad(KERNEL_ADDRESS)),
        ("name nowhere", PathArg::Bad(WILD_ADDRESS)),
        ("name without access", PathArg::Bad(Arg::Guard(0))),
        ("name runs into no access", PathArg::Cut(b"fres".to_vec())),
        (
            "name ends before no access",
            PathArg::Snug(b"fresh".to_vec()),
        ),
    ] {
        add(name, &[], op(CWD, path));
    }
    let dir = [open(0, "dir", O_RDONLY)];
    for path in ["a", "fresh", "sub", "@/fresh", "../fresh", ""] {
        add(
            &format!("below a directory: {path:?}"),
            &dir,
            op(F, path.into()),
        );
    }
    add(
        "garbage above the directory",
        &dir,
        op(Arg::DirtyFd(0), "fresh".into()),
    );
    let cwd = Arg::Num(0x1234_5678_0000_0000 | u64::from(AT_FDCWD as u32));
    add("garbage above AT_FDCWD", &[], op(cwd, "mine".into()));
    add(
        "below a path descriptor",
        &[open(0, "dir", O_PATH)],
        op(F, "fresh".into()),
    );
    add(
        "below a file",
        &[open(0, "small", O_RDONLY)],
        op(F, "fresh".into()),
    );
    add(
        "below a file, absolute",
        &[open(0, "small", O_RDONLY)],
        op(F, "@/mine".into()),
    );
    add("below a closed descriptor", &[], op(F, "fresh".into()));
    add(
        "below a closed descriptor, absolute",
        &[],
        op(F, "@/mine".into()),
    );
    let removed = [
        open(0, "emptydir", O_RDONLY),
        remove("emptydir", AT_REMOVEDIR),
    ];
    add("below a removed directory", &removed, op(F, "fresh".into()));
    let name = format!("{prefix}in a working directory");
    cases
        .add(&name, &[], op(CWD, "fresh".into()))
        .environment
        .directory = Some("dir");
    for path in [
        "dir/fresh",
        "dir/a",
        "rodir/fresh",
        "rodir/f",
        "nodir/f",
        "sticky/fresh",
        "sticky/f",
        "other/c",
        "mine",
        "emptydir",
        "sgiddir/fresh",
    ] {
        cases.user(&format!("{prefix}{path:?}"), &[], op(CWD, path.into()));
    }
    for path in [
        "rofs/fresh",
        "rofs/f",
        "rofs/d",
        "mnt",
        "mnt/f",
        "mnt/fresh",
        "rofs/l/x",
        "rofs/none/x",
    ] {
        cases.mounted(&format!("{prefix}{path:?}"), &[], op(CWD, path.into()));
    }
}

fn directories(cases: &mut Cases) {
    let m = |path: &str, mode: i64| at(SYS_mkdirat, CWD, path, &[num(mode)]);
    for mode in [0, 0o777, 0o7777, 0o1777, 0o2777, -1, 0x1_0000_01ff] {
        cases.add(&format!("mode {mode:#o}"), &[], m("fresh", mode));
        cases.add(
            &format!("set-group-id directory, mode {mode:#o}"),
            &[],
            m("sgiddir/fresh", mode),
        );
        cases.user(
            &format!("set-group-id directory, mode {mode:#o}"),
            &[],
            m("sgiddir/fresh", mode),
        );
    }
    for mask in [0, 0o77, 0o777] {
        cases
            .add(&format!("umask {mask:#o}"), &[], m("fresh", 0o7777))
            .environment
            .umask = Some(mask);
    }
}

fn removals(cases: &mut Cases) {
    let u = |path: &str, flags: i32| at(SYS_unlinkat, CWD, path, &[num(i64::from(flags))]);
    for flags in [0x100, AT_EMPTY_PATH, AT_REMOVEDIR | 1, -1] {
        cases.add(&format!("flags {flags:#x}"), &[], u("small", flags));
        cases.add(&format!("flags {flags:#x}, none"), &[], u("none", flags));
        let op = at(SYS_unlinkat, CWD, NULL, &[num(i64::from(flags))]);
        cases.add(&format!("flags {flags:#x}, bad name"), &[], op);
    }
    cases.add("garbage above the flags", &[], {
        at(
            SYS_unlinkat,
            CWD,
            "emptydir",
            &[Arg::Num(0xdead_beef_0000_0200)],
        )
    });
    cases.add("open file", &[open(0, "big", O_RDONLY)], u("big", 0));
    cases.add(
        "open directory",
        &[open(0, "emptydir", O_RDONLY)],
        u("emptydir", AT_REMOVEDIR),
    );
    for (name, attribute) in [("append-only", 0x20), ("immutable", 0x10)] {
        let before = [Before::Attributes("mine", attribute)];
        cases.add(name, &before, u("mine", 0));
        let before = [Before::Attributes("dir", attribute)];
        cases.add(&format!("in an {name} directory"), &before, u("dir/a", 0));
        cases.add(
            &format!("{name} directory, back"),
            &[Before::Attributes("dir", 0)],
            u("none", 0),
        );
    }
    for path in ["nodir", "rodir", "sticky/f", "other", "other/c"] {
        cases.user(&format!("directory {path:?}"), &[], u(path, AT_REMOVEDIR));
    }
}

fn renaming(cases: &mut Cases) {
    let r = |from: &str, to: &str, flags: u32| rename((CWD, from.into()), (CWD, to.into()), flags);
    for (from, to) in [
        ("small", "small"),
        ("small", "big"),
        ("small", "dir"),
        ("small", "dir/"),
        ("small", "emptydir"),
        ("dir", "emptydir"),
        ("dir", "other"),
        ("dir", "small"),
        ("dir", "dir/sub/inside"),
        ("dir", "dir/sub"),
        ("dir/sub", "dir"),
        ("dir", "fresh/"),
        ("small", "fresh/"),
        ("emptydir/", "fresh"),
        ("link", "fresh"),
        ("link", "dirlink"),
        ("dirlink/", "fresh"),
        ("page", "hard"),
        ("hard", "page"),
        ("fifo", "small"),
        ("none", "small"),
        ("none", "none"),
        ("dir/a", "../outside"),
        ("up/outside", "small"),
        (".", "fresh"),
        ("small", "dir/."),
        ("small", "dir/.."),
        ("dir/..", "fresh"),
    ] {
        for flags in [0, RENAME_NOREPLACE, RENAME_EXCHANGE] {
            cases.add(
                &format!("{from:?} to {to:?} flags {flags}"),
                &[],
                r(from, to, flags),
            );
        }
    }
    for flags in [
        RENAME_NOREPLACE | RENAME_EXCHANGE,
        RENAME_WHITEOUT,
        RENAME_WHITEOUT | RENAME_EXCHANGE,
        RENAME_WHITEOUT | RENAME_NOREPLACE,
        8,
        u32::MAX,
    ] {
        cases.add(
            &format!("flags {flags:#x}"),
            &[],
            r("small", "fresh", flags),
        );
        cases.add(
            &format!("flags {flags:#x}, none"),
            &[],
            r("none", "fresh", flags),
        );
        let bad = rename((CWD, NULL.into()), (CWD, NULL.into()), flags);
        cases.add(&format!("flags {flags:#x}, bad names"), &[], bad);
    }
    cases.add("garbage above the flags", &[], {
        let mut op = r("small", "big", 0);
        op.args[4] = Arg::Num(0xdead_beef_0000_0001);
        op
    });
    for (name, to) in [("null", NULL), ("nowhere", WILD_ADDRESS)] {
        let op = rename((CWD, "none".into()), (CWD, to.into()), 0);
        cases.add(&format!("second name at {name}, first none"), &[], op);
    }
    let pair = [
        open(0, "dir", O_RDONLY | O_DIRECTORY),
        open(1, "other", O_PATH),
    ];
    cases.add(
        "two directories",
        &pair,
        rename((F, "a".into()), (G, "a".into()), 0),
    );
    cases.add("two directories, exchange", &pair, {
        rename((F, "a".into()), (G, "c".into()), RENAME_EXCHANGE)
    });
    cases.add(
        "second directory closed",
        &pair[..1],
        rename((F, "a".into()), (G, "a".into()), 0),
    );
    cases.add("first directory closed, second name bad", &[], {
        rename((F, "a".into()), (CWD, NULL.into()), 0)
    });
    for (from, to) in [
        ("sticky/f", "dir/fresh"),
        ("mine", "sticky/f"),
        ("other", "dir/fresh"),
        ("dir/sub", "dir/fresh"),
        ("rodir", "fresh"),
        ("nodir", "fresh"),
        ("mine", "rodir/fresh"),
    ] {
        for flags in [0, RENAME_EXCHANGE] {
            cases.user(
                &format!("{from:?} to {to:?} flags {flags}"),
                &[],
                r(from, to, flags),
            );
        }
    }
    for (from, to) in [
        ("small", "mnt/fresh"),
        ("mnt/f", "fresh"),
        ("mnt/f", "mnt/g"),
        ("mnt", "fresh"),
        ("emptydir", "mnt"),
        ("rofs/f", "rofs/g"),
        ("rofs/f", "fresh"),
        ("small", "rofs/fresh"),
        ("rofs/f", "mnt/."),
    ] {
        for flags in [0, RENAME_NOREPLACE, RENAME_EXCHANGE] {
            cases.mounted(
                &format!("{from:?} to {to:?} flags {flags}"),
                &[],
                r(from, to, flags),
            );
        }
    }
}

fn symlinks(cases: &mut Cases) {
    for target in ["small", "/", "..", "a//b/", "@/small"] {
        cases.add(
            &format!("target {target:?}"),
            &[],
            symlinkat(target, CWD, "fresh"),
        );
    }
    cases.add("empty target", &[], symlinkat("", CWD, "fresh"));
    cases.add(
        "empty target, entry exists",
        &[],
        symlinkat("", CWD, "small"),
    );
    cases.add("empty target, bad name", &[], symlinkat("", CWD, NULL));
    cases.add(
        "longest target",
        &[],
        symlinkat("t".repeat(4095), CWD, "fresh"),
    );
    cases.add(
        "longest fast target",
        &[],
        symlinkat("t".repeat(59), CWD, "fresh"),
    );
    cases.add(
        "first slow target",
        &[],
        symlinkat("t".repeat(60), CWD, "fresh"),
    );
    cases.add(
        "target too long",
        &[],
        symlinkat("t".repeat(4096), CWD, "fresh"),
    );
    for (name, address) in [
        ("null", NULL),
        ("the kernel", KERNEL_ADDRESS),
        ("no access", Arg::Guard(0)),
    ] {
        cases.add(
            &format!("target at {name}"),
            &[],
            symlinkat(address, CWD, "fresh"),
        );
        cases.add(
            &format!("target at {name}, exists"),
            &[],
            symlinkat(address, CWD, "small"),
        );
        cases.add(
            &format!("target at {name}, closed directory"),
            &[],
            symlinkat(address, F, "fresh"),
        );
    }
    cases.add("target runs into no access", &[], {
        symlinkat(PathArg::Cut(b"abc".to_vec()), CWD, "fresh")
    });
    cases.user(
        "in a set-group-id directory",
        &[],
        symlinkat("x", CWD, "sgiddir/fresh"),
    );
}

fn links(cases: &mut Cases) {
    let l = |from: &str, to: &str, flags: i32| {
        two_paths(
            SYS_linkat,
            (CWD, from.into()),
            (CWD, to.into()),
            flags as u32,
        )
    };
    for (from, to, flags) in [
        ("link", "fresh", 0),
        ("link", "fresh", AT_SYMLINK_FOLLOW),
        ("dangling", "fresh", 0),
        ("dangling", "fresh", AT_SYMLINK_FOLLOW),
        ("dirlink", "fresh", AT_SYMLINK_FOLLOW),
        ("loop1", "fresh", 0),
        ("loop1", "fresh", AT_SYMLINK_FOLLOW),
        ("dir", "fresh", 0),
        ("dir", "small", 0),
        ("small", "small", 0),
        ("small", "fresh/", 0),
        ("small", "dir/fresh", 0),
        ("fifo", "fresh", 0),
        ("suid", "fresh", 0),
        ("none", "small", 0),
        ("none", "none/x", 0),
        ("small", "fresh", AT_EMPTY_PATH),
        ("small", "fresh", 0x100),
        ("small", "fresh", -1),
        ("none", "fresh", -1),
        ("", "fresh", 0),
        ("", "fresh", AT_EMPTY_PATH),
    ] {
        cases.add(
            &format!("{from:?} to {to:?} flags {flags:#x}"),
            &[],
            l(from, to, flags),
        );
    }
    cases.add("bad flags, bad names", &[], {
        two_paths(SYS_linkat, (CWD, NULL.into()), (CWD, NULL.into()), u32::MAX)
    });
    let empty = two_paths(
        SYS_linkat,
        (F, "".into()),
        (CWD, "fresh".into()),
        AT_EMPTY_PATH as u32,
    );
    for (name, before) in [
        ("file", open(0, "small", O_RDONLY)),
        ("path descriptor", open(0, "link", O_PATH | O_NOFOLLOW)),
        (
            "unnamed file",
            Before::Call(openat(CWD, "dir", O_TMPFILE | O_RDWR, 0o600).keep(0)),
        ),
        ("directory", open(0, "dir", O_RDONLY)),
        ("pipe", Before::Pipe(0, 1)),
        ("nothing", Before::Close(0)),
    ] {
        cases.add(
            &format!("empty name of a {name}"),
            std::slice::from_ref(&before),
            empty.clone(),
        );
        cases.user(&format!("empty name of a {name}"), &[before], empty.clone());
    }
    let removed = [open(0, "mine", O_RDONLY), remove("mine", 0)];
    cases.add("empty name of a removed file", &removed, empty);
    for from in [
        "mine", "small", "page", "secret", "suid", "nodir/f", "dir/b", "sgid",
    ] {
        cases.user(&format!("source {from:?}"), &[], l(from, "dir/fresh", 0));
    }
    cases.mounted("from another mount", &[], l("mnt/f", "fresh", 0));
    cases.mounted("to another mount", &[], l("small", "mnt/fresh", 0));
    cases.mounted("to a read-only mount", &[], l("small", "rofs/fresh", 0));
    cases.mounted("within a read-only mount", &[], l("rofs/f", "rofs/g", 0));
}
