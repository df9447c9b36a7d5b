// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations one after the other, and the file of their chain.

use std::{fs, os::fd::AsRawFd, time::Duration};

use libflexsc::{
    At, Cancel, Errno, Handle, On, Operation,
    backend::Kind,
    op::{Close, ForChain, Fstat, Fsync, Ftruncate, Mkdirat, Nop, Openat, Pread, Raw, Read, Write},
    task::block_on,
};

use crate::common::{Dir, Watched, context, fill, open_files, pipe, start, write};

const TEXT: &[u8] = b"some bytes in a file\n";

fn file() -> Dir {
    let dir = Dir::new();
    dir.write("file", TEXT);
    dir
}

fn open(dir: &Dir, name: &str, flags: i32) -> ForChain<Openat> {
    Openat::new(At::Cwd, dir.c(name), flags | libc::O_CLOEXEC, 0o600).for_chain()
}

pub(crate) fn open_fstat_read_close(kind: Kind) {
    let (context, dir) = (context(kind), file());
    for _ in 0..3 {
        let (opened, stat, (count, buf), closed) = context.run_chain((
            open(&dir, "file", libc::O_RDONLY),
            Fstat::new(On::Chain),
            // Less than asked for is a success.
            Read::new(On::Chain, vec![0; 100]),
            Close::new(On::Chain),
        ));
        assert_eq!((opened, count, closed), (Ok(()), Ok(TEXT.len()), Ok(())));
        assert_eq!(stat.unwrap().st_size, TEXT.len() as i64);
        assert_eq!(&buf[..TEXT.len()], TEXT);
        assert_eq!(open_files(&dir.join("file")), 0);
    }
}

pub(crate) fn file_of_the_chain_is_closed_at_its_end(kind: Kind) {
    let (context, dir) = (context(kind), file());
    let path = dir.join("file");
    let (opened, stat) =
        context.run_chain((open(&dir, "file", libc::O_RDWR), Fstat::new(On::Chain)));
    assert!(opened.is_ok() && stat.is_ok());
    assert_eq!(open_files(&path), 0, "at the end");
    let (opened, cut, never) = context.run_chain((
        open(&dir, "file", libc::O_RDONLY),
        Ftruncate::new(On::Chain, 3),
        Fstat::new(On::Chain),
    ));
    assert_eq!((opened, cut), (Ok(()), Err(Errno::EINVAL)));
    assert_eq!(never.unwrap_err(), Errno::ECANCELED);
    assert_eq!(open_files(&path), 0, "after a failure");
    assert_eq!(context.run(open(&dir, "file", libc::O_RDONLY)), Ok(()));
    assert_eq!(open_files(&path), 0, "without a chain");
    assert_eq!(fs::read(&path).unwrap(), TEXT);
}

pub(crate) fn file_of_the_chain_is_that_of_the_last_opener(kind: Kind) {
    let (context, dir) = (context(kind), file());
    dir.write("other", b"other bytes");
    let (_, (first, one), _, (second, two), stat) = context.run_chain((
        open(&dir, "file", libc::O_RDONLY),
        Read::new(On::Chain, vec![0; 4]),
        open(&dir, "other", libc::O_RDONLY),
        Pread::new(On::Chain, vec![0; 5], 6),
        Fstat::new(On::Chain),
    ));
    assert_eq!((first, second), (Ok(4), Ok(5)));
    assert_eq!((&one[..], &two[..]), (&b"some"[..], &b"bytes"[..]));
    assert_eq!(stat.unwrap().st_size, 11);
    assert_eq!(open_files(&dir.join("file")), 0);
    assert_eq!(open_files(&dir.join("other")), 0);
}

pub(crate) fn operation_without_a_file_of_its_chain(kind: Kind) {
    let (context, dir) = (context(kind), file());
    let stat = || Fstat::new(On::Chain);
    assert_eq!(context.run(stat()).unwrap_err(), Errno::EBADF);
    let (stat1, nop) = context.run_chain((stat(), Nop::new()));
    assert_eq!(stat1.unwrap_err(), Errno::EBADF);
    assert_eq!(nop, Err(Errno::ECANCELED));
    let (_, closed, stat2) = context.run_chain((
        open(&dir, "file", libc::O_RDONLY),
        Close::new(On::Chain),
        stat(),
    ));
    assert_eq!(closed, Ok(()));
    assert_eq!(stat2.unwrap_err(), Errno::EBADF, "after its close");
    // One that has a number is its own output, not the chain's.
    let opener = Openat::new(At::Cwd, dir.c("file"), libc::O_RDONLY, 0);
    let (_, opened, stat3) =
        context.run_chain((open(&dir, "file", libc::O_RDONLY), opener, stat()));
    assert_eq!(stat3.unwrap_err(), Errno::EBADF, "after another opener");
    let opened = opened.unwrap();
    assert!(opened.as_raw_fd() > 0 && opened.is_unique());
    assert_eq!(open_files(&dir.join("file")), 1);
    assert_eq!(context.run(Close::new(opened)), Ok(()));
    assert_eq!(open_files(&dir.join("file")), 0);
}

pub(crate) fn chain_stops_at_the_first_failure(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    let make = |name: &str| Mkdirat::new(At::Cwd, dir.c(name), 0o700);
    let (one, two, three, (four, buf)) = context.run_chain((
        make("one"),
        make("missing/two"),
        make("three"),
        Read::new(On::Chain, vec![7; 3]),
    ));
    assert_eq!((one, two), (Ok(()), Err(Errno::ENOENT)));
    assert_eq!(
        (three, four),
        (Err(Errno::ECANCELED), Err(Errno::ECANCELED))
    );
    assert_eq!(buf, [7; 3], "the buffer is back");
    assert!(dir.join("one").exists() && !dir.join("three").exists());
    // What is not closed is closed all the same.
    let (reader, writer) = pipe();
    let close = Close::new(libflexsc::SharedFd::new(writer));
    let (_, closed) = context.run_chain((make("one"), close));
    assert_eq!(closed, Err(Errno::ECANCELED));
    assert_eq!(context.run(Read::new(reader, vec![0; 1])).0, Ok(0));
}

/// Bytes written one after the other, at the file's own position.
fn bytes_in_order(kind: Kind, count: u8) {
    let (context, dir) = (context(kind), file());
    dir.write("new", b"");
    let new = dir.open("new");
    let writes: Vec<_> = (0..count).map(|i| Write::new(&new, vec![i])).collect();
    let outputs = context.run_chain(writes);
    assert!(outputs.iter().all(|(count, _)| *count == Ok(1)));
    assert_eq!(outputs.len(), usize::from(count));
    let written = fs::read(dir.join("new")).unwrap();
    assert_eq!(written, (0..count).collect::<Vec<_>>());
    assert_eq!(context.outstanding(), 0);
}

pub(crate) fn chain_in_the_order_of_its_operations(kind: Kind) {
    bytes_in_order(kind, 40);
    // One beside the other, each in its own order.
    let (context, dir) = (context(kind), Dir::new());
    let files: Vec<_> = (0..30)
        .map(|i| {
            dir.write(&i.to_string(), b"");
            dir.open(&i.to_string())
        })
        .collect();
    let chains: Vec<_> = files
        .iter()
        .map(|file| {
            context.post_chain((
                Write::new(file, b"a".to_vec()),
                Write::new(file, b"b".to_vec()),
                Fsync::new(file),
                Write::new(file, b"c".to_vec()),
            ))
        })
        .collect();
    for (i, (a, b, sync, c)) in chains.into_iter().enumerate() {
        assert_eq!(c.wait(&context).0, Ok(1));
        assert_eq!((a.wait(&context).0, b.wait(&context).0), (Ok(1), Ok(1)));
        assert_eq!(sync.wait(&context), Ok(()));
        assert_eq!(fs::read(dir.join(&i.to_string())).unwrap(), b"abc");
    }
    assert!(context.run_chain(Vec::<Nop>::new()).is_empty());
}

pub(crate) fn chain_longer_than_the_page(kind: Kind) {
    bytes_in_order(kind, 200);
}

pub(crate) fn chain_goes_on_after_a_step_that_is_handed_back(kind: Kind) {
    let (context, dir) = (context(kind), file());
    // SAFETY: The call takes no argument.
    let strange = || unsafe { Raw::new(libc::SYS_getpid as u16, [0; 6]) };
    let (opened, pid, (count, _), closed) = context.run_chain((
        open(&dir, "file", libc::O_RDONLY),
        strange(),
        Read::new(On::Chain, vec![0; 100]),
        Close::new(On::Chain),
    ));
    assert_eq!((opened, closed), (Ok(()), Ok(())));
    assert_eq!(pid, Ok(i64::from(std::process::id())));
    assert_eq!(count, Ok(TEXT.len()));
    assert_eq!(open_files(&dir.join("file")), 0);
    // And stops after one that fails.
    let (_, _, cut, (never, _)) = context.run_chain((
        open(&dir, "file", libc::O_RDONLY),
        strange(),
        Ftruncate::new(On::Chain, 3),
        Read::new(On::Chain, vec![0; 100]),
    ));
    assert_eq!((cut, never), (Err(Errno::EINVAL), Err(Errno::ECANCELED)));
    assert_eq!(open_files(&dir.join("file")), 0);
    if kind == Kind::Module {
        assert!(context.stats().handed_back >= 2);
    }
}

pub(crate) fn cancelled_step_ends_those_after_it(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    let (reader, writer) = pipe();
    let make = |name: &str| Mkdirat::new(At::Cwd, dir.c(name), 0o700);
    // One whose turn has not come.
    let (read, one, two) =
        context.post_chain((Read::new(&reader, vec![0; 1]), make("one"), make("two")));
    start(&context);
    assert_eq!(context.cancel(&one), Cancel::Cancelled);
    write(&writer, b"x");
    assert_eq!(read.wait(&context).0, Ok(1));
    assert_eq!(one.wait(&context), Err(Errno::ECANCELED));
    assert_eq!(two.wait(&context), Err(Errno::ECANCELED));
    // The one that waits.
    let (read, three) = context.post_chain((Read::new(&reader, vec![0; 1]), make("three")));
    start(&context);
    assert_ne!(context.cancel(&read), Cancel::Over);
    assert_eq!(read.wait(&context).0, Err(Errno::ECANCELED));
    assert_eq!(three.wait(&context), Err(Errno::ECANCELED));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(context.outstanding(), 0);
}

pub(crate) fn queued_chain_that_nobody_wants_is_not_executed(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    let (reader, writer) = pipe();
    let reads = fill(&context, &reader);
    let make = |name: &str| Mkdirat::new(At::Cwd, dir.c(name), 0o700);
    let (one, two) = context.post_chain((make("dropped"), make("dropped too")));
    one.discard(&context);
    two.discard(&context);
    let (one, two) = context.post_chain((make("kept"), make("kept too")));
    one.discard(&context);
    write(&writer, &vec![0; reads.len()]);
    for read in reads {
        assert_eq!(read.wait(&context).0, Ok(1));
    }
    assert_eq!(two.wait(&context), Ok(()));
    assert!(dir.join("kept").exists() && !dir.join("dropped").exists());
    assert_eq!(context.outstanding(), 0);
}

pub(crate) fn chain_of_futures_whose_outputs_nobody_wants(kind: Kind) {
    let (handle, dir) = (Handle::new(context(kind)), file());
    let (buf, freed) = Watched::new(16);
    let path = dir.join("file");
    let (opened, read, made) = handle.submit_chain((
        open(&dir, "file", libc::O_RDONLY),
        Read::new(On::Chain, buf),
        Mkdirat::new(At::Cwd, dir.c("made"), 0o700),
    ));
    drop((opened, read));
    assert_eq!(block_on(&handle, made), Ok(()));
    assert!(freed.get() && dir.join("made").exists());
    assert_eq!(open_files(&path), 0);
    // A number that nobody takes is closed, too.
    let opener = Openat::new(At::Cwd, dir.c("file"), libc::O_RDONLY, 0);
    let (opened, last) = handle.submit_chain((opener, Nop::new()));
    drop(opened);
    assert_eq!(block_on(&handle, last), Ok(0));
    assert_eq!(open_files(&path), 0);
}

pub(crate) fn limit_in_a_chain(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    let (reader, writer) = pipe();
    let (first, (read, _), made) = context.run_chain((
        Nop::new(),
        Read::new(&reader, vec![0; 1]).timeout(Duration::from_millis(2)),
        Mkdirat::new(At::Cwd, dir.c("made"), 0o700),
    ));
    assert_eq!(first, Ok(0));
    assert_eq!((read, made), (Err(Errno::ETIME), Err(Errno::ECANCELED)));
    assert!(!dir.join("made").exists());
    drop(writer);
}
