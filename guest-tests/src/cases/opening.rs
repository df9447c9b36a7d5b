// SPDX-License-Identifier: MIT OR Apache-2.0
//! openat, openat2 and close.

use libc::{
    AT_FDCWD, O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECT, O_DIRECTORY, O_EXCL, O_NOATIME, O_NOFOLLOW,
    O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY, SYS_close,
};

use crate::case::{Before, Cases, open, remove, user_open};
use crate::op::{
    Arg, CWD, KERNEL_ADDRESS, NULL, Op, PathArg, WILD_ADDRESS, num, openat, openat2, openat2_sized,
};
use crate::tree::long_name;

const F: Arg = Arg::Fd(0);
const RESOLVE_NO_XDEV: u64 = 0x01;
const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_BENEATH: u64 = 0x08;
const RESOLVE_IN_ROOT: u64 = 0x10;
const RESOLVE_CACHED: u64 = 0x20;
const OPENAT2_REGULAR: u64 = 1 << 32;

/// Adds the cases.
pub fn add(cases: &mut Cases) {
    both(cases);
    legacy(cases);
    how(cases);
    scoped(cases);
    close(cases);
}

type Opener = fn(Arg, PathArg, i32, u32) -> Op;

fn plain_opener(dir: Arg, path: PathArg, flags: i32, mode: u32) -> Op {
    openat(dir, path, flags, mode)
}

fn how_opener(dir: Arg, path: PathArg, flags: i32, mode: u32) -> Op {
    openat2(dir, path, u64::from(flags as u32), u64::from(mode), 0)
}

/// What openat and openat2 without a scope have in common.
fn both(cases: &mut Cases) {
    for opener in [plain_opener as Opener, how_opener] {
        let o = |path: &str, flags: i32, mode: u32| opener(CWD, PathArg::from(path), flags, mode);
        for (path, flags) in [
            ("small", O_RDONLY),
            ("small", O_RDWR | O_CLOEXEC),
            ("small", O_WRONLY | O_TRUNC),
            ("small", O_RDWR | O_APPEND | O_NONBLOCK),
            ("small", O_PATH),
            ("small", O_PATH | O_CLOEXEC | O_NOFOLLOW),
            ("small", O_RDONLY | O_DIRECT),
            ("small", O_RDONLY | O_NOATIME),
            ("small", O_DIRECTORY),
            ("small", 3),
            ("small/", O_RDONLY),
            ("small/x", O_RDONLY),
            ("dir", O_RDONLY | O_DIRECTORY),
            ("dir/", O_RDONLY),
            ("dir", O_WRONLY),
            ("dir", O_RDWR),
            ("dir", O_PATH | O_DIRECTORY),
            ("dir//./sub/../a", O_RDONLY),
            (".", O_RDONLY),
            ("..", O_RDONLY | O_DIRECTORY),
            ("link", O_RDONLY),
            ("link", O_RDONLY | O_NOFOLLOW),
            ("link", O_PATH | O_NOFOLLOW),
            ("link", O_RDWR | O_TRUNC),
            ("dirlink/a", O_RDONLY),
            ("dirlink", O_DIRECTORY | O_NOFOLLOW),
            ("dirlink/", O_NOFOLLOW),
            ("dangling", O_RDONLY),
            ("loop1", O_RDONLY),
            ("loop1", O_PATH | O_NOFOLLOW),
            ("abs", O_RDONLY),
            ("self", O_RDONLY),
            ("@/small", O_RDONLY),
            ("@/none", O_RDONLY),
            ("none", O_RDONLY),
            ("none/x", O_RDONLY),
            ("", O_RDONLY),
            ("", O_PATH),
            ("fifo", O_RDONLY | O_NONBLOCK),
            ("fifo", O_WRONLY | O_NONBLOCK),
            ("fifo", O_RDWR),
            ("sparse", O_TRUNC | O_RDWR),
            ("nodir/f", O_RDONLY),
            ("/dev/null", O_RDWR),
            ("/proc/self/fd/0", O_PATH | O_NOFOLLOW),
        ] {
            let name = if path.is_empty() { "empty name" } else { path };
            cases.add(&format!("{name} {flags:#o}"), &[], o(path, flags, 0));
        }
        for (path, flags, mode) in [
            ("new", O_CREAT | O_RDWR, 0o666),
            ("new", O_CREAT | O_WRONLY | O_EXCL, 0o644),
            ("new", O_CREAT | O_RDONLY, 0o7777),
            ("new", O_CREAT | O_RDWR, 0),
            ("new/", O_CREAT | O_RDWR, 0o600),
            ("dir/new", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0o640),
            ("sgiddir/new", O_CREAT | O_WRONLY, 0o2755),
            ("small", O_CREAT | O_RDWR, 0o600),
            ("small", O_CREAT | O_EXCL | O_RDWR, 0o600),
            ("small", O_CREAT | O_TRUNC | O_WRONLY, 0o600),
            ("small/new", O_CREAT | O_RDWR, 0o600),
            ("none/new", O_CREAT | O_RDWR, 0o600),
            ("dir", O_CREAT | O_RDONLY, 0o600),
            ("dir/", O_CREAT | O_RDONLY, 0o600),
            (".", O_CREAT | O_RDWR, 0o600),
            ("..", O_CREAT | O_RDWR, 0o600),
            ("link", O_CREAT | O_RDWR, 0o600),
            ("link", O_CREAT | O_EXCL | O_RDWR, 0o600),
            ("link", O_CREAT | O_NOFOLLOW | O_RDWR, 0o600),
            ("dangling", O_CREAT | O_RDWR, 0o600),
            ("dangling", O_CREAT | O_EXCL | O_RDWR, 0o600),
            ("loop1", O_CREAT | O_RDWR, 0o600),
            ("new", O_CREAT | O_DIRECTORY, 0o600),
            ("new", O_CREAT | O_PATH, 0o600),
            ("dir", O_TMPFILE | O_RDWR, 0o600),
            ("dir", O_TMPFILE | O_WRONLY | O_EXCL, 0o644),
            ("dir", O_TMPFILE | O_RDONLY, 0o600),
            ("dir", (O_TMPFILE & !O_DIRECTORY) | O_RDWR, 0o600),
            ("small", O_TMPFILE | O_RDWR, 0o600),
            ("none", O_TMPFILE | O_RDWR, 0o600),
            ("dirlink", O_TMPFILE | O_RDWR, 0o600),
        ] {
            cases.add(
                &format!("{path} {flags:#o} mode {mode:#o}"),
                &[],
                o(path, flags, mode),
            );
        }
        for mask in [0, 0o77, 0o777] {
            let op = o("new", O_CREAT | O_RDWR, 0o6777);
            cases
                .add(&format!("umask {mask:#o}"), &[], op)
                .environment
                .umask = Some(mask);
        }
        for (path, flags) in [
            ("a", O_RDONLY),
            ("../small", O_RDWR),
            ("new", O_CREAT | O_WRONLY),
        ] {
            cases
                .add(&format!("in dir: {path}"), &[], o(path, flags, 0o600))
                .environment
                .directory = Some("dir");
        }
        let long = long_name();
        cases.add("longest name", &[], o(&long, O_RDONLY, 0));
        cases.add("name too long", &[], o(&format!("{long}n"), O_RDONLY, 0));
        cases.add(
            "name too long, create",
            &[],
            o(&format!("{long}n"), O_CREAT | O_RDWR, 0o600),
        );
        cases.add("path too long", &[], o(&"./".repeat(2048), O_RDONLY, 0));
        cases.add(
            "longest path",
            &[],
            o(&format!("{}small", "./".repeat(2045)), O_RDONLY, 0),
        );
        cases.add(
            "path one too long",
            &[],
            o(&format!("{}small", "./".repeat(2046)), O_RDONLY, 0),
        );
        directories(cases, opener);
        addresses(cases, opener);

        let full = |cases: &mut Cases, name: &str, op: Op| {
            cases.add(name, &[], op).environment.no_descriptors = true;
        };
        full(cases, "no descriptor left", o("small", O_RDONLY, 0));
        full(cases, "no descriptor left, no file", o("none", O_RDONLY, 0));
        full(
            cases,
            "no descriptor left, create",
            o("new", O_CREAT | O_RDWR, 0o600),
        );
        full(
            cases,
            "no descriptor left, bad path",
            opener(CWD, NULL.into(), O_RDONLY, 0),
        );
        full(
            cases,
            "no descriptor left, bad flags",
            o("new", O_CREAT | O_DIRECTORY, 0o600),
        );

        for (path, flags) in [
            ("small", O_RDWR),
            ("mine", O_RDWR),
            ("secret", O_RDONLY),
            ("page", O_WRONLY),
            ("page", O_RDONLY | O_TRUNC),
            ("nodir/f", O_RDONLY),
            ("nodir", O_RDONLY),
            ("rodir/new", O_CREAT | O_RDWR),
            ("dir/new", O_CREAT | O_RDWR),
            ("sgiddir/new", O_CREAT | O_RDWR),
            ("other/new", O_CREAT | O_RDWR),
            ("sticky/f", O_CREAT | O_RDWR),
            ("page", O_RDONLY | O_NOATIME),
            ("mine", O_RDONLY | O_NOATIME),
            ("dir/b", O_RDWR),
            ("rodir", O_TMPFILE | O_RDWR),
        ] {
            let mode = if flags & (O_CREAT | (O_TMPFILE & !O_DIRECTORY)) == 0 {
                0
            } else {
                0o2666
            };
            cases.user(&format!("{path} {flags:#o}"), &[], o(path, flags, mode));
        }
        cases.mounted("read-only file system", &[], o("rofs/f", O_RDONLY, 0));
        cases.mounted("read-only file system, write", &[], o("rofs/f", O_RDWR, 0));
        cases.mounted(
            "read-only file system, create",
            &[],
            o("rofs/new", O_CREAT | O_RDWR, 0o600),
        );
        cases.mounted("mounted", &[], o("mnt/f", O_RDWR, 0));
        cases.mounted(
            "mounted, create",
            &[],
            o("mnt/new", O_CREAT | O_RDWR, 0o600),
        );
    }
}

fn directories(cases: &mut Cases, opener: Opener) {
    let dir = [open(0, "dir", O_RDONLY | O_DIRECTORY)];
    let path_dir = [open(0, "dir", O_PATH)];
    let o = |at: Arg, path: &str, flags: i32| opener(at, PathArg::from(path), flags, 0);
    cases.add("below a directory", &dir, o(F, "a", O_RDONLY));
    cases.add("below a path descriptor", &path_dir, o(F, "a", O_RDONLY));
    cases.add(
        "garbage above the directory",
        &dir,
        o(Arg::DirtyFd(0), "a", O_RDONLY),
    );
    cases.add("garbage above AT_FDCWD", &[], {
        o(
            Arg::Num(0x1234_5678_0000_0000 | u64::from(AT_FDCWD as u32)),
            "small",
            O_RDONLY,
        )
    });
    cases.add("up from a directory", &dir, o(F, "../small", O_RDONLY));
    cases.add("the directory itself", &dir, o(F, ".", O_RDONLY));
    cases.add("below a directory, none", &dir, o(F, "none", O_RDONLY));
    cases.add("below a directory, empty name", &dir, o(F, "", O_RDONLY));
    cases.add(
        "below a directory, create",
        &dir,
        opener(F, "n".into(), O_CREAT | O_RDWR, 0o600),
    );
    cases.add(
        "below a file",
        &[open(0, "small", O_RDONLY)],
        o(F, "x", O_RDONLY),
    );
    cases.add(
        "below a file, absolute",
        &[open(0, "small", O_RDONLY)],
        o(F, "@/small", O_RDONLY),
    );
    cases.add(
        "below a file, empty name",
        &[open(0, "small", O_RDONLY)],
        o(F, "", O_RDONLY),
    );
    cases.add("below a closed descriptor", &[], o(F, "a", O_RDONLY));
    cases.add(
        "below a closed descriptor, absolute",
        &[],
        o(F, "@/small", O_RDONLY),
    );
    cases.add("below a pipe", &[Before::Pipe(0, 1)], o(F, "a", O_RDONLY));
    cases.add("below descriptor -2", &[], o(num(-2), "a", O_RDONLY));
    let removed = [
        open(0, "emptydir", O_RDONLY),
        remove("emptydir", libc::AT_REMOVEDIR),
    ];
    cases.add("below a removed directory", &removed, o(F, "a", O_RDONLY));
    cases.add("a removed directory", &removed, o(F, ".", O_RDONLY));
    let op = opener(F, "a".into(), O_CREAT | O_RDWR, 0o600);
    cases.add("create in a removed directory", &removed, op);
    cases.user(
        "below a directory opened by root",
        &[open(0, "nodir", O_RDONLY)],
        o(F, "f", O_RDONLY),
    );
}

fn addresses(cases: &mut Cases, opener: Opener) {
    for (name, path) in [
        ("name at null", PathArg::Bad(NULL)),
        ("name in the kernel", PathArg::Bad(KERNEL_ADDRESS)),
        ("name nowhere", PathArg::Bad(WILD_ADDRESS)),
        ("name without access", PathArg::Bad(Arg::Guard(0))),
        ("name runs into no access", PathArg::Cut(b"smal".to_vec())),
        (
            "name ends before no access",
            PathArg::Snug(b"small".to_vec()),
        ),
    ] {
        cases.add(name, &[], opener(CWD, path.clone(), O_RDONLY, 0));
        cases.add(
            &format!("{name}, create"),
            &[],
            opener(CWD, path, O_CREAT | O_RDWR, 0o600),
        );
    }
    cases.add(
        "bad name, closed directory",
        &[],
        opener(F, NULL.into(), O_RDONLY, 0),
    );
}

fn legacy(cases: &mut Cases) {
    cases.add(
        "unknown flags are ignored",
        &[],
        openat(CWD, "small", 0x4000_0000, 0),
    );
    cases.add("all flags", &[], openat(CWD, "small", -1, 0));
    cases.add("all flags, bad name", &[], openat(CWD, NULL, -1, 0));
    cases.add(
        "mode without O_CREAT is ignored",
        &[],
        openat(CWD, "small", O_RDONLY, 0o777),
    );
    cases.add(
        "mode has more bits",
        &[],
        openat(CWD, "new", O_CREAT | O_RDWR, 0xffff_ffff),
    );
    cases.add(
        "path and others",
        &[],
        openat(CWD, "small", O_PATH | O_TRUNC | O_RDWR, 0),
    );
    cases.add("garbage above flags and mode", &[], {
        let mut op = openat(CWD, "new", 0, 0);
        op.args[2] = Arg::Num(0xdead_beef_0000_0000 | (O_CREAT | O_RDWR) as u64);
        op.args[3] = Arg::Num(0xdead_beef_0000_01a4);
        op
    });
}

fn how(cases: &mut Cases) {
    let rdwr = O_RDWR as u64;
    let creat = (O_CREAT | O_RDWR) as u64;
    for (name, flags, mode, resolve) in [
        ("unknown flag", 0x4000_0000, 0, 0),
        ("flag of 64 bits", 1 << 40, 0, 0),
        ("unknown resolve", rdwr, 0, 0x40),
        ("all resolve", rdwr, 0, u64::MAX),
        ("both scopes", rdwr, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT),
        ("mode without create", rdwr, 0o644, 0),
        ("mode too large", creat, 0o10000, 0),
        ("path and others", (O_PATH | O_TRUNC) as u64, 0, 0),
        ("path and create", (O_PATH | O_CREAT) as u64, 0, 0),
        ("regular", OPENAT2_REGULAR, 0, 0),
        (
            "regular and directory",
            OPENAT2_REGULAR | O_DIRECTORY as u64,
            0,
            0,
        ),
        ("cached", 0, 0, RESOLVE_CACHED),
        ("cached and create", creat, 0o600, RESOLVE_CACHED),
    ] {
        cases.add(name, &[], openat2(CWD, "small", flags, mode, resolve));
        let op = openat2(CWD, NULL, flags, mode, resolve);
        cases.add(&format!("{name}, bad name"), &[], op);
    }
    for (name, words, size) in [
        ("size 0", &[0, 0, 0][..], 0),
        ("size 23", &[0, 0, 0], 23),
        ("size 32, zeros", &[0, 0, 0, 0], 32),
        ("size 32, not zero", &[0, 0, 0, 1], 32),
        ("size 40, last byte", &[0, 0, 0, 0, 1 << 56], 40),
        ("size of a page", &[0; 512], 4096),
        ("size over a page", &[0; 513], 4097),
        ("size -1", &[0, 0, 0], -1),
    ] {
        cases.add(name, &[], openat2_sized(CWD, "small", words, size));
    }
    for (name, address) in [("how at null", NULL), ("how in the kernel", KERNEL_ADDRESS)] {
        let mut op = openat2(CWD, "small", 0, 0, 0);
        op.args[2] = address;
        cases.add(name, &[], op.clone());
        op.args[3] = num(8);
        cases.add(&format!("{name}, size 8"), &[], op);
    }
}

fn scoped(cases: &mut Cases) {
    let dir = [open(0, "dir", O_RDONLY)];
    let scopes = [
        ("beneath", RESOLVE_BENEATH),
        ("no symlinks", RESOLVE_NO_SYMLINKS),
        ("in root", RESOLVE_IN_ROOT),
        ("no magic links", RESOLVE_NO_MAGICLINKS),
        ("no xdev", RESOLVE_NO_XDEV),
        (
            "beneath, no symlinks",
            RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
        ),
    ];
    for (scope, resolve) in scopes {
        for (path, flags) in [
            ("small", O_RDONLY),
            ("small", O_RDWR | O_TRUNC | O_CLOEXEC),
            ("small", O_PATH),
            ("small", O_DIRECTORY),
            ("small/", O_RDONLY),
            ("dir", O_RDONLY | O_DIRECTORY),
            ("dir", O_RDWR),
            ("dir", O_TMPFILE | O_RDWR),
            ("dir/../small", O_RDONLY),
            ("..", O_RDONLY),
            ("../outside", O_RDONLY),
            ("dir/../../outside", O_RDONLY),
            ("escape", O_RDONLY),
            ("up/root/small", O_RDONLY),
            ("link", O_RDONLY),
            ("link", O_RDONLY | O_NOFOLLOW),
            ("link", O_PATH | O_NOFOLLOW),
            ("dirlink/a", O_RDONLY),
            ("dangling", O_RDONLY),
            ("loop1", O_RDONLY),
            ("abs", O_RDONLY),
            ("self", O_RDONLY),
            ("@/small", O_RDONLY),
            ("/small", O_RDONLY),
            ("/", O_RDONLY),
            ("none", O_RDONLY),
            ("", O_RDONLY),
            ("fifo", O_WRONLY | O_NONBLOCK),
            ("/proc/self/fd/0", O_PATH),
        ] {
            let mode = if flags & O_TMPFILE == O_TMPFILE {
                0o600
            } else {
                0
            };
            let op = openat2(CWD, path, u64::from(flags as u32), mode, resolve);
            cases.add(&format!("{scope}: {path:?} {flags:#o}"), &[], op);
        }
        for (path, flags) in [
            ("new", O_CREAT | O_RDWR),
            ("dir/new", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC),
            ("small", O_CREAT | O_RDWR | O_TRUNC),
            ("small", O_CREAT | O_EXCL | O_RDWR),
            ("new/", O_CREAT | O_RDWR),
            ("small/", O_CREAT | O_RDWR),
            ("dir", O_CREAT | O_RDONLY),
            ("../new", O_CREAT | O_RDWR),
            ("dirlink/new", O_CREAT | O_RDWR),
            ("link", O_CREAT | O_RDWR),
            ("link", O_CREAT | O_EXCL | O_RDWR),
            ("link", O_CREAT | O_NOFOLLOW | O_RDWR),
            ("dangling", O_CREAT | O_RDWR),
            ("escape", O_CREAT | O_RDWR),
            ("none/new", O_CREAT | O_RDWR),
            ("small/new", O_CREAT | O_RDWR),
            (".", O_CREAT | O_RDWR),
            ("..", O_CREAT | O_RDWR),
            ("/", O_CREAT | O_RDWR),
            ("", O_CREAT | O_RDWR),
        ] {
            let op = openat2(CWD, path, flags as u64, 0o640, resolve);
            cases.add(&format!("{scope}: {path:?} {flags:#o}"), &[], op);
        }
        for path in ["a", "../small", "/a", "sub/deep", "sub/../../small"] {
            let op = openat2(F, path, 0, 0, resolve);
            cases.add(&format!("{scope}: below a directory: {path}"), &dir, op);
        }
        let op = openat2(F, "n", (O_CREAT | O_RDWR) as u64, 0o600, resolve);
        cases.add(&format!("{scope}: below a directory: create"), &dir, op);
        let op = openat2(F, "a", 0, 0, resolve);
        cases.add(&format!("{scope}: closed directory"), &[], op);
        let op = openat2(F, "a", 0, 0, resolve);
        cases.add(
            &format!("{scope}: below a file"),
            &[open(0, "small", O_RDONLY)],
            op,
        );
        let op = openat2(CWD, "secret", 0, 0, resolve);
        cases.user(&format!("{scope}: secret"), &[], op);
        let op = openat2(CWD, "rodir/new", (O_CREAT | O_RDWR) as u64, 0o600, resolve);
        cases.user(&format!("{scope}: create in rodir"), &[], op);
        let op = openat2(CWD, "small", 0, 0, resolve);
        cases
            .add(&format!("{scope}: no descriptor left"), &[], op)
            .environment
            .no_descriptors = true;
        cases.mounted(
            &format!("{scope}: mounted"),
            &[],
            openat2(CWD, "mnt/f", 0, 0, resolve),
        );
    }
}

fn close(cases: &mut Cases) {
    let c = |fd: Arg| Op::new(SYS_close, &[fd]);
    cases.add("file", &[open(0, "small", O_RDONLY)], c(F));
    cases.add(
        "written file",
        &[open(0, "dir/new", O_CREAT | O_RDWR), Before::Put(0, b"x")],
        c(F),
    );
    cases.add("directory", &[open(0, "dir", O_RDONLY)], c(F));
    cases.add("path descriptor", &[open(0, "small", O_PATH)], c(F));
    cases.add("pipe", &[Before::Pipe(0, 1)], c(F));
    cases.add("unnamed file", &[open_tmpfile()], c(F));
    cases.add(
        "garbage above the descriptor",
        &[open(0, "small", O_RDONLY)],
        c(Arg::DirtyFd(0)),
    );
    cases.add(
        "removed file",
        &[open(0, "mine", O_RDONLY), remove("mine", 0)],
        c(F),
    );
    cases.add("closed", &[], c(num(900)));
    cases.add("-1", &[], c(num(-1)));
    cases.add("i32::MAX", &[], c(num(i64::from(i32::MAX))));
    cases.add("i32::MIN", &[], c(Arg::Num(0x8000_0000)));
    cases.user("user's file", &[user_open(0, "mine", O_RDWR)], c(F));
}

fn open_tmpfile() -> Before {
    Before::Call(openat(CWD, "dir", O_TMPFILE | O_RDWR, 0o600).keep(0))
}
