// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random arguments of the calls on file systems, attributes and sockets. As in [`crate::random`], nothing may block
//! for ever: every socket and pipe stays non-blocking.

use libc::c_long;

use crate::arena::IN_SIZE;
use crate::op::{
    self, Arg, CONTROL, DATA, Data, HEADER, KERNEL_ADDRESS, NULL, Op, Output, Returns, SLOTS,
    STRUCT, VECTOR, num,
};
use crate::random::{
    EVENTFD, LENGTHS, OFFSETS, SIZES, address, dir, fd, flags, mode, path, structure,
};
use crate::rng::Rng;

const NAMES: &[&str] = &[
    "user.a",
    "user.a",
    "user.b",
    "user.",
    "trusted.t",
    "security.s",
    "system.posix_acl_access",
    "system.posix_acl_default",
    "system.none",
    "none",
    "",
];

/// Any arguments for call `nr`.
pub fn arguments(rng: &mut Rng, nr: c_long) -> Op {
    match nr {
        libc::SYS_sync_file_range => {
            let flags = num(rng.below(9) as i64);
            Op::new(
                nr,
                &[
                    fd(rng),
                    num(*rng.pick(OFFSETS)),
                    num(*rng.pick(LENGTHS)),
                    flags,
                ],
            )
        }
        // Slow where the disk is.
        libc::SYS_syncfs if rng.one_in(8) => Op::new(nr, &[fd(rng)]),
        libc::SYS_syncfs => Op::new(nr, &[num(-1)]),
        libc::SYS_fstatfs => {
            let mut op = Op::new(nr, &[fd(rng), structure(rng)]);
            op.output = Output::Statfs;
            op
        }
        libc::SYS_statfs => {
            let mut op = Op::new(nr, &[NULL, structure(rng)]).path(0, path(rng));
            op.output = Output::Statfs;
            op
        }
        libc::SYS_truncate => Op::new(nr, &[NULL, num(*rng.pick(SIZES))]).path(0, path(rng)),
        libc::SYS_mknodat => {
            let kind = *rng.pick(&[
                libc::S_IFIFO,
                libc::S_IFSOCK,
                libc::S_IFCHR,
                libc::S_IFREG,
                0,
                libc::S_IFDIR,
                libc::S_IFLNK,
            ]);
            let mode = mode(rng) & 0o7777 | i64::from(kind);
            op::at(nr, dir(rng), path(rng), &[num(mode), num(0x103)])
        }
        libc::SYS_fchmodat2 => {
            let mode = num(mode(rng));
            op::at(nr, dir(rng), path(rng), &[mode, num(i64::from(flags(rng)))])
        }
        libc::SYS_getrandom => {
            let len = *rng.pick(&[0, 1, 31, 32, 33, 256, 257, 4096, 5000, 60_000]);
            let mut op = Op::new(nr, &[structure(rng), num(len), num(rng.below(9) as i64)]);
            op.output = Output::Random;
            op
        }
        libc::SYS_flock => {
            // All eventfds are one inode, whose lock the worlds would share.
            let fd = match fd(rng) {
                Arg::Fd(EVENTFD) => num(-1),
                other => other,
            };
            Op::new(nr, &[fd, num(rng.below(10) as i64 | 4)])
        }
        libc::SYS_fcntl => fcntl(rng),
        libc::SYS_ioctl => {
            let request = *rng.pick(&[0x4004_9409, 0x4020_940d, 0xc018_9436_u64]);
            let argument = *rng.pick(&[Arg::Fd(0), Arg::Out(0), NULL, Arg::Fd(3)]);
            Op::new(nr, &[fd(rng), Arg::Num(request), argument])
        }
        libc::SYS_sendfile => {
            let offset = offset(rng, 0);
            let count = num(*rng.pick(LENGTHS));
            let op = Op::new(nr, &[fd(rng), fd(rng), offset, count]);
            with_offset(rng, op, 0)
        }
        libc::SYS_splice => {
            let (from, to) = (offset(rng, 0), offset(rng, 8));
            let len = num(*rng.pick(&[0, 1, 11, 4096, 5000, 100_000, -1]));
            let flags = num(*rng.pick(&[2, 2, 3, 6, 16]));
            let op = Op::new(nr, &[fd(rng), from, fd(rng), to, len, flags]);
            let op = with_offset(rng, op, 0);
            with_offset(rng, op, 8)
        }
        libc::SYS_getxattr..=libc::SYS_fremovexattr | libc::SYS_setxattr..=libc::SYS_fsetxattr => {
            attributes(rng, nr)
        }
        _ => sockets(rng, nr),
    }
}

fn offset(rng: &mut Rng, at: usize) -> Arg {
    *rng.pick(&[NULL, NULL, Arg::Out(at), Arg::Out(at), KERNEL_ADDRESS])
}

fn with_offset(rng: &mut Rng, op: Op, at: usize) -> Op {
    let bytes = rng.pick(OFFSETS).to_le_bytes().to_vec();
    op.with(IN_SIZE + at, Data::Bytes(bytes))
}

fn fcntl(rng: &mut Rng) -> Op {
    let (command, argument) = match rng.below(8) {
        0 => (libc::F_GETFD, 0),
        1 => (libc::F_SETFD, rng.below(4) as i64),
        2 => (libc::F_DUPFD_CLOEXEC, *rng.pick(&[0, 0, 0, 100, -1])),
        3 => (libc::F_GETPIPE_SZ, 0),
        4 | 5 => (libc::F_GETFL, 0),
        // A pipe that waits would wait for ever.
        _ => {
            let bits = [
                libc::O_APPEND,
                libc::O_NOATIME,
                libc::O_DIRECT,
                0,
                0,
                libc::O_CREAT,
            ];
            let flags = libc::O_NONBLOCK | *rng.pick(&bits) | *rng.pick(&bits);
            (libc::F_SETFL, i64::from(flags))
        }
    };
    let mut op = Op::new(
        libc::SYS_fcntl,
        &[fd(rng), num(i64::from(command)), num(argument)],
    );
    if command == libc::F_DUPFD_CLOEXEC {
        op.returns = Returns::Descriptor(None);
    }
    op
}

fn attributes(rng: &mut Rng, nr: c_long) -> Op {
    let by_fd = matches!(
        nr,
        libc::SYS_fgetxattr | libc::SYS_fsetxattr | libc::SYS_flistxattr | libc::SYS_fremovexattr
    );
    let lists = matches!(
        nr,
        libc::SYS_listxattr | libc::SYS_llistxattr | libc::SYS_flistxattr
    );
    let sets = matches!(
        nr,
        libc::SYS_setxattr | libc::SYS_lsetxattr | libc::SYS_fsetxattr
    );
    let size = *rng.pick(&[0, 1, 5, 20, 44, 100, 4096, 65_536, 65_537, -1]);
    let mut op = Op::new(nr, &[fd(rng)]);
    if !by_fd {
        op = op.path(0, path(rng));
    }
    if lists {
        op.args[1] = structure(rng);
        op.args[2] = num(size);
        return op;
    }
    op = op.path(1, *rng.pick(NAMES));
    if sets {
        let mut value = rng.bytes(100);
        if rng.one_in(2) {
            value[..4].copy_from_slice(&[2, 0, 0, 0]);
        }
        op = op.with(STRUCT, Data::Bytes(value));
        op.args[2] = Arg::In(STRUCT);
        op.args[3] = num(if size > 100 && rng.one_in(2) {
            50
        } else {
            size.min(4096)
        });
        op.args[4] = num(*rng.pick(&[0, 0, 0, 1, 2, 3, 4]));
    } else if nr != libc::SYS_removexattr
        && nr != libc::SYS_lremovexattr
        && nr != libc::SYS_fremovexattr
    {
        op.args[2] = structure(rng);
        op.args[3] = num(size);
    }
    op
}

/// An address: of an AF_UNIX socket in the working directory, or one that is none.
fn name(rng: &mut Rng) -> (Arg, Arg, Vec<u8>) {
    let mut bytes = vec![1, 0];
    bytes.extend_from_slice(
        rng.pick(&["sock1", "sock2", "small", "dir/sock", "none/x"])
            .as_bytes(),
    );
    bytes.push(0);
    let len = match rng.below(8) {
        0 => *rng.pick(&[0, 2, 128, 129, -1]),
        _ => bytes.len() as i64,
    };
    bytes.resize(130, 0);
    let at = if rng.one_in(12) {
        KERNEL_ADDRESS
    } else {
        Arg::In(STRUCT)
    };
    (at, num(len), bytes)
}

fn sockets(rng: &mut Rng, nr: c_long) -> Op {
    const LOUD: &[i64] = &[0, 0, 0, 2, 0x40, 0x20, 0x4000, 0x100];
    match nr {
        libc::SYS_socket | libc::SYS_socketpair => {
            let kind =
                *rng.pick(&[1, 2, 5, 1, 2, 77]) | 0o4000 | *rng.pick(&[0, 0o2_000_000, 0x100]);
            let family = if nr == libc::SYS_socket {
                *rng.pick(&[1, 1, 1, 99])
            } else {
                *rng.pick(&[1, 1, 2, 99])
            };
            let mut op = Op::new(nr, &[num(family), num(kind), num(*rng.pick(&[0, 0, 1]))]);
            if nr == libc::SYS_socketpair {
                op.args[3] = structure(rng);
                op.output = Output::Pair;
                return op;
            }
            op.keep(rng.below(SLOTS as u64) as usize)
        }
        libc::SYS_bind | libc::SYS_connect => {
            let (at, len, bytes) = name(rng);
            Op::new(nr, &[fd(rng), at, len]).with(STRUCT, Data::Bytes(bytes))
        }
        libc::SYS_listen | libc::SYS_shutdown => {
            Op::new(nr, &[fd(rng), num(*rng.pick(&[0, 1, 2, 3, -1]))])
        }
        libc::SYS_accept4 => {
            let flags = num(i64::from(
                libc::SOCK_NONBLOCK | *rng.pick(&[0, 0, libc::SOCK_CLOEXEC, 1]),
            ));
            let mut op = Op::new(
                nr,
                &[
                    fd(rng),
                    *rng.pick(&[NULL, Arg::Out(0)]),
                    Arg::Out(512),
                    flags,
                ],
            )
            .with(
                IN_SIZE + 512,
                Data::Bytes(vec![*rng.pick(&[0, 2, 110, 255]), 0, 0, 0]),
            );
            op.returns = Returns::Descriptor(None);
            op
        }
        libc::SYS_getsockopt | libc::SYS_setsockopt => {
            let option = *rng.pick(&[2, 3, 4, 7, 8, 9, 13, 15, 16, 30, 38, 39, 999]);
            let level = num(*rng.pick(&[1, 1, 1, 0, 77]));
            if nr == libc::SYS_getsockopt {
                return Op::new(
                    nr,
                    &[fd(rng), level, num(option), structure(rng), Arg::Out(512)],
                )
                .with(
                    IN_SIZE + 512,
                    Data::Bytes(vec![*rng.pick(&[0, 3, 4, 64]), 0, 0, 0]),
                );
            }
            let value = rng.bytes(16);
            Op::new(
                nr,
                &[
                    fd(rng),
                    level,
                    num(option),
                    Arg::In(STRUCT),
                    num(*rng.pick(&[0, 3, 4, 16, -1])),
                ],
            )
            .with(STRUCT, Data::Bytes(value))
        }
        libc::SYS_sendto => {
            let (at, len, bytes) = name(rng);
            let (at, len) = if rng.one_in(3) {
                (at, len)
            } else {
                (NULL, num(0))
            };
            Op::new(
                nr,
                &[
                    fd(rng),
                    address(rng),
                    num(*rng.pick(LENGTHS)),
                    num(*rng.pick(LOUD)),
                    at,
                    len,
                ],
            )
            .with(STRUCT, Data::Bytes(bytes))
        }
        libc::SYS_recvfrom => {
            let from = *rng.pick(&[NULL, Arg::Out(60_000)]);
            Op::new(
                nr,
                &[
                    fd(rng),
                    Arg::Out(0),
                    num(*rng.pick(&[0, 1, 100, 4096, 50_000])),
                    num(*rng.pick(LOUD)),
                    from,
                    Arg::Out(60_512),
                ],
            )
            .with(IN_SIZE + 60_512, Data::Bytes(vec![128, 0, 0, 0]))
        }
        libc::SYS_sendmsg => {
            let rights = *rng.pick(&[NULL, NULL, Arg::In(STRUCT)]);
            let sent = fd(rng);
            send(fd(rng), rights, 20, sent, *rng.pick(LOUD))
        }
        _ => receive(
            fd(rng),
            *rng.pick(&[0, 16, 20, 24, 64, 1024]),
            *rng.pick(LOUD),
        ),
    }
}

/// sendmsg of a few bytes, with a control message of `len` bytes that names one descriptor.
pub fn send(socket: Arg, control: Arg, len: i64, sent: Arg, flags: i64) -> Op {
    let len = if control == NULL { 0 } else { len };
    Op::new(libc::SYS_sendmsg, &[socket, Arg::In(VECTOR), num(flags)])
        .with(
            VECTOR,
            Data::Words(vec![
                NULL,
                num(0),
                Arg::In(VECTOR + 512),
                num(1),
                control,
                num(len),
                num(0),
            ]),
        )
        .with(
            VECTOR + 512,
            Data::Words(vec![Arg::In(VECTOR + 1024), num(7)]),
        )
        .with(VECTOR + 1024, Data::Bytes(b"message".to_vec()))
        .with(STRUCT, Data::Words(vec![num(20), num(1 << 32 | 1), sent]))
}

/// recvmsg with `room` bytes for control messages.
pub fn receive(socket: Arg, room: i64, flags: i64) -> Op {
    let control = if room == 0 { NULL } else { Arg::Out(CONTROL) };
    let mut op = Op::new(libc::SYS_recvmsg, &[socket, Arg::Out(HEADER), num(flags)])
        .with(
            IN_SIZE + HEADER,
            Data::Words(vec![
                Arg::Out(0),
                num(128),
                Arg::In(VECTOR),
                num(2),
                control,
                num(room),
                num(0),
            ]),
        )
        .with(
            VECTOR,
            Data::Words(vec![
                Arg::Out(DATA),
                num(3),
                Arg::Out(DATA + 100),
                num(1000),
            ]),
        );
    op.output = Output::Message;
    op
}
