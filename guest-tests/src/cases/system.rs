// SPDX-License-Identifier: MIT OR Apache-2.0
//! File systems, lengths, special files, locks, flags, random bytes, shared blocks.

use libc::{
    AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_GETPIPE_SZ,
    F_SETFD, F_SETFL, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, O_APPEND, O_ASYNC, O_DIRECT, O_NOATIME,
    O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_WRONLY, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG,
    S_IFSOCK, SYS_fchmodat2, SYS_fcntl, SYS_flock, SYS_fstatfs, SYS_getrandom, SYS_ioctl,
    SYS_mknodat, SYS_statfs, SYS_sync_file_range, SYS_syncfs, SYS_truncate,
};

use super::look::lookups;
use crate::arena::OUT_SIZE;
use crate::case::{Before, Cases, open};
use crate::op::{
    Arg, CWD, Data, KERNEL_ADDRESS, NULL, Op, Output, PathArg, Returns, STRUCT, WILD_ADDRESS, at,
    num,
};
use crate::tree::long_name;

const F: Arg = Arg::Fd(0);
const G: Arg = Arg::Fd(1);
const MAX: i64 = i64::MAX;
const FICLONE: i64 = 0x4004_9409;
const FICLONERANGE: i64 = 0x4020_940d;
const FIDEDUPERANGE: i64 = 0xc018_9436;

/// Adds the cases.
pub fn add(cases: &mut Cases) {
    syncs(cases);
    file_systems(cases);
    lengths(cases);
    special_files(cases);
    modes(cases);
    random_bytes(cases);
    locks(cases);
    flags(cases);
    shared_blocks(cases);
}

/// What every call that takes a path and no directory has in common; files outside of the world are only looked at
/// where `outside` says so.
pub fn paths(cases: &mut Cases, outside: bool, op: fn(PathArg) -> Op) {
    let o = |path: &str| op(PathArg::from(path));
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
        "fifo",
        "none",
        "none/x",
        "small/",
        "small/x",
        "link/",
        ".",
        "..",
        "dir//sub///deep",
        "@/small",
        "@/none",
        "sparse",
        "nodir/f",
        "mine",
        "secret",
    ] {
        cases.add(path, &[], o(path));
    }
    if outside {
        for path in ["/", "/dev/null", "/proc/self", "self", "/dev"] {
            cases.add(path, &[], o(path));
        }
    }
    cases.add("empty name", &[], o(""));
    cases.add("name too long", &[], o(&format!("{}n", long_name())));
    cases.add("path too long", &[], o(&"x/".repeat(2048)));
    for (name, path) in [
        ("name at null", PathArg::Bad(NULL)),
        ("name in the kernel", PathArg::Bad(KERNEL_ADDRESS)),
        ("name nowhere", PathArg::Bad(WILD_ADDRESS)),
        ("name runs into no access", PathArg::Cut(b"smal".to_vec())),
        (
            "name ends before no access",
            PathArg::Snug(b"link".to_vec()),
        ),
    ] {
        cases.add(name, &[], op(path));
    }
    for path in ["small", "mine", "secret", "nodir/f", "dir/b", "fifo"] {
        cases.user(path, &[], o(path));
    }
    cases
        .add("in a working directory", &[], o("deep"))
        .environment
        .directory = Some("dir/sub");
    cases.mounted("read-only file system", &[], o("rofs/f"));
    cases.mounted("another file system", &[], o("mnt/f"));
}

/// Open files of every kind, and none.
pub fn kinds() -> Vec<(&'static str, Vec<Before>)> {
    vec![
        ("file", vec![open(0, "small", O_RDWR)]),
        ("write-only", vec![open(0, "small", O_WRONLY)]),
        ("directory", vec![open(0, "dir", O_RDONLY)]),
        ("path descriptor", vec![open(0, "small", O_PATH)]),
        ("pipe", vec![Before::Pipe(0, 1)]),
        ("fifo", vec![open(0, "fifo", O_RDWR)]),
        ("device", vec![open(0, "/dev/null", O_RDWR)]),
        ("/proc", vec![open(0, "/proc/self/comm", O_RDONLY)]),
        ("memfd", vec![Before::Memfd(0, b"memory")]),
        ("unix socket", vec![Before::UnixPair(0, 1)]),
        ("inet socket", vec![Before::InetPair(0, 1)]),
        ("eventfd", vec![Before::Eventfd(0, 1)]),
        ("epoll", vec![Before::Epoll(0)]),
        ("closed", vec![]),
    ]
}

fn syncs(cases: &mut Cases) {
    let s = |offset: i64, bytes: i64, flags: i64| {
        Op::new(
            SYS_sync_file_range,
            &[F, num(offset), num(bytes), num(flags)],
        )
    };
    for (name, before) in kinds() {
        cases.add(name, &before, s(0, 10, 7));
        cases.add(&format!("{name}, bad flags"), &before, s(0, 10, 8));
        cases.add(name, &before, Op::new(SYS_syncfs, &[F]));
    }
    let file = [open(0, "big", O_RDWR)];
    for flags in 0..9 {
        cases.add(&format!("flags {flags}"), &file, s(0, 0, flags));
    }
    for (offset, bytes) in [
        (-1, 1),
        (0, -1),
        (1, MAX),
        (0, MAX),
        (MAX, 0),
        (5, -3),
        (i64::MIN, i64::MIN),
    ] {
        cases.add(
            &format!("{offset}, {bytes} bytes"),
            &file,
            s(offset, bytes, 2),
        );
    }
    cases.add(
        "garbage above",
        &file,
        Op::new(
            SYS_sync_file_range,
            &[Arg::DirtyFd(0), num(0), num(0), Arg::Num(0xdead_0000_0002)],
        ),
    );
    cases.add(
        "garbage above",
        &file,
        Op::new(SYS_syncfs, &[Arg::DirtyFd(0)]),
    );
    cases.mounted(
        "read-only file system",
        &[open(0, "rofs/f", O_RDONLY)],
        Op::new(SYS_syncfs, &[F]),
    );
}

fn file_systems(cases: &mut Cases) {
    let by_fd = |to: Arg| {
        let mut op = Op::new(SYS_fstatfs, &[F, to]);
        op.output = Output::Statfs;
        op
    };
    let by_path = |path: PathArg, to: Arg| {
        let mut op = Op::new(SYS_statfs, &[NULL, to]).path(0, path);
        op.output = Output::Statfs;
        op
    };
    paths(cases, true, |path| {
        let mut op = Op::new(SYS_statfs, &[NULL, Arg::Out(0)]).path(0, path);
        op.output = Output::Statfs;
        op
    });
    for (name, before) in kinds() {
        cases.add(name, &before, by_fd(Arg::Out(0)));
        cases.add(
            &format!("{name}, bad address"),
            &before,
            by_fd(WILD_ADDRESS),
        );
    }
    cases.mounted(
        "read-only file system",
        &[open(0, "rofs/f", O_RDONLY)],
        by_fd(Arg::Out(0)),
    );
    for (name, address) in [
        ("null", NULL),
        ("kernel", KERNEL_ADDRESS),
        ("read-only", Arg::Ro(0)),
        ("no access", Arg::Guard(0)),
        ("cut", Arg::Out(OUT_SIZE - 100)),
    ] {
        cases.add(
            &format!("to {name}"),
            &[open(0, "small", O_RDONLY)],
            by_fd(address),
        );
        cases.add(&format!("to {name}"), &[], by_path("small".into(), address));
        cases.add(
            &format!("none, to {name}"),
            &[],
            by_path("none".into(), address),
        );
    }
}

fn lengths(cases: &mut Cases) {
    let t = |path: &str, length: i64| Op::new(SYS_truncate, &[NULL, num(length)]).path(0, path);
    paths(cases, false, |path| {
        Op::new(SYS_truncate, &[NULL, num(5)]).path(0, path)
    });
    for length in [0, 1, 11, 12, 5000, 1 << 40, MAX, -1, i64::MIN] {
        cases.add(&format!("to {length}"), &[], t("small", length));
        cases.add(&format!("none, to {length}"), &[], t("none", length));
        cases.user(&format!("to {length}"), &[], t("mine", length));
    }
    for path in ["suid", "sgid", "page", "dir/b"] {
        cases.user(path, &[], t(path, 3));
    }
    for limit in [0, 4, 10_000] {
        cases
            .add(&format!("limit {limit}"), &[], t("small", 5000))
            .environment
            .file_size = Some(limit);
    }
    for (name, attribute) in [("append-only", 0x20), ("immutable", 0x10)] {
        cases.add(name, &[Before::Attributes("mine", attribute)], t("mine", 1));
    }
}

fn special_files(cases: &mut Cases) {
    let m = |dir: Arg, path: PathArg, mode: u32, device: i64| {
        at(SYS_mknodat, dir, path, &[num(i64::from(mode)), num(device)])
    };
    lookups(cases, |dir, path| {
        at(
            SYS_mknodat,
            dir,
            path,
            &[num(i64::from(libc::S_IFIFO | 0o644)), num(0)],
        )
    });
    for (name, kind) in [
        ("fifo", S_IFIFO),
        ("socket", S_IFSOCK),
        ("device", S_IFCHR),
        ("regular", S_IFREG),
        ("nothing", 0),
        ("directory", S_IFDIR),
        ("link", S_IFLNK),
        ("unknown", 0o030_000),
    ] {
        for path in [
            "fresh",
            "small",
            "dir/fresh/",
            "none/x",
            "rodir/x",
            "nodir/x",
            "dangling",
        ] {
            cases.add(
                &format!("{name} at {path}"),
                &[],
                m(CWD, path.into(), kind | 0o6751, 0x103),
            );
            cases.user(
                &format!("{name} at {path}"),
                &[],
                m(CWD, path.into(), kind | 0o666, 0x103),
            );
        }
        cases.add(
            &format!("{name}, name nowhere"),
            &[],
            m(CWD, PathArg::Bad(WILD_ADDRESS), kind, 0),
        );
        cases.mounted(
            &format!("{name}, read-only"),
            &[],
            m(CWD, "rofs/new".into(), kind | 0o600, 0),
        );
        cases
            .add(
                &format!("{name}, umask"),
                &[],
                m(CWD, "fresh".into(), kind | 0o666, 0x103),
            )
            .environment
            .umask = Some(0o137);
    }
    cases.add("whiteout", &[], m(CWD, "fresh".into(), S_IFCHR, 0));
    cases.user("whiteout", &[], m(CWD, "fresh".into(), S_IFCHR, 0));
    cases.add(
        "device with a number",
        &[],
        m(CWD, "fresh".into(), S_IFCHR | 0o600, 0xabcd_1234),
    );
    cases.add(
        "fifo with a number",
        &[],
        m(CWD, "fresh".into(), S_IFIFO | 0o600, 0xabcd),
    );
    cases.add(
        "set-group-id directory",
        &[],
        m(CWD, "sgiddir/fresh".into(), S_IFIFO | 0o2666, 0),
    );
    cases.add("closed directory", &[], m(F, "fresh".into(), S_IFIFO, 0));
    cases.add(
        "below a directory",
        &[open(0, "dir", O_RDONLY)],
        m(F, "fresh".into(), S_IFIFO, 0),
    );
    cases.add(
        "below a file",
        &[open(0, "small", O_RDONLY)],
        m(F, "fresh".into(), S_IFIFO, 0),
    );
}

fn modes(cases: &mut Cases) {
    let m = |path: PathArg, mode: i64, flags: i32| {
        at(
            SYS_fchmodat2,
            CWD,
            path,
            &[num(mode), num(i64::from(flags))],
        )
    };
    let from = cases.0.len();
    lookups(cases, |dir, path| {
        at(SYS_fchmodat2, dir, path, &[num(0o640), num(0)])
    });
    let mut which = 0;
    // Devices and /proc are not ours to change.
    cases.0.retain(|case| {
        which += 1;
        let path = case.op.path_text(1).unwrap_or_default();
        which <= from || !(path.starts_with(b"/") || path == b"self")
    });
    for flags in [
        0,
        AT_SYMLINK_NOFOLLOW,
        AT_EMPTY_PATH,
        AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH,
        0x200,
        -1,
    ] {
        for path in ["small", "link", "dangling", "loop1", "none", "dir", ""] {
            cases.add(
                &format!("{path:?} flags {flags:#x}"),
                &[],
                m(path.into(), 0o604, flags),
            );
        }
        cases.add(
            &format!("name nowhere, flags {flags:#x}"),
            &[],
            m(PathArg::Bad(NULL), 0o604, flags),
        );
        for (name, before) in [
            ("file", open(0, "small", O_RDONLY)),
            ("path descriptor", open(0, "small", O_PATH)),
        ] {
            let op = at(SYS_fchmodat2, F, "", &[num(0o604), num(i64::from(flags))]);
            cases.add(
                &format!("empty name of a {name}, flags {flags:#x}"),
                &[before],
                op,
            );
        }
    }
    cases.user("not the owner", &[], m("small".into(), 0o600, 0));
    cases.user("own", &[], m("mine".into(), 0o7600, AT_SYMLINK_NOFOLLOW));
    cases.mounted(
        "read-only file system",
        &[],
        m("rofs/f".into(), 0o600, AT_SYMLINK_NOFOLLOW),
    );
}

fn random_bytes(cases: &mut Cases) {
    let r = |to: Arg, len: i64, flags: i64| {
        let mut op = Op::new(SYS_getrandom, &[to, num(len), num(flags)]);
        op.output = Output::Random;
        op
    };
    for len in [0, 1, 31, 32, 33, 64, 255, 256, 257, 4096, 4097, 65_536] {
        cases.add(&format!("{len} bytes"), &[], r(Arg::Out(0), len, 0));
    }
    for flags in 0..9 {
        cases.add(&format!("flags {flags}"), &[], r(Arg::Out(0), 16, flags));
        cases.add(
            &format!("nowhere, flags {flags}"),
            &[],
            r(WILD_ADDRESS, 16, flags),
        );
    }
    cases.add("garbage above the flags", &[], r(Arg::Out(0), 16, 1 << 40));
    cases.add("nothing, nowhere", &[], r(WILD_ADDRESS, 0, 0));
    cases.add("nothing, kernel", &[], r(KERNEL_ADDRESS, 0, 0));
    cases.add("null", &[], r(NULL, 16, 0));
    cases.add("huge, null", &[], r(NULL, i64::MIN, 0));
    cases.add("read-only", &[], r(Arg::Ro(0), 16, 0));
    for left in [0, 1, 16, 33, 100, 300] {
        for len in [32, 100, 5000] {
            // What is written ends where the access does.
            let mut op = r(Arg::Out(OUT_SIZE - left), len, 0);
            op.output = Output::Raw;
            if left == 0 {
                cases.add(&format!("{len} bytes without access"), &[], op);
            } else {
                op.args[0] = Arg::Guard(0);
                cases.add(&format!("{len} bytes, {left}"), &[], op);
            }
        }
    }
}

fn locks(cases: &mut Cases) {
    let l = |fd: Arg, how: i32| Op::new(SYS_flock, &[fd, num(i64::from(how))]);
    let lock = |slot: usize, how: i32| Before::Call(l(Arg::Fd(slot), how | LOCK_NB));
    for (name, before) in kinds() {
        // All worlds share these inodes, and would wait for each other.
        if ["device", "/proc", "eventfd", "epoll"].contains(&name) {
            continue;
        }
        for how in [LOCK_SH, LOCK_EX, LOCK_UN] {
            cases.add(&format!("{name}, {how}"), &before, l(F, how | LOCK_NB));
            cases.add(&format!("{name}, {how}, may wait"), &before, l(F, how));
        }
        cases.add(&format!("{name}, nothing"), &before, l(F, 0));
    }
    let two = |how: i32| {
        vec![
            open(0, "small", O_RDWR),
            open(1, "small", O_RDONLY),
            lock(1, how),
        ]
    };
    for held in [LOCK_SH, LOCK_EX] {
        for how in [LOCK_SH, LOCK_EX, LOCK_UN] {
            cases.add(
                &format!("{how} against {held}"),
                &two(held),
                l(F, how | LOCK_NB),
            );
            cases.add(
                &format!("{how} over {held}"),
                &two(held),
                l(G, how | LOCK_NB),
            );
            cases.add(
                &format!("{how} over {held}, may wait"),
                &two(held),
                l(G, how),
            );
            let mut both = two(LOCK_SH);
            both.push(lock(0, LOCK_SH));
            cases.add(&format!("{how} beside {held}"), &both, l(F, how | LOCK_NB));
        }
    }
    let file = [open(0, "small", O_RDWR)];
    for how in [3, 9, 32, 33, 36, 64, 192, -1, LOCK_NB, LOCK_SH | LOCK_EX] {
        cases.add(&format!("operation {how}"), &file, l(F, how));
        cases.add(&format!("operation {how}, closed"), &[], l(F, how));
    }
    cases.add("garbage above", &file, l(Arg::DirtyFd(0), LOCK_SH));
}

fn flags(cases: &mut Cases) {
    let f = |command: i32, argument: i64| {
        let mut op = Op::new(SYS_fcntl, &[F, num(i64::from(command)), num(argument)]);
        if command == F_DUPFD_CLOEXEC || command == F_DUPFD {
            op.returns = Returns::Descriptor(None);
        }
        op
    };
    for (name, before) in kinds() {
        for (command, argument) in [
            (F_GETFL, 0),
            (F_GETFD, 0),
            (F_SETFD, 1),
            (F_SETFD, 0),
            (F_SETFD, 0xff),
            (F_DUPFD_CLOEXEC, 0),
            (F_DUPFD_CLOEXEC, 1 << 32),
            (F_DUPFD_CLOEXEC, 50),
            (F_DUPFD, 0),
            (F_GETPIPE_SZ, 0),
            (9999, 0),
        ] {
            cases.add(
                &format!("{name}, {command}, {argument}"),
                &before,
                f(command, argument),
            );
        }
        for flags in [
            0,
            O_NONBLOCK,
            O_APPEND,
            O_DIRECT,
            O_NOATIME,
            O_ASYNC,
            O_ASYNC | O_DIRECT,
            O_RDWR | O_NONBLOCK | libc::O_CREAT,
        ] {
            let flags = i64::from(flags);
            cases.add(
                &format!("{name}, flags {flags:#o}"),
                &before,
                f(F_SETFL, flags),
            );
            cases.user(
                &format!("{name}, flags {flags:#o}"),
                &before,
                f(F_SETFL, flags),
            );
        }
    }
    // What was set is what is read.
    for (name, first, then) in [
        ("close-on-exec", f(F_SETFD, 0), f(F_GETFD, 0)),
        ("close-on-exec on", f(F_SETFD, 1), f(F_GETFD, 0)),
        ("append", f(F_SETFL, i64::from(O_APPEND)), f(F_GETFL, 0)),
    ] {
        cases.add(
            &format!("{name}, read back"),
            &[open(0, "small", O_RDWR), Before::Call(first)],
            then,
        );
    }
    let append = [
        open(0, "mine", O_WRONLY | O_APPEND),
        Before::Attributes("mine", 0x20),
    ];
    cases.add("append-only file", &append, f(F_SETFL, 0));
    cases
        .add(
            "no descriptor is left",
            &[open(0, "small", O_RDWR)],
            f(F_DUPFD_CLOEXEC, 0),
        )
        .environment
        .no_descriptors = true;
    cases.add("garbage above", &[open(0, "small", O_RDWR)], {
        Op::new(
            SYS_fcntl,
            &[Arg::DirtyFd(0), Arg::Num(0xdead_0000_0003), num(0)],
        )
    });
}

fn shared_blocks(cases: &mut Cases) {
    let i = |request: i64, argument: Arg| Op::new(SYS_ioctl, &[F, num(request), argument]);
    let range = |source: Arg, words: [i64; 3]| {
        i(FICLONERANGE, Arg::In(STRUCT)).with(
            STRUCT,
            Data::Words(vec![source, num(words[0]), num(words[1]), num(words[2])]),
        )
    };
    let dedupe = |length: i64, count: i64, to: Arg| {
        i(FIDEDUPERANGE, Arg::In(STRUCT)).with(
            STRUCT,
            Data::Words(vec![
                num(0),
                num(length),
                num(count),
                to,
                num(0),
                num(0),
                num(0),
            ]),
        )
    };
    for (name, mut before) in kinds() {
        before.push(open(1, "big", O_RDWR));
        cases.add(&format!("{name}, clone"), &before, i(FICLONE, G));
        cases.add(
            &format!("{name}, clone of a range"),
            &before,
            range(G, [0, 4096, 0]),
        );
        cases.add(&format!("{name}, dedupe"), &before, dedupe(4096, 1, G));
        cases.add(
            &format!("{name}, another"),
            &before,
            i(0x5421, Arg::In(STRUCT)).with(STRUCT, Data::Words(vec![num(0)])),
        );
    }
    for (name, source) in kinds() {
        let Some(source) = source.first().cloned() else {
            continue;
        };
        let source = match source {
            Before::Call(op) => Before::Call(op.keep(1)),
            Before::Memfd(_, bytes) => Before::Memfd(1, bytes),
            Before::Epoll(_) => Before::Epoll(1),
            Before::Pipe(..) => Before::Pipe(1, 2),
            _ => continue,
        };
        let before = [open(0, "small", O_RDWR), source];
        cases.add(&format!("from {name}"), &before, i(FICLONE, G));
        cases.add(
            &format!("range from {name}"),
            &before,
            range(G, [-1, 4096, 0]),
        );
    }
    let two = [open(0, "small", O_RDWR), open(1, "big", O_RDWR)];
    cases.add("from closed", &[open(0, "small", O_RDWR)], i(FICLONE, G));
    cases.add("from itself", &two, i(FICLONE, F));
    cases.add("descriptor far too large", &two, i(FICLONE, num(1 << 40)));
    for (name, address) in [
        ("null", NULL),
        ("nowhere", WILD_ADDRESS),
        ("no access", Arg::Guard(0)),
        ("cut", Arg::Out(OUT_SIZE - 8)),
    ] {
        for request in [FICLONERANGE, FIDEDUPERANGE] {
            cases.add(
                &format!("{request:#x} at {name}"),
                &two,
                i(request, address),
            );
        }
    }
    for count in [0, 1, 127, 128, 65_535] {
        cases.add(&format!("dedupe with {count}"), &two, dedupe(11, count, G));
    }
    cases.add("dedupe, reserved", &two, dedupe(11, 1 << 16, G));
    cases.add("dedupe past the end", &two, dedupe(1 << 40, 1, G));
    cases.mounted(
        "across file systems",
        &[open(0, "small", O_RDWR), open(1, "mnt/f", O_RDWR)],
        i(FICLONE, G),
    );
    cases
        .add("limit", &two, i(FICLONE, G))
        .environment
        .file_size = Some(5);
}
