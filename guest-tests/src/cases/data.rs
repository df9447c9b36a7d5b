// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading and writing, with and without an offset, plain and in vectors.

use libc::{
    O_APPEND, O_CREAT, O_DIRECT, O_DIRECTORY, O_DSYNC, O_PATH, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY,
    SYS_getppid, SYS_pread64, SYS_preadv, SYS_pwrite64, SYS_pwritev, SYS_read, SYS_readv,
    SYS_write, SYS_writev,
};

use crate::arena::OUT_SIZE;
use crate::case::{Before, Cases, open, seek};
use crate::op::{
    Arg, KERNEL_ADDRESS, NULL, Op, VECTOR, WILD_ADDRESS, num, transfer, transfer_at, vector,
};

const F: Arg = Arg::Fd(0);
const OUT: Arg = Arg::Out(0);
const END: usize = OUT_SIZE;
const MAX: i64 = i64::MAX;

/// Adds the cases.
pub fn add(cases: &mut Cases) {
    cases.add("plain", &[], Op::nop());
    cases.add("arguments ignored", &[], {
        let mut op = Op::nop();
        op.args = [
            num(-1),
            WILD_ADDRESS,
            KERNEL_ADDRESS,
            num(7),
            num(-9),
            num(MAX),
        ];
        op
    });
    cases.add("plain", &[], Op::new(SYS_getppid, &[]));
    cases.add(
        "arguments ignored",
        &[],
        Op::new(SYS_getppid, &[num(-1), WILD_ADDRESS]),
    );

    for nr in [SYS_read, SYS_pread64, SYS_readv, SYS_preadv] {
        reads(cases, nr);
        vectors(cases, nr);
    }
    for nr in [SYS_write, SYS_pwrite64, SYS_writev, SYS_pwritev] {
        writes(cases, nr);
        vectors(cases, nr);
    }
    for nr in [SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev] {
        offsets(cases, nr);
        direct(cases, nr);
    }
    kinds(cases);
}

fn is_vector(nr: libc::c_long) -> bool {
    matches!(
        nr,
        libc::SYS_readv | libc::SYS_writev | libc::SYS_preadv | libc::SYS_pwritev
    )
}

fn has_offset(nr: libc::c_long) -> bool {
    matches!(
        nr,
        libc::SYS_pread64 | libc::SYS_pwrite64 | libc::SYS_preadv | libc::SYS_pwritev
    )
}

/// The same transfer by any of the eight calls; one segment when the call takes a vector.
fn go(nr: libc::c_long, fd: Arg, address: Arg, len: i64, offset: i64) -> Op {
    match nr {
        libc::SYS_read | libc::SYS_write => transfer(nr, fd, address, len),
        libc::SYS_pread64 | libc::SYS_pwrite64 => transfer_at(nr, fd, address, len, offset),
        _ => vector(nr, fd, &[(address, len)], offset),
    }
}

fn reads(cases: &mut Cases, nr: libc::c_long) {
    let small = [open(0, "small", O_RDONLY)];
    let big = [open(0, "big", O_RDONLY)];
    let sparse = [open(0, "sparse", O_RDWR)];
    cases.add("whole", &small, go(nr, F, OUT, 11, 0));
    cases.add("short at the end", &small, go(nr, F, OUT, 4096, 0));
    cases.add("part", &small, go(nr, F, OUT, 4, 3));
    cases.add("nothing", &small, go(nr, F, OUT, 0, 0));
    cases.add(
        "nothing to a bad address",
        &small,
        go(nr, F, WILD_ADDRESS, 0, 0),
    );
    cases.add("nothing to null", &small, go(nr, F, NULL, 0, 0));
    cases.add("large", &big, go(nr, F, OUT, 60_000, 0));
    cases.add("odd place", &big, go(nr, F, Arg::Out(13), 8191, 4095));
    cases.add(
        "after a seek",
        &[open(0, "big", O_RDONLY), seek(0, 99_990)],
        go(nr, F, OUT, 100, 99_995),
    );
    cases.add(
        "past the end",
        &[open(0, "small", O_RDONLY), seek(0, 5000)],
        go(nr, F, OUT, 10, 5000),
    );
    cases.add(
        "far past the end",
        &[open(0, "small", O_RDONLY)],
        go(nr, F, OUT, 10, MAX - 10),
    );
    cases.add("hole", &sparse, go(nr, F, OUT, 8192, 4000));
    cases.add(
        "empty file",
        &[open(0, "empty", O_RDONLY)],
        go(nr, F, OUT, 10, 0),
    );
    cases.add(
        "garbage above the descriptor",
        &small,
        go(nr, Arg::DirtyFd(0), OUT, 11, 0),
    );

    cases.add("closed descriptor", &[], go(nr, F, OUT, 1, 0));
    cases.add(
        "descriptor far too large",
        &[],
        go(nr, num(1 << 30), OUT, 1, 0),
    );
    cases.add(
        "descriptor i32::MIN",
        &[],
        go(nr, Arg::Num(0x8000_0000), OUT, 1, 0),
    );
    cases.add(
        "write-only",
        &[open(0, "small", O_WRONLY)],
        go(nr, F, OUT, 1, 0),
    );
    cases.add(
        "write-only, bad address",
        &[open(0, "small", O_WRONLY)],
        go(nr, F, NULL, 1, 0),
    );
    cases.add(
        "path descriptor",
        &[open(0, "small", O_PATH)],
        go(nr, F, OUT, 1, 0),
    );
    cases.add(
        "directory",
        &[open(0, "dir", O_RDONLY | O_DIRECTORY)],
        go(nr, F, OUT, 10, 0),
    );
    cases.add("epoll", &[Before::Epoll(0)], go(nr, F, OUT, 8, 0));

    cases.add("to null", &small, go(nr, F, NULL, 5, 0));
    cases.add("to the kernel", &small, go(nr, F, KERNEL_ADDRESS, 5, 0));
    cases.add("to nowhere", &small, go(nr, F, WILD_ADDRESS, 5, 0));
    cases.add(
        "to a page without access",
        &small,
        go(nr, F, Arg::Guard(0), 5, 0),
    );
    cases.add("to a read-only page", &small, go(nr, F, Arg::Ro(0), 5, 0));
    cases.add(
        "across into no access, small",
        &small,
        go(nr, F, Arg::Out(END - 4), 11, 0),
    );
    cases.add(
        "across into no access, large",
        &big,
        go(nr, F, Arg::Out(END - 5000), 20_000, 0),
    );
    cases.add(
        "across into no access, all fits",
        &small,
        go(nr, F, Arg::Out(END - 11), 4096, 0),
    );
    cases.add("length -1", &small, go(nr, F, OUT, -1, 0));
    cases.add("length i64::MIN", &small, go(nr, F, OUT, i64::MIN, 0));
    cases.add("length i64::MAX", &small, go(nr, F, OUT, MAX, 0));
    cases.add("length 2 GiB", &small, go(nr, F, OUT, 1 << 31, 0));

    cases.add(
        "pipe",
        &[Before::Pipe(0, 1), Before::Put(1, b"in the pipe")],
        go(nr, F, OUT, 100, 0),
    );
    cases.add("empty pipe", &[Before::Pipe(0, 1)], go(nr, F, OUT, 100, 0));
    cases.add(
        "pipe without a writer",
        &[Before::Pipe(0, 1), Before::Close(1)],
        go(nr, F, OUT, 100, 0),
    );
    cases.add(
        "pipe, address faults",
        &[Before::Pipe(0, 1), Before::Put(1, b"in the pipe")],
        go(nr, F, Arg::Guard(0), 100, 0),
    );
}

fn writes(cases: &mut Cases, nr: libc::c_long) {
    let file = [open(0, "small", O_RDWR)];
    let ro = Arg::Ro(0);
    cases.add("over the start", &file, go(nr, F, OUT, 4, 0));
    cases.add("growing", &file, go(nr, F, OUT, 60_000, 5));
    cases.add("nothing", &file, go(nr, F, OUT, 0, 0));
    cases.add(
        "nothing from a bad address",
        &file,
        go(nr, F, WILD_ADDRESS, 0, 0),
    );
    cases.add("from a read-only page", &file, go(nr, F, ro, 4096, 0));
    cases.add(
        "garbage above the descriptor",
        &file,
        go(nr, Arg::DirtyFd(0), OUT, 3, 0),
    );
    cases.add(
        "append",
        &[open(0, "small", O_WRONLY | O_APPEND)],
        go(nr, F, ro, 20, 2),
    );
    cases.add(
        "append, another descriptor grew it",
        &[
            open(0, "small", O_WRONLY | O_APPEND),
            open(1, "small", O_WRONLY | O_APPEND),
            Before::Put(1, b"grown"),
        ],
        go(nr, F, ro, 20, 0),
    );
    cases.add(
        "synchronous",
        &[open(0, "small", O_WRONLY | O_DSYNC)],
        go(nr, F, ro, 100, 0),
    );
    cases.add(
        "new file",
        &[open(0, "dir/new", O_WRONLY | O_CREAT)],
        go(nr, F, ro, 1000, 0),
    );
    cases.add(
        "after O_TRUNC",
        &[open(0, "big", O_WRONLY | O_TRUNC)],
        go(nr, F, ro, 10, 0),
    );
    cases.add(
        "past the end leaves a hole",
        &[open(0, "small", O_RDWR), seek(0, 70_000)],
        go(nr, F, ro, 10, 70_000),
    );
    cases.add(
        "set-user-id goes",
        &[open(0, "suid", O_WRONLY)],
        go(nr, F, ro, 1, 0),
    );
    cases.user(
        "set-user-id goes",
        &[open(0, "suid", O_WRONLY)],
        go(nr, F, ro, 1, 0),
    );
    cases.user(
        "set-group-id goes",
        &[open(0, "sgid", O_WRONLY)],
        go(nr, F, ro, 1, 0),
    );
    cases.user(
        "opened by root",
        &[open(0, "secret", O_RDWR)],
        go(nr, F, ro, 3, 0),
    );

    cases.add("closed descriptor", &[], go(nr, F, OUT, 1, 0));
    cases.add(
        "read-only",
        &[open(0, "small", O_RDONLY)],
        go(nr, F, OUT, 1, 0),
    );
    cases.add(
        "path descriptor",
        &[open(0, "small", O_PATH)],
        go(nr, F, OUT, 1, 0),
    );
    cases.add(
        "directory",
        &[open(0, "dir", O_RDONLY)],
        go(nr, F, OUT, 1, 0),
    );
    cases.add("epoll", &[Before::Epoll(0)], go(nr, F, OUT, 8, 0));

    cases.add("from null", &file, go(nr, F, NULL, 5, 0));
    cases.add("from the kernel", &file, go(nr, F, KERNEL_ADDRESS, 5, 0));
    cases.add("from nowhere", &file, go(nr, F, WILD_ADDRESS, 5, 0));
    cases.add(
        "from a page without access",
        &file,
        go(nr, F, Arg::Guard(0), 5, 0),
    );
    cases.add(
        "across into no access, small",
        &file,
        go(nr, F, Arg::Out(END - 4), 11, 0),
    );
    cases.add(
        "across into no access, large",
        &file,
        go(nr, F, Arg::Out(END - 9000), 20_000, 0),
    );
    cases.add("length -1", &file, go(nr, F, OUT, -1, 0));
    cases.add("length i64::MIN", &file, go(nr, F, OUT, i64::MIN, 0));

    for (name, limit, len) in [
        ("over the size limit", 4, 100),
        ("across the size limit", 50, 100),
        ("below the size limit", 1000, 100),
    ] {
        cases
            .add(
                name,
                &[open(0, "small", O_RDWR), seek(0, 8)],
                go(nr, F, ro, len, 8),
            )
            .environment
            .file_size = Some(limit);
    }
    cases.add(
        "beyond what a file may hold",
        &[open(0, "small", O_RDWR)],
        go(nr, F, ro, 100, MAX),
    );

    cases.add("pipe", &[Before::Pipe(1, 0)], go(nr, F, ro, 100, 0));
    cases.add(
        "full pipe",
        &[Before::Pipe(1, 0), Before::Fill(0)],
        go(nr, F, ro, 100, 0),
    );
    cases.add(
        "broken pipe",
        &[Before::Pipe(1, 0), Before::Close(1)],
        go(nr, F, ro, 100, 0),
    );
    cases.add(
        "pipe, address faults",
        &[Before::Pipe(1, 0)],
        go(nr, F, Arg::Guard(0), 100, 0),
    );
}

fn vectors(cases: &mut Cases, nr: libc::c_long) {
    if !is_vector(nr) {
        return;
    }
    let file = [open(0, "big", O_RDWR)];
    let v = |segments: &[(Arg, i64)]| vector(nr, F, segments, 100);
    cases.add(
        "three segments",
        &file,
        v(&[(OUT, 10), (Arg::Out(500), 4000), (Arg::Out(9000), 1)]),
    );
    cases.add(
        "empty segment between",
        &file,
        v(&[(OUT, 10), (NULL, 0), (Arg::Out(90), 10)]),
    );
    cases.add("no segment", &file, v(&[]));
    cases.add(
        "no segment, bad address",
        &file,
        Op::new(nr, &[F, WILD_ADDRESS, num(0), num(0)]),
    );
    cases.add(
        "only empty segments",
        &file,
        v(&[(OUT, 0), (WILD_ADDRESS, 0)]),
    );
    cases.add("no segment, closed descriptor", &[], v(&[]));
    cases.add(
        "second segment faults",
        &file,
        v(&[(OUT, 10), (Arg::Guard(0), 10)]),
    );
    cases.add(
        "first segment faults",
        &file,
        v(&[(Arg::Guard(0), 10), (OUT, 10)]),
    );
    cases.add(
        "kernel segment last",
        &file,
        v(&[(OUT, 10), (KERNEL_ADDRESS, 10)]),
    );
    cases.add("negative segment length", &file, v(&[(OUT, 10), (OUT, -1)]));
    cases.add("lengths overflow", &file, v(&[(OUT, MAX), (OUT, MAX)]));
    cases.add("count 1024", &file, v(&[(OUT, 2); 1024]));
    cases.add("count 1025", &file, v(&[(OUT, 2); 1025]));
    cases.add("count 9, on the heap", &file, v(&[(OUT, 7); 9]));
    for (name, count) in [
        ("count -1", -1),
        ("count i64::MAX", MAX),
        ("count 2^32+1", (1 << 32) + 1),
    ] {
        cases.add(
            name,
            &file,
            Op::new(nr, &[F, Arg::In(VECTOR), num(count), num(0)]),
        );
    }
    cases.add(
        "vector at null",
        &file,
        Op::new(nr, &[F, NULL, num(1), num(0)]),
    );
    cases.add(
        "vector in the kernel",
        &file,
        Op::new(nr, &[F, KERNEL_ADDRESS, num(1), num(0)]),
    );
    cases.add(
        "vector crosses into no access",
        &file,
        Op::new(nr, &[F, Arg::Out(END - 16), num(2), num(0)]),
    );
    cases.add(
        "device without vectors",
        &[dev("/dev/null")],
        v(&[(OUT, 10), (Arg::Out(50), 5)]),
    );
}

/// Past the page cache, where the disk may have the transfer while nobody waits for it.
fn direct(cases: &mut Cases, nr: libc::c_long) {
    const BLOCK: i64 = 4096;
    let big = [open(0, "big", O_RDWR | O_DIRECT)];
    cases.add("direct, a block", &big, go(nr, F, OUT, BLOCK, 0));
    cases.add("direct, blocks", &big, go(nr, F, OUT, 12 * BLOCK, BLOCK));
    cases.add(
        "direct, up to the end",
        &big,
        go(nr, F, OUT, BLOCK, 24 * BLOCK),
    );
    cases.add(
        "direct, past the end",
        &big,
        go(nr, F, OUT, BLOCK, 25 * BLOCK),
    );
    cases.add(
        "direct, far past the end",
        &big,
        go(nr, F, OUT, BLOCK, 99 * BLOCK),
    );
    cases.add("direct, nothing", &big, go(nr, F, OUT, 0, 0));
    cases.add("direct, odd length", &big, go(nr, F, OUT, 100, 0));
    cases.add(
        "direct, odd address",
        &big,
        go(nr, F, Arg::Out(13), BLOCK, 0),
    );
    cases.add("direct, odd place", &big, go(nr, F, OUT, BLOCK, 13));
    cases.add("direct, length i64::MAX", &big, go(nr, F, OUT, MAX, 0));
    cases.add(
        "direct, bad address",
        &big,
        go(nr, F, Arg::Guard(0), BLOCK, 0),
    );
    cases.add("direct, null", &big, go(nr, F, NULL, BLOCK, 0));
    cases.add(
        "direct, across into no access",
        &big,
        go(nr, F, Arg::Out(END - 4096), 2 * BLOCK, 0),
    );
    cases.add(
        "direct, read-only page",
        &big,
        go(nr, F, Arg::Ro(0), BLOCK, 0),
    );
    let sparse = [open(0, "sparse", O_RDWR | O_DIRECT)];
    cases.add("direct, hole", &sparse, go(nr, F, OUT, 2 * BLOCK, 0));
    let synced = [open(0, "big", O_RDWR | O_DIRECT | O_DSYNC)];
    cases.add("direct, synced", &synced, go(nr, F, OUT, BLOCK, BLOCK));
    let appended = [open(0, "big", O_RDWR | O_DIRECT | O_APPEND)];
    cases.add("direct, appended", &appended, go(nr, F, OUT, BLOCK, 0));
    let other_way = [open(
        0,
        "big",
        O_DIRECT | if is_read(nr) { O_WRONLY } else { O_RDONLY },
    )];
    cases.add(
        "direct, the other way",
        &other_way,
        go(nr, F, OUT, BLOCK, 0),
    );
}

fn is_read(nr: libc::c_long) -> bool {
    matches!(nr, libc::SYS_pread64 | libc::SYS_preadv)
}

fn offsets(cases: &mut Cases, nr: libc::c_long) {
    let file = [open(0, "big", O_RDWR)];
    cases.add("offset -1", &file, go(nr, F, OUT, 10, -1));
    cases.add("offset i64::MIN", &file, go(nr, F, OUT, 10, i64::MIN));
    cases.add("offset -1, closed descriptor", &[], go(nr, F, OUT, 10, -1));
    cases.add("offset i64::MAX", &file, go(nr, F, OUT, 10, MAX));
    cases.add(
        "offset -1 beats a pipe",
        &[Before::Pipe(0, 1)],
        go(nr, F, OUT, 10, -1),
    );
    cases.add(
        "pipe's other end",
        &[Before::Pipe(1, 0)],
        go(nr, F, OUT, 10, 0),
    );
    cases.add("socket", &[Before::UnixPair(0, 1)], go(nr, F, OUT, 10, 0));
    cases.add(
        "position stays",
        &[open(0, "big", O_RDWR), seek(0, 77)],
        go(nr, F, OUT, 10, 1000),
    );
    if is_vector(nr) {
        let mut op = go(nr, F, OUT, 10, 100);
        op.args[4] = num(0x1234_5678);
        cases.add("upper half of the offset is ignored", &file, op);
    }
}

fn dev(path: &str) -> Before {
    open(0, path, O_RDWR)
}

/// Files of other kinds: which lane executes is the module's choice, the result is not.
fn kinds(cases: &mut Cases) {
    for nr in [SYS_read, SYS_write, SYS_readv, SYS_writev] {
        let reading = matches!(nr, libc::SYS_read | libc::SYS_readv);
        cases.add("/dev/null", &[dev("/dev/null")], go(nr, F, OUT, 100, 0));
        cases.add("/dev/zero", &[dev("/dev/zero")], go(nr, F, OUT, 5000, 0));
        cases.add("/dev/full", &[dev("/dev/full")], go(nr, F, OUT, 100, 0));
        cases.add(
            "memfd",
            &[Before::Memfd(0, b"0123456789"), seek(0, 4)],
            go(nr, F, OUT, 100, 0),
        );
        cases.add("eventfd", &[Before::Eventfd(0, 3)], go(nr, F, OUT, 8, 0));
        cases.add(
            "eventfd, too short",
            &[Before::Eventfd(0, 3)],
            go(nr, F, OUT, 7, 0),
        );
        cases.add(
            "eventfd, nothing there",
            &[Before::Eventfd(0, 0)],
            go(nr, F, OUT, 8, 0),
        );
        let sent = [Before::UnixPair(0, 1), Before::Put(1, b"over the socket")];
        cases.add("unix socket", &sent, go(nr, F, OUT, 100, 0));
        cases.add(
            "unix socket, nothing there",
            &[Before::UnixPair(0, 1)],
            go(nr, F, OUT, 100, 0),
        );
        let hung_up = [Before::UnixPair(0, 1), Before::Close(1)];
        cases.add("unix socket, hung up", &hung_up, go(nr, F, OUT, 100, 0));
        cases.add(
            "inet socket, nothing there",
            &[Before::InetPair(0, 1)],
            go(nr, F, OUT, 100, 0),
        );
        if reading {
            let comm = [open(0, "/proc/self/comm", O_RDONLY)];
            cases.add("/proc/self/comm", &comm, go(nr, F, OUT, 100, 0));
        }
    }
    for nr in [SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev] {
        debug_assert!(has_offset(nr));
        cases.add("/dev/zero", &[dev("/dev/zero")], go(nr, F, OUT, 100, 50));
        cases.add(
            "memfd",
            &[Before::Memfd(0, b"0123456789")],
            go(nr, F, OUT, 100, 4),
        );
    }
}
