// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading, writing and what else is done to an open file.

use std::{fs::File, os::fd::AsRawFd};

use libflexsc::{Errno, IoBuf, SharedFd, backend::Kind, op};

use crate::{
    common::{self, context},
    twins::{Twins, libc_result},
};

pub(crate) fn measuring(kind: Kind) {
    let context = context(kind);
    assert_eq!(context.run(op::Nop::new()), Ok(0));
    assert_eq!(
        context.run(op::Getppid::new()),
        Ok(std::os::unix::process::parent_id() as i32)
    );
    // SAFETY: The call takes no argument.
    let pid = context.run(unsafe { op::Raw::new(libc::SYS_getppid as u16, [0; 6]) });
    assert_eq!(pid, Ok(i64::from(std::os::unix::process::parent_id())));
    // SAFETY: There is no such file.
    let closed = context.run(unsafe { op::Raw::new(libc::SYS_fsync as u16, [u64::MAX; 6]) });
    assert_eq!(closed, Err(Errno::EBADF));
}

pub(crate) fn data(kind: Kind) {
    let t = Twins::new(kind);
    let ours = t.ours.open("file");
    let theirs = t.theirs.open("file");
    let (their_fd, mut their_buf) = (theirs.as_raw_fd(), vec![0xaa; 9]);

    for _ in 0..4 {
        let (count, buf) = t.context.run(op::Read::new(ours.clone(), vec![0xaa; 9]));
        their_buf.fill(0xaa);
        let expected = plain!(libc::read(their_fd, their_buf.as_mut_ptr().cast(), 9) as i64);
        assert_eq!(
            (count.map(|count| count as u64), buf),
            (expected, their_buf.clone())
        );
    }
    for offset in [0, 5, 19, 21, 1000, 1 << 62, u64::MAX] {
        let (count, buf) = t
            .context
            .run(op::Pread::new(ours.clone(), vec![0xaa; 9], offset));
        their_buf.fill(0xaa);
        let at = offset as i64;
        let expected = plain!(libc::pread(their_fd, their_buf.as_mut_ptr().cast(), 9, at) as i64);
        assert_eq!(
            (count.map(|count| count as u64), buf),
            (expected, their_buf.clone())
        );
    }
    let (count, back) = t
        .context
        .run(op::Write::new(ours.clone(), b"at the end".to_vec()));
    let expected = plain!(libc::write(their_fd, b"at the end".as_ptr().cast(), 10) as i64);
    assert_eq!(
        (count.map(|count| count as u64), back),
        (expected, b"at the end".to_vec())
    );
    for offset in [2, 40, u64::MAX] {
        let slice = b"0123456789".to_vec().slice(3..6);
        let (count, back) = t.context.run(op::Pwrite::new(ours.clone(), slice, offset));
        let at = offset as i64;
        let expected = plain!(libc::pwrite(their_fd, b"345".as_ptr().cast(), 3, at) as i64);
        assert_eq!(count.map(|count| count as u64), expected);
        assert_eq!(back.into_inner(), b"0123456789");
    }
    t.check("reads and writes");

    // Errors, with the buffer back.
    let dir = t.our_dir();
    assert_eq!(
        t.context.run(op::Read::new(dir.clone(), vec![7; 3])),
        (Err(Errno::EISDIR), vec![7; 3])
    );
    assert_eq!(
        t.context.run(op::Write::new(dir, vec![7; 3])),
        (Err(Errno::EBADF), vec![7; 3])
    );
    let (reader, writer) = common::pipe();
    let writer = SharedFd::new(writer);
    assert_eq!(
        t.context
            .run(op::Pread::new(reader.clone(), vec![7; 3], 0))
            .0,
        Err(Errno::ESPIPE)
    );
    assert_eq!(
        t.context.run(op::Write::new(reader.clone(), vec![7; 3])).0,
        Err(Errno::EBADF)
    );
    drop(reader);
    // Rust ignores SIGPIPE.
    assert_eq!(
        t.context.run(op::Write::new(writer, vec![7; 3])),
        (Err(Errno::EPIPE), vec![7; 3])
    );
    let full = SharedFd::from(File::options().write(true).open("/dev/full").unwrap());
    assert_eq!(
        t.context.run(op::Write::new(full, &b"static"[..])),
        (Err(Errno::ENOSPC), &b"static"[..])
    );
}

pub(crate) fn vectored(kind: Kind) {
    let t = Twins::new(kind);
    let ours = t.ours.open("file");
    let theirs = t.theirs.open("file");
    let fd = theirs.as_raw_fd();
    let segments = |bufs: &mut [Vec<u8>]| -> Vec<libc::iovec> {
        let segment = |buf: &mut Vec<u8>| libc::iovec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        };
        bufs.iter_mut().map(segment).collect()
    };
    let bufs = || vec![vec![1; 4], Vec::new(), vec![2; 7]];
    let run = |(count, bufs): (Result<usize, Errno>, Vec<Vec<u8>>)| (count.map(|c| c as u64), bufs);

    for _ in 0..3 {
        let mut theirs = bufs();
        let iov = segments(&mut theirs);
        let expected = plain!(libc::readv(fd, iov.as_ptr(), 3) as i64);
        assert_eq!(
            run(t.context.run(op::Readv::new(ours.clone(), bufs()))),
            (expected, theirs)
        );
    }
    for offset in [0, 15, 100, u64::MAX] {
        let mut theirs = bufs();
        let iov = segments(&mut theirs);
        let expected = plain!(libc::preadv(fd, iov.as_ptr(), 3, offset as i64) as i64);
        assert_eq!(
            run(t.context.run(op::Preadv::new(ours.clone(), bufs(), offset))),
            (expected, theirs)
        );
    }
    let mut theirs = bufs();
    let iov = segments(&mut theirs);
    let expected = plain!(libc::writev(fd, iov.as_ptr(), 3) as i64);
    assert_eq!(
        run(t.context.run(op::Writev::new(ours.clone(), bufs()))),
        (expected, bufs())
    );
    let expected = plain!(libc::pwritev(fd, iov.as_ptr(), 3, 3) as i64);
    assert_eq!(
        run(t.context.run(op::Pwritev::new(ours.clone(), bufs(), 3))),
        (expected, bufs())
    );
    t.check("vectored writes");

    let many = vec![vec![0; 1]; 1025];
    assert_eq!(
        t.context.run(op::Readv::new(ours.clone(), many)).0,
        Err(Errno::EINVAL)
    );
    assert_eq!(
        t.context.run(op::Readv::<Vec<u8>>::new(ours, Vec::new())),
        (Ok(0), Vec::new())
    );
}

pub(crate) fn positions(kind: Kind) {
    let t = Twins::new(kind);
    let (ours, theirs) = (t.ours.open("file"), t.theirs.open("file"));
    for (offset, whence) in [
        (5, libc::SEEK_SET),
        (-2, libc::SEEK_CUR),
        (10, libc::SEEK_END),
        (-1000, libc::SEEK_END),
        (0, libc::SEEK_HOLE),
        (0, libc::SEEK_DATA),
        (0, 17),
        (i64::MAX, libc::SEEK_SET),
    ] {
        let expected = plain!(libc::lseek(theirs.as_raw_fd(), offset, whence));
        assert_eq!(
            t.context.run(op::Lseek::new(ours.clone(), offset, whence)),
            expected
        );
    }
    let (reader, _writer) = common::pipe();
    assert_eq!(
        t.context.run(op::Lseek::new(reader, 0, libc::SEEK_SET)),
        Err(Errno::ESPIPE)
    );
}

pub(crate) fn open_file(kind: Kind) {
    let t = Twins::new(kind);
    let (ours, theirs) = (t.ours.open("file"), t.theirs.open("file"));
    let fd = theirs.as_raw_fd();
    assert_eq!(
        t.context.run(op::Fsync::new(ours.clone())),
        plain_unit!(libc::fsync(fd))
    );
    assert_eq!(
        t.context.run(op::Fdatasync::new(ours.clone())),
        plain_unit!(libc::fdatasync(fd))
    );
    for len in [100, 7, u64::MAX] {
        let expected = plain_unit!(libc::ftruncate(fd, len as i64));
        assert_eq!(
            t.context.run(op::Ftruncate::new(ours.clone(), len)),
            expected
        );
        t.check("ftruncate");
    }
    let keep = libc::FALLOC_FL_KEEP_SIZE;
    for (mode, offset, len) in [
        (0, 0, 5000),
        (keep, 0, 9000),
        (keep | libc::FALLOC_FL_PUNCH_HOLE, 1, 3),
        (0, 0, 0),
        (0, u64::MAX, 1),
    ] {
        let expected = plain_unit!(libc::fallocate(fd, mode, offset as i64, len as i64));
        assert_eq!(
            t.context
                .run(op::Fallocate::new(ours.clone(), mode, offset, len)),
            expected
        );
        t.check("fallocate");
    }
    for advice in [libc::POSIX_FADV_WILLNEED, libc::POSIX_FADV_DONTNEED, 99] {
        // posix_fadvise(3) returns the errno.
        // SAFETY: The call takes no pointer.
        let expected = match unsafe { libc::posix_fadvise(fd, 0, 4096, advice) } {
            0 => Ok(()),
            errno => Err(Errno::from_raw(errno)),
        };
        assert_eq!(
            t.context
                .run(op::Fadvise::new(ours.clone(), 0, 4096, advice)),
            expected
        );
    }
    let (reader, _writer) = common::pipe();
    assert_eq!(
        t.context.run(op::Fsync::new(reader.clone())),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        t.context.run(op::Fdatasync::new(reader.clone())),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        t.context.run(op::Fadvise::new(reader.clone(), 0, 1, 0)),
        Err(Errno::ESPIPE)
    );
    assert_eq!(
        t.context.run(op::Ftruncate::new(reader, 0)),
        Err(Errno::EINVAL)
    );
}

pub(crate) fn copying(kind: Kind) {
    let t = Twins::new(kind);
    let (from, to) = (t.ours.open("file"), t.ours.open("empty"));
    let (their_from, their_to) = (t.theirs.open("file"), t.theirs.open("empty"));
    for (off_in, off_out, len, flags) in [
        (None, None, 5, 0),
        (None, Some(20), 5, 0),
        (Some(1), Some(2), 4, 0),
        (Some(100), None, 4, 0),
        (None, None, 1000, 0),
        (None, None, 1, 1),
    ] {
        let (mut their_in, mut their_out) = (off_in.map(|o| o as i64), off_out.map(|o| o as i64));
        let address = |offset: &mut Option<i64>| {
            offset
                .as_mut()
                .map_or(std::ptr::null_mut(), |offset| &raw mut *offset)
        };
        let expected = plain!(libc::copy_file_range(
            their_from.as_raw_fd(),
            address(&mut their_in),
            their_to.as_raw_fd(),
            address(&mut their_out),
            len,
            flags
        ) as i64);
        let copy = op::CopyFileRange::new(from.clone(), off_in, to.clone(), off_out, len, flags);
        assert_eq!(t.context.run(copy).map(|count| count as u64), expected);
        t.check("copy_file_range");
    }
    // The same file, overlapping.
    let copy = op::CopyFileRange::new(from.clone(), Some(0), from, Some(1), 5, 0);
    assert_eq!(t.context.run(copy), Err(Errno::EINVAL));
}

pub(crate) fn closing(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = common::pipe();
    assert_eq!(context.run(op::Close::new(SharedFd::new(writer))), Ok(()));
    assert_eq!(
        context.run(op::Read::new(reader, vec![0; 1])).0,
        Ok(0),
        "the other end is closed"
    );

    // A share that is not the last one stays open.
    let (reader, writer) = common::pipe();
    let writer = SharedFd::new(writer);
    assert_eq!(context.run(op::Close::new(writer.clone())), Ok(()));
    assert_eq!(
        context.run(op::Write::new(writer.clone(), b"x".to_vec())).0,
        Ok(1)
    );
    assert_eq!(context.run(op::Close::new(writer)), Ok(()));
    assert_eq!(
        context.run(op::Read::new(reader.clone(), vec![0; 2])).0,
        Ok(1)
    );
    assert_eq!(context.run(op::Read::new(reader, vec![0; 2])).0, Ok(0));
}
