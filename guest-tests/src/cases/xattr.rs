// SPDX-License-Identifier: MIT OR Apache-2.0
//! Extended attributes.

use libc::{
    O_RDONLY, SYS_fgetxattr, SYS_flistxattr, SYS_fremovexattr, SYS_fsetxattr, SYS_getxattr,
    SYS_lgetxattr, SYS_listxattr, SYS_llistxattr, SYS_lremovexattr, SYS_lsetxattr, SYS_removexattr,
    SYS_setxattr, c_long,
};

use super::system::{kinds, paths};
use crate::arena::OUT_SIZE;
use crate::case::{Before, Cases, open, user_open};
use crate::op::{Arg, CWD, Data, KERNEL_ADDRESS, NULL, Op, PathArg, STRUCT, WILD_ADDRESS, num};

const F: Arg = Arg::Fd(0);
const OUT: Arg = Arg::Out(0);

/// Adds the cases.
pub fn add(cases: &mut Cases) {
    paths(cases, true, |path| {
        by_path(SYS_getxattr, path, "user.a", OUT, 100)
    });
    paths(cases, true, |path| {
        by_path(SYS_lgetxattr, path, "user.a", OUT, 100)
    });
    paths(cases, true, |path| list(SYS_listxattr, path, OUT, 100));
    paths(cases, true, |path| list(SYS_llistxattr, path, OUT, 100));
    paths(cases, false, |path| {
        set(SYS_setxattr, path, "user.a", b"value", 0)
    });
    paths(cases, false, |path| {
        set(SYS_lsetxattr, path, "user.a", b"value", 0)
    });
    paths(cases, false, |path| {
        by_path(SYS_removexattr, path, "user.a", NULL, 0)
    });
    paths(cases, false, |path| {
        by_path(SYS_lremovexattr, path, "user.a", NULL, 0)
    });
    for (get, put, all, remove) in [
        (SYS_getxattr, SYS_setxattr, SYS_listxattr, SYS_removexattr),
        (
            SYS_lgetxattr,
            SYS_lsetxattr,
            SYS_llistxattr,
            SYS_lremovexattr,
        ),
        (
            SYS_fgetxattr,
            SYS_fsetxattr,
            SYS_flistxattr,
            SYS_fremovexattr,
        ),
    ] {
        gets(cases, get);
        sets(cases, put);
        lists(cases, all);
        removes(cases, remove);
        acls(cases, get, put, remove);
    }
    kinds_of_files(cases);
}

/// Whether the call takes a descriptor, which then is that of "mine".
fn by_fd(nr: c_long) -> bool {
    [
        SYS_fgetxattr,
        SYS_fsetxattr,
        SYS_flistxattr,
        SYS_fremovexattr,
    ]
    .contains(&nr)
}

fn target(op: Op, path: PathArg) -> Op {
    if by_fd(c_long::from(op.nr)) {
        op
    } else {
        op.path(0, path)
    }
}

fn by_path(nr: c_long, path: PathArg, name: &str, to: Arg, size: i64) -> Op {
    let mut op = target(Op::new(nr, &[F]), path).path(1, name);
    op.args[2] = to;
    op.args[3] = num(size);
    op
}

fn list(nr: c_long, path: PathArg, to: Arg, size: i64) -> Op {
    let mut op = target(Op::new(nr, &[F]), path);
    op.args[1] = to;
    op.args[2] = num(size);
    op
}

fn set(nr: c_long, path: PathArg, name: &str, value: &[u8], flags: i64) -> Op {
    let mut op = by_path(nr, path, name, Arg::In(STRUCT), value.len() as i64);
    op.args[4] = num(flags);
    op.with(STRUCT, Data::Bytes(value.to_vec()))
}

fn given(name: &str, value: &[u8]) -> Before {
    Before::Call(set(SYS_setxattr, "mine".into(), name, value, 0))
}

/// "mine" with two attributes, open in slot 0.
fn mine() -> Vec<Before> {
    vec![
        open(0, "mine", O_RDONLY),
        given("user.a", b"the value of a"),
        given("user.bb", b""),
        given("trusted.t", b"root's"),
    ]
}

fn gets(cases: &mut Cases, nr: c_long) {
    let g = |name: &str, to: Arg, size: i64| by_path(nr, "mine".into(), name, to, size);
    for name in [
        "user.a",
        "user.bb",
        "user.none",
        "trusted.t",
        "trusted.none",
        "security.none",
        "none",
        "user.",
        "system.none",
        "",
        "os2.x",
    ] {
        cases.add(&format!("{name:?}"), &mine(), g(name, OUT, 100));
        cases.user(&format!("{name:?}"), &mine(), g(name, OUT, 100));
    }
    for size in [0, 3, 14, 65_536, -1] {
        cases.add(&format!("{size} bytes"), &mine(), g("user.a", OUT, size));
    }
    names(cases, &mine(), g("user.a", OUT, 100));
    for (name, address) in [
        ("null", NULL),
        ("kernel", KERNEL_ADDRESS),
        ("read-only", Arg::Ro(0)),
        ("cut", Arg::Out(OUT_SIZE - 5)),
    ] {
        cases.add(&format!("to {name}"), &mine(), g("user.a", address, 100));
        cases.add(
            &format!("none, to {name}"),
            &mine(),
            g("user.none", address, 100),
        );
        cases.add(&format!("size to {name}"), &mine(), g("user.a", address, 0));
    }
}

/// Names that are none.
fn names(cases: &mut Cases, before: &[Before], op: Op) {
    let mut add = |what: &str, name: PathArg| {
        let mut op = op.clone();
        op.inputs
            .retain(|(_, data)| !matches!(data, Data::Path(name) if name.starts_with(b"user")));
        cases.add(what, before, op.path(1, name));
    };
    add("longest name", format!("user.{}", "n".repeat(250)).into());
    add("name too long", format!("user.{}", "n".repeat(251)).into());
    add("attribute name nowhere", PathArg::Bad(WILD_ADDRESS));
    add("attribute name at null", PathArg::Bad(NULL));
    add("attribute name cut", PathArg::Cut(b"user.".to_vec()));
}

fn lists(cases: &mut Cases, nr: c_long) {
    let l = |to: Arg, size: i64| list(nr, "mine".into(), to, size);
    for size in [0, 1, 24, 25, 100, 65_536, -1] {
        cases.add(&format!("{size} bytes"), &mine(), l(OUT, size));
        cases.user(&format!("{size} bytes"), &mine(), l(OUT, size));
        cases.add(
            &format!("none, {size} bytes"),
            &[open(0, "mine", O_RDONLY)],
            l(OUT, size),
        );
    }
    for (name, address) in [
        ("null", NULL),
        ("kernel", KERNEL_ADDRESS),
        ("cut", Arg::Out(OUT_SIZE - 5)),
    ] {
        cases.add(&format!("to {name}"), &mine(), l(address, 100));
        cases.add(&format!("size to {name}"), &mine(), l(address, 0));
    }
}

fn sets(cases: &mut Cases, nr: c_long) {
    let s = |name: &str, value: &[u8], flags: i64| set(nr, "mine".into(), name, value, flags);
    for name in [
        "user.a",
        "user.new",
        "trusted.t",
        "trusted.new",
        "security.new",
        "none",
        "user.",
        "system.none",
        "",
        "security.capability",
    ] {
        for flags in [0, 1, 2, 4] {
            cases.add(
                &format!("{name:?}, flags {flags}"),
                &mine(),
                s(name, b"new value", flags),
            );
        }
        cases.user(&format!("{name:?}"), &mine(), s(name, b"new value", 0));
    }
    names(cases, &mine(), s("user.a", b"x", 0));
    cases.add("empty value", &mine(), s("user.a", b"", 0));
    cases.add("large value", &mine(), s("user.new", &[7; 3000], 0));
    for (name, address, size) in [
        ("value nowhere", WILD_ADDRESS, 10),
        ("value at null", NULL, 10),
        ("nothing at null", NULL, 0),
        ("value cut", Arg::Guard(0), 1),
        ("too large", OUT, 65_537),
        ("too large, nowhere", WILD_ADDRESS, -1),
    ] {
        let mut op = s("user.a", b"x", 0);
        op.args[2] = address;
        op.args[3] = num(size);
        cases.add(name, &mine(), op);
    }
    cases.add("bad flags, bad name, bad value", &mine(), {
        let mut op = s("user.a", b"x", 8);
        op.args[1] = WILD_ADDRESS;
        op.args[2] = WILD_ADDRESS;
        op
    });
    // Capabilities of a file are converted for the caller's user namespace.
    let capability = [&[0, 0, 0, 2][..], &[0; 16]].concat();
    cases.add(
        "file capability",
        &mine(),
        s("security.capability", &capability, 0),
    );
    cases.user(
        "file capability",
        &mine(),
        s("security.capability", &capability, 0),
    );
    for (name, attribute) in [("append-only", 0x20), ("immutable", 0x10)] {
        let before = [
            open(0, "mine", O_RDONLY),
            Before::Attributes("mine", attribute),
        ];
        cases.add(name, &before, s("user.a", b"x", 0));
    }
}

fn removes(cases: &mut Cases, nr: c_long) {
    let r = |name: &str| by_path(nr, "mine".into(), name, NULL, 0);
    for name in [
        "user.a",
        "user.bb",
        "user.none",
        "trusted.t",
        "none",
        "user.",
        "system.none",
        "",
        "security.none",
    ] {
        cases.add(&format!("{name:?}"), &mine(), r(name));
        cases.user(&format!("{name:?}"), &mine(), r(name));
    }
    names(cases, &mine(), r("user.a"));
    cases.add(
        "immutable",
        &[mine(), vec![Before::Attributes("mine", 0x10)]].concat(),
        r("user.a"),
    );
}

/// One ACL entry: tag, permissions, identity.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn acls(cases: &mut Cases, get: c_long, put: c_long, remove: c_long) {
    const NONE: u32 = u32::MAX;
    const ACCESS: &str = "system.posix_acl_access";
    const DEFAULT: &str = "system.posix_acl_default";
    let whole = acl(&[
        (1, 6, NONE),
        (2, 7, 1000),
        (2, 4, 2000),
        (4, 4, NONE),
        (8, 5, 77),
        (16, 7, NONE),
        (32, 0, NONE),
    ]);
    let minimal = acl(&[(1, 6, NONE), (4, 4, NONE), (32, 4, NONE)]);
    let mine = |value: &[u8]| vec![given(ACCESS, value), open(0, "mine", O_RDONLY)];
    for size in [0, 10, 60, 61, 1000] {
        cases.add(
            &format!("ACL, {size} bytes"),
            &mine(&whole),
            by_path(get, "mine".into(), ACCESS, OUT, size),
        );
    }
    cases.user(
        "ACL",
        &mine(&whole),
        by_path(get, "mine".into(), ACCESS, OUT, 100),
    );
    cases.add(
        "minimal ACL",
        &mine(&minimal),
        by_path(get, "mine".into(), ACCESS, OUT, 100),
    );
    cases.add(
        "no default ACL",
        &mine(&whole),
        by_path(get, "mine".into(), DEFAULT, OUT, 100),
    );
    cases.add(
        "ACL to nowhere",
        &mine(&whole),
        by_path(get, "mine".into(), ACCESS, WILD_ADDRESS, 100),
    );
    let file = [open(0, "mine", O_RDONLY)];
    for (name, value) in [
        ("whole", whole.clone()),
        ("minimal", minimal.clone()),
        ("empty", Vec::new()),
        ("header", acl(&[])),
        ("cut", whole[..20].to_vec()),
        (
            "another version",
            [&[3, 0, 0, 0][..], &minimal[4..]].concat(),
        ),
        ("no owner", acl(&[(4, 4, NONE), (32, 4, NONE)])),
        (
            "out of order",
            acl(&[(32, 4, NONE), (1, 6, NONE), (4, 4, NONE)]),
        ),
        (
            "unknown tag",
            acl(&[(64, 4, NONE), (1, 6, NONE), (4, 4, NONE)]),
        ),
        (
            "bad identity",
            acl(&[
                (1, 6, NONE),
                (2, 7, NONE),
                (4, 4, NONE),
                (16, 7, NONE),
                (32, 0, NONE),
            ]),
        ),
    ] {
        for attribute in [ACCESS, DEFAULT] {
            cases.add(
                &format!("ACL {name}, {attribute}"),
                &file,
                set(put, "mine".into(), attribute, &value, 0),
            );
            cases.user(
                &format!("ACL {name}, {attribute}"),
                &file,
                set(put, "mine".into(), attribute, &value, 0),
            );
        }
        let dir = [open(0, "dir", O_RDONLY)];
        cases.add(
            &format!("ACL {name} of a directory"),
            &dir,
            set(put, "dir".into(), DEFAULT, &value, 0),
        );
    }
    cases.add(
        "ACL taken away",
        &mine(&whole),
        by_path(remove, "mine".into(), ACCESS, NULL, 0),
    );
    cases.user(
        "ACL taken away",
        &mine(&whole),
        by_path(remove, "mine".into(), ACCESS, NULL, 0),
    );
    cases.add(
        "no ACL taken away",
        &file,
        by_path(remove, "mine".into(), ACCESS, NULL, 0),
    );
    cases.add(
        "default ACL taken away",
        &file,
        by_path(remove, "mine".into(), DEFAULT, NULL, 0),
    );
    cases.user(
        "not the owner's ACL",
        &[open(0, "small", O_RDONLY)],
        set(put, "small".into(), ACCESS, &minimal, 0),
    );
}

fn kinds_of_files(cases: &mut Cases) {
    let none = || PathArg::Bad(NULL);
    for (name, before) in kinds() {
        for attribute in ["user.a", "trusted.a", "system.posix_acl_access"] {
            let what = format!("{name}, {attribute}");
            cases.add(
                &what,
                &before,
                by_path(SYS_fgetxattr, none(), attribute, OUT, 100),
            );
            cases.add(
                &what,
                &before,
                by_path(SYS_fremovexattr, none(), attribute, NULL, 0),
            );
            // A device's attributes would outlast the test.
            if name != "device" {
                cases.add(
                    &what,
                    &before,
                    set(SYS_fsetxattr, none(), attribute, b"x", 0),
                );
            }
        }
        cases.add(name, &before, list(SYS_flistxattr, none(), OUT, 100));
    }
    for (name, fd) in [
        ("AT_FDCWD", CWD),
        ("-1", num(-1)),
        ("-100 above 32 bits", Arg::Num(0x1234_ffff_ff9c)),
    ] {
        let with = |mut op: Op| {
            op.args[0] = fd;
            op
        };
        // The directory has the attribute, so that this is not the errno of everything.
        if fd == CWD || fd == num(-1) {
            cases.add(
                name,
                &[],
                with(by_path(SYS_fgetxattr, none(), "user.a", OUT, 100)),
            );
            cases.add(
                name,
                &[],
                with(set(SYS_fsetxattr, none(), "user.a", b"x", 2)),
            );
        }
        cases.add(
            name,
            &[],
            with(by_path(SYS_fremovexattr, none(), "user.a", NULL, 0)),
        );
        cases.add(name, &[], with(list(SYS_flistxattr, none(), OUT, 100)));
    }
    cases.add("garbage above", &mine(), {
        let mut op = by_path(SYS_fgetxattr, none(), "user.a", OUT, 100);
        op.args[0] = Arg::DirtyFd(0);
        op
    });
    let read_only = [open(0, "rofs/f", O_RDONLY)];
    cases.mounted(
        "read-only file system",
        &read_only,
        set(SYS_fsetxattr, none(), "user.a", b"x", 0),
    );
    cases.mounted(
        "read-only file system",
        &read_only,
        by_path(SYS_fremovexattr, none(), "user.a", NULL, 0),
    );
    cases.user(
        "own",
        &[user_open(0, "mine", O_RDONLY)],
        set(SYS_fsetxattr, none(), "user.a", b"x", 0),
    );
}
