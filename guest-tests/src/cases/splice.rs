// SPDX-License-Identifier: MIT OR Apache-2.0
//! Moving data between files: sendfile and splice.

use libc::{O_APPEND, O_RDONLY, O_RDWR, O_WRONLY, SYS_sendfile, SYS_splice};

use super::system::kinds;
use crate::arena::IN_SIZE;
use crate::case::{Before, Cases, open, seek};
use crate::op::{Arg, Data, KERNEL_ADDRESS, NULL, Op, WILD_ADDRESS, num};

const F: Arg = Arg::Fd(0);
const G: Arg = Arg::Fd(1);
const NONBLOCK: i64 = 2;

/// Adds the cases.
pub fn add(cases: &mut Cases) {
    sendfiles(cases);
    splices(cases);
}

fn place(op: Op, offset: Option<i64>, at: usize) -> Op {
    match offset {
        Some(offset) => op.with(IN_SIZE + at, Data::Bytes(offset.to_le_bytes().to_vec())),
        None => op,
    }
}

fn address(offset: Option<i64>, at: usize) -> Arg {
    offset.map_or(NULL, |_| Arg::Out(at))
}

/// sendfile from slot 0 to slot 1.
fn sendfile(offset: Option<i64>, count: i64) -> Op {
    let op = Op::new(SYS_sendfile, &[G, F, address(offset, 0), num(count)]);
    place(op, offset, 0)
}

/// splice from slot 0 to slot 1.
fn splice(from: Option<i64>, to: Option<i64>, len: i64, flags: i64) -> Op {
    let args = [F, address(from, 0), G, address(to, 8), num(len), num(flags)];
    place(place(Op::new(SYS_splice, &args), from, 0), to, 8)
}

/// The same kind of file in slot 1, what else it needs in slot 2.
fn second(before: &[Before]) -> Option<Before> {
    Some(match before.first()? {
        Before::Call(op) => Before::Call(op.clone().keep(1)),
        Before::Pipe(..) => Before::Pipe(2, 1),
        Before::UnixPair(..) => Before::UnixPair(1, 2),
        Before::InetPair(..) => Before::InetPair(1, 2),
        Before::Memfd(_, bytes) => Before::Memfd(1, bytes),
        Before::Eventfd(_, count) => Before::Eventfd(1, *count),
        Before::Epoll(_) => Before::Epoll(1),
        _ => return None,
    })
}

/// Every kind of file to a file and to a pipe, and from them.
fn all_kinds(cases: &mut Cases, op: &dyn Fn() -> Op) {
    for (name, before) in kinds() {
        // A device has no end; a reader of an empty FIFO that is its own writer waits for ever.
        if name != "fifo" {
            let from = |to: Before| [before.clone(), vec![to]].concat();
            cases.add(
                &format!("{name} to a file"),
                &from(open(1, "big", O_RDWR)),
                op(),
            );
            let mut to_pipe: Vec<_> = before
                .iter()
                .filter(|step| !matches!(step, Before::Pipe(..)))
                .cloned()
                .collect();
            to_pipe.push(Before::Pipe(2, 1));
            cases.add(&format!("{name} to a pipe"), &to_pipe, op());
        }
        let to = second(&before);
        let mut before = vec![open(0, "small", O_RDONLY)];
        before.extend(to.clone());
        cases.add(&format!("a file to {name}"), &before, op());
        let mut before = vec![Before::Pipe(0, 3), Before::Put(3, b"in the pipe")];
        before.extend(to);
        cases.add(&format!("a pipe to {name}"), &before, op());
    }
}

fn sendfiles(cases: &mut Cases) {
    all_kinds(cases, &|| sendfile(None, 11));
    let files = [open(0, "big", O_RDONLY), open(1, "small", O_RDWR)];
    let pipe = [open(0, "big", O_RDONLY), Before::Pipe(2, 1)];
    let unix = [open(0, "big", O_RDONLY), Before::UnixPair(1, 2)];
    let inet = [open(0, "big", O_RDONLY), Before::InetPair(1, 2)];
    for (name, before) in [
        ("file", &files),
        ("pipe", &pipe),
        ("unix", &unix),
        ("inet", &inet),
    ] {
        for count in [0, 1, 4096, 5000, 30_000, -1, i64::MIN] {
            cases.add(
                &format!("{name}, {count} bytes"),
                before,
                sendfile(None, count),
            );
            cases.add(
                &format!("{name}, {count} bytes from 5"),
                before,
                sendfile(Some(5), count),
            );
        }
        for offset in [
            99_990,
            100_000,
            200_000,
            1 << 60,
            -1,
            i64::MAX,
            i64::MAX - 5,
        ] {
            cases.add(
                &format!("{name}, from {offset}"),
                before,
                sendfile(Some(offset), 100),
            );
        }
        for (what, address) in [
            ("nowhere", WILD_ADDRESS),
            ("kernel", KERNEL_ADDRESS),
            ("read-only", Arg::Ro(0)),
            ("no access", Arg::Guard(0)),
        ] {
            let mut op = sendfile(None, 100);
            op.args[2] = address;
            cases.add(&format!("{name}, offset at {what}"), before, op);
        }
        cases.add(
            &format!("{name}, after a seek"),
            &[before.to_vec(), vec![seek(0, 99_000)]].concat(),
            sendfile(None, 5000),
        );
        cases.add(
            &format!("{name}, in closed"),
            &before[1..],
            sendfile(None, 10),
        );
        cases.add(
            &format!("{name}, out closed"),
            &before[..1],
            sendfile(None, 10),
        );
    }
    cases.add(
        "in write-only",
        &[open(0, "big", O_WRONLY), files[1].clone()],
        sendfile(None, 10),
    );
    cases.add(
        "out read-only",
        &[files[0].clone(), open(1, "small", O_RDONLY)],
        sendfile(None, 10),
    );
    cases.add(
        "append",
        &[files[0].clone(), open(1, "small", O_WRONLY | O_APPEND)],
        sendfile(None, 10),
    );
    cases.add(
        "pipe, offset",
        &[Before::Pipe(0, 2), Before::Put(2, b"x"), files[1].clone()],
        sendfile(Some(0), 10),
    );
    cases.add(
        "full pipe",
        &[pipe.to_vec(), vec![Before::Fill(1)]].concat(),
        sendfile(None, 10),
    );
    cases.add(
        "broken pipe",
        &[pipe.to_vec(), vec![Before::Close(2)]].concat(),
        sendfile(None, 10),
    );
    cases.add(
        "full socket",
        &[unix.to_vec(), vec![Before::Fill(1)]].concat(),
        sendfile(None, 10),
    );
    cases.add(
        "closed socket",
        &[unix.to_vec(), vec![Before::Close(2)]].concat(),
        sendfile(None, 10),
    );
    cases.add("garbage above", &files, {
        let mut op = sendfile(None, 10);
        op.args[0] = Arg::DirtyFd(1);
        op.args[1] = Arg::DirtyFd(0);
        op
    });
    for limit in [0, 5, 50] {
        cases
            .add(&format!("limit {limit}"), &files, sendfile(None, 100))
            .environment
            .file_size = Some(limit);
    }
    cases.add(
        "sparse",
        &[open(0, "sparse", O_RDONLY), files[1].clone()],
        sendfile(None, 20_000),
    );
    cases.user(
        "set-user-id goes",
        &[open(0, "small", O_RDONLY), open(1, "suid", O_WRONLY)],
        sendfile(None, 5),
    );
    cases.mounted(
        "to a read-only file system's reader",
        &[open(0, "rofs/f", O_RDONLY), files[1].clone()],
        sendfile(None, 5),
    );
}

fn splices(cases: &mut Cases) {
    all_kinds(cases, &|| splice(None, None, 11, NONBLOCK));
    let into = [open(0, "big", O_RDONLY), Before::Pipe(2, 1)];
    let out = [
        Before::Pipe(0, 2),
        Before::Put(2, b"what is in the pipe"),
        open(1, "small", O_RDWR),
    ];
    for len in [0, 1, 19, 4096, 100_000, -1] {
        for flags in [0, 1, NONBLOCK, 4, 8, 16, -1] {
            let what = format!("{len} bytes, flags {flags}");
            cases.add(
                &format!("in, {what}"),
                &into,
                splice(None, None, len, flags),
            );
            cases.add(
                &format!("out, {what}"),
                &out,
                splice(None, None, len, flags),
            );
        }
    }
    for offset in [0, 5, 99_990, 100_000, -1, i64::MAX] {
        cases.add(
            &format!("in from {offset}"),
            &into,
            splice(Some(offset), None, 100, 0),
        );
        cases.add(
            &format!("out to {offset}"),
            &out,
            splice(None, Some(offset), 10, 0),
        );
        cases.add(
            &format!("in with {offset} of the pipe"),
            &into,
            splice(None, Some(offset), 100, 0),
        );
        cases.add(
            &format!("out with {offset} of the pipe"),
            &out,
            splice(Some(offset), None, 10, 0),
        );
    }
    for (what, address) in [
        ("nowhere", WILD_ADDRESS),
        ("kernel", KERNEL_ADDRESS),
        ("read-only", Arg::Ro(0)),
        ("no access", Arg::Guard(0)),
    ] {
        for which in [1, 3] {
            let mut op = splice(None, None, 10, 0);
            op.args[which] = address;
            cases.add(&format!("in, offset {which} at {what}"), &into, op.clone());
            cases.add(&format!("out, offset {which} at {what}"), &out, op);
        }
    }
    cases.add(
        "in after a seek",
        &[into.to_vec(), vec![seek(0, 99_000)]].concat(),
        splice(None, None, 5000, 0),
    );
    cases.add(
        "out after a seek",
        &[out.to_vec(), vec![seek(1, 3)]].concat(),
        splice(None, None, 5000, 0),
    );
    cases.add(
        "full pipe",
        &[into.to_vec(), vec![Before::Fill(1)]].concat(),
        splice(None, None, 10, 0),
    );
    cases.add(
        "broken pipe",
        &[into.to_vec(), vec![Before::Close(2)]].concat(),
        splice(None, None, 10, 0),
    );
    cases.add(
        "empty pipe",
        &[Before::Pipe(0, 2), open(1, "small", O_RDWR)],
        splice(None, None, 10, 0),
    );
    cases.add(
        "ended pipe",
        &[
            Before::Pipe(0, 2),
            Before::Close(2),
            open(1, "small", O_RDWR),
        ],
        splice(None, None, 10, 0),
    );
    cases.add(
        "append",
        &[
            out[0].clone(),
            out[1].clone(),
            open(1, "small", O_WRONLY | O_APPEND),
        ],
        splice(None, None, 10, 0),
    );
    cases.add(
        "out read-only",
        &[out[0].clone(), out[1].clone(), open(1, "small", O_RDONLY)],
        splice(None, None, 10, 0),
    );
    cases.add(
        "in write-only",
        &[open(0, "big", O_WRONLY), into[1].clone()],
        splice(None, None, 10, 0),
    );
    cases.add(
        "wrong ends",
        &[Before::Pipe(2, 0), open(1, "small", O_RDWR)],
        splice(None, None, 10, 0),
    );
    cases.add(
        "wrong ends, nowhere",
        &[Before::Pipe(2, 0), open(1, "small", O_RDWR)],
        {
            let mut op = splice(None, None, 10, 0);
            op.args[3] = WILD_ADDRESS;
            op
        },
    );
    cases.add(
        "neither a pipe",
        &[open(0, "big", O_RDONLY), open(1, "small", O_RDWR)],
        splice(None, None, 10, 0),
    );
    cases.add("in closed", &into[1..], splice(None, None, 10, 0));
    cases.add("out closed", &into[..1], splice(None, None, 10, 0));
    cases.add("both closed", &[], splice(None, None, 10, 0));
    cases.add("garbage above", &into, {
        let mut op = splice(None, None, 10, 0);
        op.args[0] = Arg::DirtyFd(0);
        op.args[2] = Arg::DirtyFd(1);
        op
    });
    for limit in [0, 5, 50] {
        cases
            .add(&format!("limit {limit}"), &out, splice(None, None, 15, 0))
            .environment
            .file_size = Some(limit);
    }
}
