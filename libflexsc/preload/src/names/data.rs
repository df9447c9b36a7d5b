// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading and writing.

use core::ffi::{c_int, c_void};

use libc::{iovec, off_t};

use crate::{
    kind,
    post::{Call, post},
    real::interpose,
};

/// The most bytes of one call: signals do not wait for more.
const LONGEST: usize = 4 << 20;

fn transfer(
    call: Call,
    fd: c_int,
    buffer: *const c_void,
    count: usize,
    offset: off_t,
) -> Option<i64> {
    let args = [fd as u64, buffer as u64, count as u64, offset as u64, 0, 0];
    post(call, args, || count <= LONGEST && kind::of_file(fd))
}

fn vectored(
    call: Call,
    fd: c_int,
    vector: *const iovec,
    count: c_int,
    offset: off_t,
) -> Option<i64> {
    let args = [fd as u64, vector as u64, count as u64, offset as u64, 0, 0];
    post(call, args, || kind::of_file(fd))
}

/// As `vectored`, at the file's own position where the offset is -1, by `own`. What is asked for by flags
/// no posted call can be told.
fn vectored_with(
    [own, at]: [Call; 2],
    fd: c_int,
    vector: *const iovec,
    count: c_int,
    offset: off_t,
    flags: c_int,
) -> Option<i64> {
    let call = if offset == -1 { own } else { at };
    let args = [fd as u64, vector as u64, count as u64, offset as u64, 0, 0];
    post(call, args, || flags == 0 && kind::of_file(fd))
}

fn sync(call: Call, fd: c_int) -> Option<i64> {
    post(call, [fd as u64, 0, 0, 0, 0, 0], || kind::of_file(fd))
}

/// As `transfer`; what is wrong the C library says, and ends the program.
fn checked(
    call: Call,
    fd: c_int,
    buffer: *mut c_void,
    count: usize,
    offset: off_t,
    room: usize,
) -> Option<i64> {
    (count <= room).then(|| transfer(call, fd, buffer, count, offset))?
}

interpose! {
    read(fd: c_int, buffer: *mut c_void, count: usize) -> isize { transfer(Call::Read, fd, buffer, count, 0) }
    __read(fd: c_int, buffer: *mut c_void, count: usize) -> isize { transfer(Call::Read, fd, buffer, count, 0) }
    __read_chk(fd: c_int, buffer: *mut c_void, count: usize, room: usize) -> isize {
        checked(Call::Read, fd, buffer, count, 0, room)
    }
    write(fd: c_int, buffer: *const c_void, count: usize) -> isize { transfer(Call::Write, fd, buffer, count, 0) }
    __write(fd: c_int, buffer: *const c_void, count: usize) -> isize { transfer(Call::Write, fd, buffer, count, 0) }
    pread(fd: c_int, buffer: *mut c_void, count: usize, offset: off_t) -> isize {
        transfer(Call::Pread, fd, buffer, count, offset)
    }
    pread64(fd: c_int, buffer: *mut c_void, count: usize, offset: off_t) -> isize {
        transfer(Call::Pread, fd, buffer, count, offset)
    }
    __pread64(fd: c_int, buffer: *mut c_void, count: usize, offset: off_t) -> isize {
        transfer(Call::Pread, fd, buffer, count, offset)
    }
    __pread_chk(fd: c_int, buffer: *mut c_void, count: usize, offset: off_t, room: usize) -> isize {
        checked(Call::Pread, fd, buffer, count, offset, room)
    }
    __pread64_chk(fd: c_int, buffer: *mut c_void, count: usize, offset: off_t, room: usize) -> isize {
        checked(Call::Pread, fd, buffer, count, offset, room)
    }
    pwrite(fd: c_int, buffer: *const c_void, count: usize, offset: off_t) -> isize {
        transfer(Call::Pwrite, fd, buffer, count, offset)
    }
    pwrite64(fd: c_int, buffer: *const c_void, count: usize, offset: off_t) -> isize {
        transfer(Call::Pwrite, fd, buffer, count, offset)
    }
    __pwrite64(fd: c_int, buffer: *const c_void, count: usize, offset: off_t) -> isize {
        transfer(Call::Pwrite, fd, buffer, count, offset)
    }
    readv(fd: c_int, vector: *const iovec, count: c_int) -> isize { vectored(Call::Readv, fd, vector, count, 0) }
    writev(fd: c_int, vector: *const iovec, count: c_int) -> isize { vectored(Call::Writev, fd, vector, count, 0) }
    preadv(fd: c_int, vector: *const iovec, count: c_int, offset: off_t) -> isize {
        vectored(Call::Preadv, fd, vector, count, offset)
    }
    preadv64(fd: c_int, vector: *const iovec, count: c_int, offset: off_t) -> isize {
        vectored(Call::Preadv, fd, vector, count, offset)
    }
    pwritev(fd: c_int, vector: *const iovec, count: c_int, offset: off_t) -> isize {
        vectored(Call::Pwritev, fd, vector, count, offset)
    }
    pwritev64(fd: c_int, vector: *const iovec, count: c_int, offset: off_t) -> isize {
        vectored(Call::Pwritev, fd, vector, count, offset)
    }
    preadv2(fd: c_int, vector: *const iovec, count: c_int, offset: off_t, flags: c_int) -> isize {
        vectored_with([Call::Readv, Call::Preadv], fd, vector, count, offset, flags)
    }
    preadv64v2(fd: c_int, vector: *const iovec, count: c_int, offset: off_t, flags: c_int) -> isize {
        vectored_with([Call::Readv, Call::Preadv], fd, vector, count, offset, flags)
    }
    pwritev2(fd: c_int, vector: *const iovec, count: c_int, offset: off_t, flags: c_int) -> isize {
        vectored_with([Call::Writev, Call::Pwritev], fd, vector, count, offset, flags)
    }
    pwritev64v2(fd: c_int, vector: *const iovec, count: c_int, offset: off_t, flags: c_int) -> isize {
        vectored_with([Call::Writev, Call::Pwritev], fd, vector, count, offset, flags)
    }
    fsync(fd: c_int) -> c_int { sync(Call::Fsync, fd) }
    fdatasync(fd: c_int) -> c_int { sync(Call::Fdatasync, fd) }
}
