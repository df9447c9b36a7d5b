// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sending and receiving, with names and control messages.

use libc::{
    AF_INET, AF_UNIX, MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_OOB, MSG_PEEK, MSG_TRUNC,
    MSG_WAITALL, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SYS_connect, SYS_recvfrom, SYS_sendto,
    SYS_setsockopt, SYS_shutdown,
};

use super::socket::{bound, inet, made, named, unix, waiting};
use super::system::kinds;
use crate::arena::{IN_SIZE, OUT_SIZE};
use crate::case::{Before, Cases, open};
use crate::op::{
    Arg, CONTROL, DATA, Data, HEADER, KERNEL_ADDRESS, NULL, Op, STRUCT, VECTOR, WILD_ADDRESS, num,
};
use crate::random_io::{receive, send};

const F: Arg = Arg::Fd(0);
const G: Arg = Arg::Fd(1);
/// Where the length of an address is.
const LEN: usize = 512;
const ADDRESS: usize = 60_000;

/// Adds the cases.
pub fn add(cases: &mut Cases) {
    sending(cases);
    receiving(cases);
    messages(cases);
    received_messages(cases);
}

fn sendto(len: i64, flags: i32, address: &[u8]) -> Op {
    let to = if address.is_empty() {
        NULL
    } else {
        Arg::In(STRUCT)
    };
    let args = [
        F,
        Arg::Out(0),
        num(len),
        num(i64::from(flags)),
        to,
        num(address.len() as i64),
    ];
    Op::new(SYS_sendto, &args).with(STRUCT, Data::Bytes(address.to_vec()))
}

fn recvfrom(len: i64, flags: i32, room: Option<i32>) -> Op {
    let from = if room.is_some() {
        Arg::Out(ADDRESS)
    } else {
        NULL
    };
    let args = [
        F,
        Arg::Out(0),
        num(len),
        num(i64::from(flags)),
        from,
        Arg::Out(ADDRESS + LEN),
    ];
    let room = room.unwrap_or(0).to_le_bytes().to_vec();
    Op::new(SYS_recvfrom, &args).with(IN_SIZE + ADDRESS + LEN, Data::Bytes(room))
}

fn shut(slot: usize, how: i64) -> Before {
    Before::Call(Op::new(SYS_shutdown, &[Arg::Fd(slot), num(how)]))
}

/// Two named datagram sockets.
fn datagrams() -> Vec<Before> {
    [bound(0, SOCK_DGRAM, "one"), bound(1, SOCK_DGRAM, "two")].concat()
}

fn sent(slot: usize, bytes: &[u8], to: &[u8]) -> Before {
    let mut op = sendto(bytes.len() as i64, 0, to);
    op.args[0] = Arg::Fd(slot);
    op.args[1] = Arg::In(VECTOR);
    Before::Call(op.with(VECTOR, Data::Bytes(bytes.to_vec())))
}

fn sending(cases: &mut Cases) {
    let pairs = [
        ("unix", Before::UnixPair(0, 1)),
        ("inet", Before::InetPair(0, 1)),
    ];
    for (name, before) in kinds() {
        cases.add(name, &before, sendto(5, 0, &[]));
        cases.add(&format!("{name}, kernel"), &before, {
            let mut op = sendto(5, 0, &[]);
            op.args[1] = KERNEL_ADDRESS;
            op
        });
    }
    for (name, pair) in &pairs {
        let one = std::slice::from_ref(pair);
        for len in [0, 1, 4096, 60_000] {
            cases.add(&format!("{name}, {len} bytes"), one, sendto(len, 0, &[]));
        }
        for flags in [
            MSG_DONTWAIT,
            MSG_OOB,
            0x40_0000,
            libc::MSG_MORE,
            libc::MSG_EOR,
            !libc::MSG_ZEROCOPY,
        ] {
            cases.add(
                &format!("{name}, flags {flags:#x}"),
                one,
                sendto(3, flags, &[]),
            );
        }
        for (what, address) in [
            ("null", NULL),
            ("nowhere", WILD_ADDRESS),
            ("no access", Arg::Guard(0)),
            ("cut", Arg::Out(OUT_SIZE - 3)),
        ] {
            let mut op = sendto(10, 0, &[]);
            op.args[1] = address;
            cases.add(&format!("{name}, from {what}"), one, op);
            let mut op = sendto(10, 0, &unix("one"));
            op.args[4] = address;
            cases.add(&format!("{name}, to a name at {what}"), one, op);
        }
        // How much a TCP connection takes is its own affair.
        if *name == "unix" {
            cases.add(
                &format!("{name}, full"),
                &[pair.clone(), Before::Fill(0)],
                sendto(5000, 0, &[]),
            );
        }
        cases.add(
            &format!("{name}, shut"),
            &[pair.clone(), shut(0, 1)],
            sendto(5, 0, &[]),
        );
        cases.add(
            &format!("{name}, closed"),
            &[pair.clone(), Before::Close(1)],
            sendto(5, 0, &[]),
        );
        cases.add(&format!("{name}, a name"), one, sendto(5, 0, &unix("one")));
        cases.add(
            &format!("{name}, not connected"),
            &[made(0, AF_UNIX, SOCK_STREAM)],
            sendto(5, 0, &[]),
        );
    }
    for path in ["two", "one", "none", "small", "nodir/x", "dir/../two"] {
        cases.add(
            &format!("to {path}"),
            &datagrams(),
            sendto(9, 0, &unix(path)),
        );
        cases.user(
            &format!("to {path}"),
            &datagrams(),
            sendto(9, 0, &unix(path)),
        );
    }
    cases
        .add(
            "in a working directory",
            &datagrams(),
            sendto(9, 0, &unix("../../two")),
        )
        .environment
        .directory = Some("dir/sub");
    for length in [0, 1, 2, 128, 129, -1] {
        let mut op = sendto(9, 0, &[unix("two"), vec![0; 130]].concat());
        op.args[5] = num(length);
        // Two bytes give the sender a name of its own.
        if length != 2 {
            cases.add(&format!("length {length}"), &datagrams(), op);
        }
    }
    let udp = [made(0, AF_INET, SOCK_DGRAM)];
    cases.add("udp", &udp, sendto(9, 0, &inet([127, 0, 0, 1], 9)));
    cases.add("udp, no name", &udp, sendto(9, 0, &[]));
    cases.add(
        "udp, too long",
        &udp,
        sendto(65_530, 0, &inet([127, 0, 0, 1], 9)),
    );
    cases.add("udp, no port", &udp, sendto(9, 0, &inet([127, 0, 0, 1], 0)));
    let connected = [
        made(0, AF_INET, SOCK_DGRAM),
        Before::Call(named(SYS_connect, F, &inet([127, 0, 0, 1], 9))),
    ];
    cases.add("udp, connected", &connected, sendto(9, 0, &[]));
    cases.add(
        "tcp, not connected",
        &[made(0, AF_INET, SOCK_STREAM)],
        sendto(5, 0, &[]),
    );
    // Nobody is there: the second one is told.
    let refused = [connected.to_vec(), vec![sent(0, b"x", &[])]].concat();
    cases.add("udp, refused", &refused, sendto(9, 0, &[]));
    let blocking = [
        waiting(0, AF_UNIX, SOCK_DGRAM),
        bound(1, SOCK_DGRAM, "two")[0].clone(),
        bound(1, SOCK_DGRAM, "two")[1].clone(),
    ];
    cases.add("blocking", &blocking, sendto(9, 0, &unix("two")));
    cases.add(
        "blocking, but not this one",
        &blocking,
        sendto(9, MSG_DONTWAIT, &unix("two")),
    );
    cases.add("garbage above", &[Before::UnixPair(0, 1)], {
        let mut op = sendto(5, 0, &[]);
        op.args[0] = Arg::DirtyFd(0);
        op.args[3] = Arg::Num(0xdead_0000_0000);
        op
    });
}

fn receiving(cases: &mut Cases) {
    for (name, before) in kinds() {
        cases.add(name, &before, recvfrom(5, 0, None));
        cases.add(&format!("{name}, kernel"), &before, {
            let mut op = recvfrom(5, 0, None);
            op.args[1] = KERNEL_ADDRESS;
            op
        });
    }
    for (name, pair) in [
        ("unix", Before::UnixPair(0, 1)),
        ("inet", Before::InetPair(0, 1)),
    ] {
        let one = std::slice::from_ref(&pair);
        let ready = [pair.clone(), Before::Put(1, b"some bytes")];
        for len in [0, 1, 10, 4096] {
            for flags in [0, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_DONTWAIT, MSG_OOB] {
                let what = format!("{name}, {len} bytes, flags {flags:#x}");
                cases.add(&what, &ready, recvfrom(len, flags, None));
                cases.add(
                    &format!("{what}, nothing there"),
                    one,
                    recvfrom(len, flags, None),
                );
            }
        }
        for (what, address) in [
            ("null", NULL),
            ("nowhere", WILD_ADDRESS),
            ("no access", Arg::Guard(0)),
            ("cut", Arg::Out(OUT_SIZE - 3)),
        ] {
            let mut op = recvfrom(10, 0, None);
            op.args[1] = address;
            cases.add(&format!("{name}, to {what}"), &ready, op);
        }
        cases.add(&format!("{name}, from whom"), &ready, {
            // Of a TCP connection the port is any.
            recvfrom(10, 0, Some(if name == "unix" { 110 } else { 2 }))
        });
        cases.add(
            &format!("{name}, closed"),
            &[pair.clone(), Before::Put(1, b"left"), Before::Close(1)],
            recvfrom(10, 0, None),
        );
        cases.add(
            &format!("{name}, at the end"),
            &[pair.clone(), Before::Close(1)],
            recvfrom(10, 0, None),
        );
    }
    let ready = [
        datagrams(),
        vec![
            sent(1, b"a datagram", &unix("one")),
            sent(1, b"another", &unix("one")),
        ],
    ]
    .concat();
    for room in [0, 1, 2, 5, 110, 300, -1] {
        cases.add(
            &format!("address of {room}"),
            &ready,
            recvfrom(50, 0, Some(room)),
        );
    }
    for (name, address) in [
        ("null", NULL),
        ("kernel", KERNEL_ADDRESS),
        ("read-only", Arg::Ro(0)),
    ] {
        for which in [4, 5] {
            let mut op = recvfrom(50, 0, Some(110));
            op.args[which] = address;
            cases.add(&format!("argument {which} at {name}"), &ready, op);
        }
    }
    cases.add("cut", &ready, recvfrom(3, 0, None));
    cases.add("cut, true length", &ready, recvfrom(3, MSG_TRUNC, None));
    cases.add(
        "not connected",
        &[made(0, AF_INET, SOCK_STREAM)],
        recvfrom(5, 0, None),
    );
    let blocking = [
        waiting(0, AF_UNIX, SOCK_DGRAM),
        Before::Call(named(libc::SYS_bind, F, &unix("one"))),
        made(1, AF_UNIX, SOCK_DGRAM),
        sent(1, b"there", &unix("one")),
    ];
    cases.add("blocking", &blocking, recvfrom(50, 0, Some(110)));
    cases.add(
        "blocking, but not this one",
        &blocking,
        recvfrom(50, MSG_DONTWAIT, None),
    );
}

fn header(op: &mut Op, which: usize, word: Arg) {
    let at = if op.nr == libc::SYS_sendmsg as u16 {
        VECTOR
    } else {
        IN_SIZE + HEADER
    };
    for (place, data) in &mut op.inputs {
        if let (true, Data::Words(words)) = (*place == at, data) {
            words[which] = word;
        }
    }
}

/// The same message with the words of its header changed.
fn with(mut op: Op, words: &[(usize, Arg)]) -> Op {
    for (which, word) in words {
        header(&mut op, *which, *word);
    }
    op
}

fn messages(cases: &mut Cases) {
    let plain = || send(F, NULL, 0, NULL, 0);
    for (name, before) in kinds() {
        cases.add(name, &before, plain());
        cases.add(&format!("{name}, nowhere"), &before, {
            let mut op = plain();
            op.args[1] = WILD_ADDRESS;
            op
        });
    }
    for (kind, pair) in [
        ("unix", Before::UnixPair(0, 1)),
        ("inet", Before::InetPair(0, 1)),
    ] {
        let pair = [pair];
        for flags in [MSG_DONTWAIT, i32::MIN, libc::MSG_MORE] {
            cases.add(
                &format!("{kind}, flags {flags:#x}"),
                &pair,
                send(F, NULL, 0, NULL, i64::from(flags)),
            );
        }
        for (name, words) in [
            ("no vector", vec![(2, NULL), (3, num(0))]),
            ("vector at null", vec![(2, NULL)]),
            ("too many segments", vec![(3, num(1025))]),
            ("many segments", vec![(3, num(1024))]),
            ("segments of no number", vec![(3, num(-1))]),
            ("name at null with a length", vec![(1, num(50))]),
            (
                "negative length of a name",
                vec![(0, Arg::In(STRUCT)), (1, num(0xffff_ffff))],
            ),
            ("name nowhere", vec![(0, WILD_ADDRESS), (1, num(16))]),
            ("name of nothing", vec![(0, Arg::In(STRUCT)), (1, num(0))]),
            ("name", vec![(0, Arg::In(STRUCT)), (1, num(16))]),
            ("flags in the header", vec![(6, num(-1))]),
            ("control at null", vec![(5, num(20))]),
            ("huge control", vec![(5, num(1 << 31))]),
            ("control nowhere", vec![(4, WILD_ADDRESS), (5, num(20))]),
            (
                "long control nowhere",
                vec![(4, WILD_ADDRESS), (5, num(200))],
            ),
            (
                "control too long for memory",
                vec![(4, Arg::In(STRUCT)), (5, num(0x7fff_ffff))],
            ),
        ] {
            cases.add(&format!("{kind}, {name}"), &pair, with(plain(), &words));
        }
        // How much a TCP connection takes is its own affair.
        if kind == "unix" {
            cases.add(
                &format!("{kind}, full"),
                &[pair[0].clone(), Before::Fill(0)],
                with(plain(), &[(3, num(1))]),
            );
        }
        cases.add(
            &format!("{kind}, closed"),
            &[pair[0].clone(), Before::Close(1)],
            plain(),
        );
        for len in [1, 15, 16, 17, 19, 20, 24] {
            cases.add(
                &format!("{kind}, control of {len}"),
                &pair,
                send(F, Arg::In(STRUCT), len, Arg::Fd(1), 0),
            );
        }
    }
    let control = |words: Vec<Arg>, len: i64| {
        let mut op = send(F, Arg::In(STRUCT), len, F, 0);
        op.inputs.retain(|(at, _)| *at != STRUCT);
        op.with(STRUCT, Data::Words(words))
    };
    let pair = [Before::UnixPair(0, 1)];
    let pid = || num(i64::from(std::process::id()));
    for (name, op) in [
        (
            "rights to nothing",
            control(vec![num(20), num(1 << 32 | 1), num(999)], 24),
        ),
        (
            "rights to -1",
            control(vec![num(20), num(1 << 32 | 1), num(-1)], 24),
        ),
        (
            "two rights",
            control(vec![num(24), num(1 << 32 | 1), num(1 << 32)], 24),
        ),
        ("no rights", control(vec![num(16), num(1 << 32 | 1)], 16)),
        (
            "rights, too long",
            control(vec![num(200), num(1 << 32 | 1), F], 24),
        ),
        (
            "rights, too short",
            control(vec![num(12), num(1 << 32 | 1), F], 24),
        ),
        (
            "another level",
            control(vec![num(20), num(1 << 32 | 9), F], 24),
        ),
        (
            "another type",
            control(vec![num(20), num(99 << 32 | 1), F], 24),
        ),
        (
            "credentials",
            control(vec![num(28), num(2 << 32 | 1), pid(), num(0)], 32),
        ),
        (
            "another's user",
            control(
                vec![num(28), num(2 << 32 | 1), num(1 | 1000 << 32), num(7)],
                32,
            ),
        ),
        (
            "long",
            control(vec![num(40), num(1 << 32 | 1), F, F, F], 40),
        ),
    ] {
        cases.add(name, &pair, op.clone());
        cases.user(name, &pair, op);
    }
    cases.add(
        "to a name",
        &datagrams(),
        with(plain(), &[(0, Arg::In(VECTOR + 2048)), (1, num(6))])
            .with(VECTOR + 2048, Data::Bytes(unix("two"))),
    );
    cases.add("too long", &[made(0, AF_INET, SOCK_DGRAM)], {
        with(
            plain(),
            &[
                (0, Arg::In(VECTOR + 2048)),
                (1, num(16)),
                (2, Arg::In(VECTOR + 3072)),
            ],
        )
        .with(VECTOR + 2048, Data::Bytes(inet([127, 0, 0, 1], 9)))
        .with(VECTOR + 3072, Data::Words(vec![Arg::Out(0), num(65_530)]))
    });
}

fn received_messages(cases: &mut Cases) {
    for (name, before) in kinds() {
        cases.add(name, &before, receive(F, 100, 0));
        cases.add(&format!("{name}, null"), &before, {
            let mut op = receive(F, 100, 0);
            op.args[1] = NULL;
            op
        });
    }
    let pass = |slot: usize| {
        let args = [
            Arg::Fd(slot),
            num(1),
            num(i64::from(libc::SO_PASSCRED)),
            Arg::In(STRUCT),
            num(4),
        ];
        Before::Call(Op::new(SYS_setsockopt, &args).with(STRUCT, Data::Bytes(vec![1, 0, 0, 0])))
    };
    let rights = |sent: Arg| Before::Call(send(G, Arg::In(STRUCT), 20, sent, 0));
    let file = open(2, "big", libc::O_RDWR);
    for (kind, pair) in [
        ("stream", vec![Before::UnixPair(0, 1)]),
        (
            "packets",
            vec![made(0, AF_UNIX, SOCK_SEQPACKET), Before::UnixPair(0, 1)],
        ),
    ] {
        let ready = [pair.clone(), vec![file.clone(), rights(Arg::Fd(2))]].concat();
        for flags in [
            0,
            MSG_CMSG_CLOEXEC,
            MSG_PEEK,
            MSG_DONTWAIT,
            MSG_CTRUNC,
            i32::MIN,
        ] {
            for room in [0, 15, 16, 19, 20, 24, 100] {
                let what = format!("{kind}, rights in {room}, flags {flags:#x}");
                cases.add(&what, &ready, receive(F, room, i64::from(flags)));
            }
        }
        cases
            .add(
                &format!("{kind}, rights, no descriptor is left"),
                &ready,
                receive(F, 100, 0),
            )
            .environment
            .no_descriptors = true;
        let with_pass = [
            pair.clone(),
            vec![pass(0), file.clone(), rights(Arg::Fd(2))],
        ]
        .concat();
        for room in [0, 28, 32, 52, 100] {
            cases.add(
                &format!("{kind}, rights and credentials in {room}"),
                &with_pass,
                receive(F, room, 0),
            );
        }
        cases.add(&format!("{kind}, nothing there"), &pair, receive(F, 100, 0));
        for (name, words) in [
            ("no vector", vec![(3, num(0))]),
            ("vector at null", vec![(2, NULL)]),
            ("too many segments", vec![(3, num(1025))]),
            ("name at null", vec![(0, NULL)]),
            ("name nowhere", vec![(0, WILD_ADDRESS)]),
            ("negative length of a name", vec![(1, num(0xffff_ffff))]),
            ("no length of a name", vec![(1, num(0))]),
            ("control nowhere", vec![(4, KERNEL_ADDRESS)]),
            ("flags in the header", vec![(6, num(-1))]),
        ] {
            // What is installed for a control message that cannot be written stays, and nobody knows its number.
            let before = if name == "control nowhere" {
                [pair.clone(), vec![Before::Put(1, b"plain")]].concat()
            } else {
                ready.clone()
            };
            cases.add(
                &format!("{kind}, {name}"),
                &before,
                with(receive(F, 100, 0), &words),
            );
        }
    }
    let inet_pair = [
        Before::InetPair(0, 1),
        Before::Put(1, b"some bytes over the wire"),
    ];
    for flags in [0, MSG_PEEK, MSG_TRUNC, MSG_WAITALL] {
        cases.add(
            &format!("inet, flags {flags:#x}"),
            &inet_pair,
            receive(F, 0, i64::from(flags)),
        );
    }
    let named = [datagrams(), vec![sent(1, b"a datagram", &unix("one"))]].concat();
    cases.add("name", &named, receive(F, 0, 0));
    cases.add("name, cut", &named, with(receive(F, 0, 0), &[(1, num(3))]));
    cases.add("cut", &named, {
        let mut op = receive(F, 0, 0);
        op.inputs.retain(|(at, _)| *at != VECTOR);
        op.with(
            VECTOR,
            Data::Words(vec![Arg::Out(DATA), num(2), Arg::Out(CONTROL), num(2)]),
        )
    });
    cases.add("read-only header", &inet_pair, {
        let mut op = receive(F, 0, 0);
        op.args[1] = Arg::Ro(0);
        op
    });
    let blocking = [
        waiting(0, AF_UNIX, SOCK_DGRAM),
        Before::Call(named_one()),
        made(1, AF_UNIX, SOCK_DGRAM),
        sent(1, b"there", &unix("one")),
    ];
    cases.add("blocking", &blocking, receive(F, 100, 0));
}

fn named_one() -> Op {
    named(libc::SYS_bind, F, &unix("one"))
}
