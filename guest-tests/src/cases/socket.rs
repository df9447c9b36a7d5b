// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making sockets and joining them.

use libc::{
    AF_INET, AF_INET6, AF_UNIX, O_RDONLY, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW,
    SOCK_SEQPACKET, SOCK_STREAM, SYS_accept4, SYS_bind, SYS_connect, SYS_getsockopt, SYS_listen,
    SYS_setsockopt, SYS_shutdown, SYS_socket, SYS_socketpair, c_long,
};

use super::system::kinds;
use crate::arena::{IN_SIZE, OUT_SIZE};
use crate::case::{Before, Cases, open};
use crate::op::{Arg, Data, KERNEL_ADDRESS, NULL, Op, Output, Returns, STRUCT, WILD_ADDRESS, num};

const F: Arg = Arg::Fd(0);
/// Where the length of an address or option is.
const LEN: usize = 512;

/// Adds the cases.
pub fn add(cases: &mut Cases) {
    making(cases);
    pairs(cases);
    binding(cases);
    listening(cases);
    options(cases);
    accepting(cases);
    connecting(cases);
}

fn socket(family: i32, kind: i32, protocol: i32) -> Op {
    let args = [family, kind, protocol].map(|value| num(i64::from(value)));
    let mut op = Op::new(SYS_socket, &args);
    op.returns = Returns::Descriptor(None);
    op
}

/// A non-blocking socket in `slot`.
pub fn made(slot: usize, family: i32, kind: i32) -> Before {
    Before::Call(socket(family, kind | SOCK_NONBLOCK, 0).keep(slot))
}

/// One that blocks.
pub fn waiting(slot: usize, family: i32, kind: i32) -> Before {
    Before::Call(socket(family, kind, 0).keep(slot))
}

/// The address of an AF_UNIX socket at `path`.
pub fn unix(path: &str) -> Vec<u8> {
    let mut bytes = vec![1, 0];
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    bytes
}

/// An AF_INET address.
pub fn inet(address: [u8; 4], port: u16) -> Vec<u8> {
    let mut bytes = vec![2, 0];
    bytes.extend(port.to_be_bytes());
    bytes.extend(address);
    bytes.extend([0; 8]);
    bytes
}

/// bind or connect of `socket`.
pub fn named(nr: c_long, socket: Arg, address: &[u8]) -> Op {
    Op::new(nr, &[socket, Arg::In(STRUCT), num(address.len() as i64)])
        .with(STRUCT, Data::Bytes(address.to_vec()))
}

/// A bound AF_UNIX socket in `slot`.
pub fn bound(slot: usize, kind: i32, path: &str) -> Vec<Before> {
    vec![
        made(slot, AF_UNIX, kind),
        Before::Call(named(SYS_bind, Arg::Fd(slot), &unix(path))),
    ]
}

/// A listening one.
fn listener(slot: usize, backlog: i64) -> Vec<Before> {
    let mut before = bound(slot, SOCK_STREAM, "sock");
    before.push(Before::Call(Op::new(
        SYS_listen,
        &[Arg::Fd(slot), num(backlog)],
    )));
    before
}

fn connected(slot: usize) -> [Before; 2] {
    [
        made(slot, AF_UNIX, SOCK_STREAM),
        Before::Call(named(SYS_connect, Arg::Fd(slot), &unix("sock"))),
    ]
}

fn making(cases: &mut Cases) {
    for family in [AF_UNIX, AF_INET, AF_INET6, 0, 46, 77, -1] {
        for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RAW, 0, 9, -1] {
            for protocol in [0, 1, 6, 17, 300, -1] {
                let op = socket(family, kind, protocol);
                cases.add(&format!("{family} {kind} {protocol}"), &[], op.clone());
                if protocol == 1 {
                    cases.user(&format!("{family} {kind} {protocol}"), &[], op);
                }
            }
        }
    }
    for flags in [
        SOCK_CLOEXEC,
        SOCK_NONBLOCK,
        SOCK_CLOEXEC | SOCK_NONBLOCK,
        0x100,
    ] {
        cases.add(
            &format!("flags {flags:#x}"),
            &[],
            socket(AF_UNIX, SOCK_STREAM | flags, 0),
        );
        cases.add(
            &format!("flags {flags:#x}, bad family"),
            &[],
            socket(99, SOCK_STREAM | flags, 0),
        );
    }
    for family in [AF_UNIX, 99] {
        let case = cases.add(
            &format!("no descriptor is left, {family}"),
            &[],
            socket(family, SOCK_STREAM, 0),
        );
        case.environment.no_descriptors = true;
    }
}

fn pairs(cases: &mut Cases) {
    let p = |family: i32, kind: i32, protocol: i32, to: Arg| {
        let args = [family, kind, protocol].map(|value| num(i64::from(value)));
        let mut op = Op::new(SYS_socketpair, &[args[0], args[1], args[2], to]);
        op.output = Output::Pair;
        op
    };
    for family in [AF_UNIX, AF_INET, 77] {
        for kind in [
            SOCK_STREAM,
            SOCK_DGRAM,
            SOCK_SEQPACKET,
            SOCK_STREAM | SOCK_CLOEXEC,
            SOCK_STREAM | SOCK_NONBLOCK,
            SOCK_STREAM | 0x100,
            9,
        ] {
            cases.add(
                &format!("{family} {kind}"),
                &[],
                p(family, kind, 0, Arg::Out(0)),
            );
        }
        for (name, to) in [
            ("null", NULL),
            ("kernel", KERNEL_ADDRESS),
            ("cut", Arg::Out(OUT_SIZE - 4)),
            ("read-only", Arg::Ro(0)),
        ] {
            cases.add(
                &format!("{family}, to {name}"),
                &[],
                p(family, SOCK_STREAM, 0, to),
            );
        }
        let case = cases.add(
            &format!("{family}, no descriptor is left"),
            &[],
            p(family, SOCK_STREAM, 0, WILD_ADDRESS),
        );
        case.environment.no_descriptors = true;
    }
    cases.add("protocol 9", &[], p(AF_UNIX, SOCK_STREAM, 9, Arg::Out(0)));
}

/// Descriptors of all kinds, and addresses that are none: bind and connect.
fn misnamed(cases: &mut Cases, nr: c_long) {
    for (name, before) in kinds() {
        // An inet socket takes any port there is.
        if name != "inet socket" {
            cases.add(name, &before, named(nr, F, &unix("none/sock")));
        }
        cases.add(&format!("{name}, nowhere"), &before, {
            let mut op = named(nr, F, &unix("sock"));
            op.args[1] = WILD_ADDRESS;
            op
        });
    }
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        for length in [0, 1, 2, 3, 110, 111, 128, 129, -1] {
            let mut op = named(nr, F, &[unix("sock"), vec![0; 130]].concat());
            op.args[2] = num(length);
            // The name of two bytes alone asks for any name, and each world gets another.
            if length != 2 || nr == SYS_connect {
                cases.add(
                    &format!("{kind}, length {length}"),
                    &[made(0, AF_UNIX, kind)],
                    op,
                );
            }
        }
        for path in [
            "none", "none/x", "small", "small/x", "dir", "loop1/x", "nodir/x", "rodir/x",
            "dangling", "fifo",
        ] {
            cases.add(
                &format!("{kind}, {path}"),
                &[made(0, AF_UNIX, kind)],
                named(nr, F, &unix(path)),
            );
            cases.user(
                &format!("{kind}, {path}"),
                &[made(0, AF_UNIX, kind)],
                named(nr, F, &unix(path)),
            );
        }
    }
}

fn binding(cases: &mut Cases) {
    misnamed(cases, SYS_bind);
    let fresh = [made(0, AF_UNIX, SOCK_STREAM)];
    cases.add("fresh", &fresh, named(SYS_bind, F, &unix("sock")));
    cases
        .add("umask", &fresh, named(SYS_bind, F, &unix("sock")))
        .environment
        .umask = Some(0o77);
    cases
        .add(
            "in a working directory",
            &fresh,
            named(SYS_bind, F, &unix("sock")),
        )
        .environment
        .directory = Some("dir/sub");
    cases.add(
        "twice",
        &bound(0, SOCK_STREAM, "sock"),
        named(SYS_bind, F, &unix("sock2")),
    );
    cases.mounted(
        "read-only file system",
        &fresh,
        named(SYS_bind, F, &unix("rofs/sock")),
    );
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let own = [made(0, AF_INET, kind)];
        cases.add(
            &format!("{kind}, any port"),
            &own,
            named(SYS_bind, F, &inet([127, 0, 0, 1], 0)),
        );
        cases.add(
            &format!("{kind}, not ours"),
            &own,
            named(SYS_bind, F, &inet([192, 0, 2, 1], 0)),
        );
        cases.add(
            &format!("{kind}, short"),
            &own,
            named(SYS_bind, F, &inet([127, 0, 0, 1], 0)[..8]),
        );
        cases.user(
            &format!("{kind}, privileged port"),
            &own,
            named(SYS_bind, F, &inet([127, 0, 0, 1], 80)),
        );
        let mut other = inet([127, 0, 0, 1], 0);
        other[0] = 77;
        cases.add(
            &format!("{kind}, another family"),
            &own,
            named(SYS_bind, F, &other),
        );
    }
}

fn listening(cases: &mut Cases) {
    let l = |backlog: i64| Op::new(SYS_listen, &[F, num(backlog)]);
    let s = |how: i64| Op::new(SYS_shutdown, &[F, num(how)]);
    for (name, before) in kinds() {
        cases.add(name, &before, l(1));
        for how in [0, 1, 2, 3, -1] {
            cases.add(&format!("{name}, {how}"), &before, s(how));
        }
    }
    for backlog in [0, 1, -1, i64::from(i32::MAX)] {
        cases.add(
            &format!("bound, {backlog}"),
            &bound(0, SOCK_STREAM, "sock"),
            l(backlog),
        );
        cases.add(&format!("again, {backlog}"), &listener(0, 5), l(backlog));
        cases.add(
            &format!("datagrams, {backlog}"),
            &bound(0, SOCK_DGRAM, "sock"),
            l(backlog),
        );
        cases.add(
            &format!("inet, {backlog}"),
            &[made(0, AF_INET, SOCK_STREAM)],
            l(backlog),
        );
    }
    for (name, before) in [
        ("fresh", vec![made(0, AF_UNIX, SOCK_STREAM)]),
        ("listening", listener(0, 5)),
        ("fresh inet", vec![made(0, AF_INET, SOCK_STREAM)]),
        ("datagrams", vec![made(0, AF_INET, SOCK_DGRAM)]),
    ] {
        for how in [0, 1, 2, 7] {
            cases.add(&format!("{name}, {how}"), &before, s(how));
        }
    }
}

fn options(cases: &mut Cases) {
    let get = |level: i32, name: i32, to: Arg, len: i32| {
        let args = [
            F,
            num(i64::from(level)),
            num(i64::from(name)),
            to,
            Arg::Out(LEN),
        ];
        Op::new(SYS_getsockopt, &args).with(IN_SIZE + LEN, Data::Bytes(len.to_le_bytes().to_vec()))
    };
    let set = |level: i32, name: i32, value: &[u8], len: i32| {
        let args = [
            F,
            num(i64::from(level)),
            num(i64::from(name)),
            Arg::In(STRUCT),
            num(i64::from(len)),
        ];
        Op::new(SYS_setsockopt, &args).with(STRUCT, Data::Bytes(value.to_vec()))
    };
    for (name, before) in kinds() {
        cases.add(
            name,
            &before,
            get(libc::SOL_SOCKET, libc::SO_TYPE, Arg::Out(0), 4),
        );
        cases.add(
            name,
            &before,
            set(libc::SOL_SOCKET, libc::SO_KEEPALIVE, &[1, 0, 0, 0], 4),
        );
    }
    let sockets = [
        ("unix", vec![Before::UnixPair(0, 1)]),
        ("tcp", vec![made(0, AF_INET, SOCK_STREAM)]),
        ("udp", vec![made(0, AF_INET, SOCK_DGRAM)]),
    ];
    for (kind, before) in &sockets {
        for level in [libc::SOL_SOCKET, libc::SOL_IP, libc::SOL_TCP, 77] {
            for name in [1, 2, 3, 7, 9, 12, 13, 15, 16, 17, 20, 30, 36, 39, 49, 999] {
                for len in [4, 2] {
                    let what = format!("{kind} {level} {name}, {len} bytes");
                    cases.add(&what, before, get(level, name, Arg::Out(0), len));
                    if name != 36 {
                        cases.add(&what, before, set(level, name, &[1, 0, 0, 0], len));
                        cases.user(&what, before, set(level, name, &[1, 0, 0, 0], len));
                    }
                }
            }
        }
        for len in [0, 1, 3, 64, 1000, -1] {
            cases.add(
                &format!("{kind}, {len} bytes"),
                before,
                get(libc::SOL_SOCKET, libc::SO_SNDBUF, Arg::Out(0), len),
            );
            cases.add(
                &format!("{kind}, {len} bytes"),
                before,
                set(libc::SOL_SOCKET, libc::SO_SNDBUF, &[0, 16, 0, 0], len),
            );
        }
        for (name, address) in [
            ("null", NULL),
            ("kernel", KERNEL_ADDRESS),
            ("no access", Arg::Guard(0)),
        ] {
            for which in [3, 4] {
                let mut op = get(libc::SOL_SOCKET, libc::SO_TYPE, Arg::Out(0), 4);
                op.args[which] = address;
                cases.add(&format!("{kind}, argument {which} at {name}"), before, op);
            }
            let mut op = set(libc::SOL_SOCKET, libc::SO_SNDBUF, &[0], 4);
            op.args[3] = address;
            cases.add(&format!("{kind}, from {name}"), before, op);
        }
    }
}

fn accept(to: Arg, len: i32, flags: i32) -> Op {
    let args = [F, to, Arg::Out(LEN), num(i64::from(flags))];
    let mut op =
        Op::new(SYS_accept4, &args).with(IN_SIZE + LEN, Data::Bytes(len.to_le_bytes().to_vec()));
    op.returns = Returns::Descriptor(None);
    op
}

fn accepting(cases: &mut Cases) {
    let ready = || {
        let mut before = listener(0, 5);
        before.extend(connected(1));
        before
    };
    for (name, before) in kinds() {
        for flags in [0, SOCK_CLOEXEC, 1] {
            cases.add(&format!("{name}, {flags}"), &before, accept(NULL, 0, flags));
        }
    }
    for flags in [
        0,
        SOCK_CLOEXEC,
        SOCK_NONBLOCK,
        SOCK_CLOEXEC | SOCK_NONBLOCK,
        1,
        -1,
    ] {
        cases.add(
            &format!("nobody, flags {flags:#x}"),
            &listener(0, 5),
            accept(NULL, 0, flags),
        );
        cases.add(
            &format!("flags {flags:#x}"),
            &ready(),
            accept(NULL, 0, flags),
        );
    }
    for len in [0, 1, 2, 3, 110, 200, -1] {
        cases.add(
            &format!("address of {len}"),
            &ready(),
            accept(Arg::Out(0), len, 0),
        );
    }
    for (name, address) in [
        ("null", NULL),
        ("kernel", KERNEL_ADDRESS),
        ("read-only", Arg::Ro(0)),
    ] {
        cases.add(
            &format!("address to {name}"),
            &ready(),
            accept(address, 110, 0),
        );
        let mut op = accept(Arg::Out(0), 110, 0);
        op.args[2] = address;
        cases.add(&format!("length at {name}"), &ready(), op);
    }
    // The other end has a name.
    let mut before = listener(0, 5);
    before.extend(bound(1, SOCK_STREAM, "client"));
    before.push(Before::Call(named(SYS_connect, Arg::Fd(1), &unix("sock"))));
    cases.add("a named one", &before, accept(Arg::Out(0), 110, 0));
    cases.add("a named one, cut", &before, accept(Arg::Out(0), 5, 0));
    for (name, before) in [
        ("", ready()),
        ("a file, ", vec![open(0, "small", O_RDONLY)]),
    ] {
        let case = cases.add(
            &format!("{name}no descriptor is left"),
            &before,
            accept(NULL, 0, 0),
        );
        case.environment.no_descriptors = true;
    }
    cases.add(
        "not listening",
        &bound(0, SOCK_STREAM, "sock"),
        accept(NULL, 0, 0),
    );
    cases.add(
        "datagrams",
        &[made(0, AF_INET, SOCK_DGRAM)],
        accept(NULL, 0, 0),
    );
    // One that blocks but need not.
    let mut blocking = vec![waiting(0, AF_UNIX, SOCK_STREAM)];
    blocking.extend(listener(2, 5).into_iter().skip(1).map(|step| match step {
        Before::Call(mut op) => {
            op.args[0] = Arg::Fd(0);
            Before::Call(op)
        }
        other => other,
    }));
    blocking.extend(connected(1));
    cases.add("blocking", &blocking, accept(Arg::Out(0), 110, 0));
}

fn connecting(cases: &mut Cases) {
    misnamed(cases, SYS_connect);
    let connect = |path: &str| named(SYS_connect, F, &unix(path));
    for kind in [made as fn(usize, i32, i32) -> Before, waiting] {
        let with = |mut before: Vec<Before>| {
            before.push(kind(0, AF_UNIX, SOCK_STREAM));
            before
        };
        cases.add("a listener", &with(listener(1, 5)), connect("sock"));
        cases.user("a listener", &with(listener(1, 5)), connect("sock"));
        cases.add(
            "bound only",
            &with(bound(1, SOCK_STREAM, "sock")),
            connect("sock"),
        );
        cases.add(
            "another type",
            &with(bound(1, SOCK_DGRAM, "sock")),
            connect("sock"),
        );
    }
    let mut full = listener(1, 0);
    full.extend(connected(2));
    full.push(made(0, AF_UNIX, SOCK_STREAM));
    cases.add("full", &full, connect("sock"));
    let mut twice = listener(1, 5);
    twice.extend(connected(0));
    cases.add("twice", &twice, connect("sock"));
    let datagrams = [
        bound(1, SOCK_DGRAM, "sock"),
        vec![made(0, AF_UNIX, SOCK_DGRAM)],
    ]
    .concat();
    cases.add("datagrams", &datagrams, connect("sock"));
    cases
        .add("in a working directory", &datagrams, connect("../../sock"))
        .environment
        .directory = Some("dir/sub");
    let udp = [made(0, AF_INET, SOCK_DGRAM)];
    cases.add("udp", &udp, named(SYS_connect, F, &inet([127, 0, 0, 1], 9)));
    cases.add(
        "udp, broadcast",
        &udp,
        named(SYS_connect, F, &inet([255; 4], 9)),
    );
    cases.add(
        "udp, short",
        &udp,
        named(SYS_connect, F, &inet([127, 0, 0, 1], 9)[..8]),
    );
    cases.add(
        "tcp, nobody there",
        &[waiting(0, AF_INET, SOCK_STREAM)],
        named(SYS_connect, F, &inet([127, 0, 0, 1], 1)),
    );
    cases.add(
        "tcp, not waited for",
        &[made(0, AF_INET, SOCK_STREAM)],
        named(SYS_connect, F, &inet([127, 0, 0, 1], 1)),
    );
    cases.add(
        "tcp, connected",
        &[Before::InetPair(0, 1)],
        named(SYS_connect, F, &inet([127, 0, 0, 1], 1)),
    );
    let mut other = inet([127, 0, 0, 1], 9);
    other[0] = 77;
    cases.add(
        "tcp, another family",
        &[made(0, AF_INET, SOCK_STREAM)],
        named(SYS_connect, F, &other),
    );
}
