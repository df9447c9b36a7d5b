// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel may write to is out of reach, whatever is dropped, forgotten or unwound.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::{
    fs::{self, File},
    future::{Future, poll_fn},
    io::Write,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use common::{Dir, LONG, Watched, context, context_with, pipe};
use libflexsc::{
    At, Batch, Context, Errno, Handle,
    backend::Kind,
    op::{Close, Getppid, Mkdirat, Nop, Openat, Read},
    task::block_on,
};

each_backend!(posting:
    forgotten_future_keeps_its_buffer,
    dropped_future_keeps_its_buffer_until_the_call_is_over,
    dropped_batch_keeps_its_buffers_until_the_calls_are_over,
    dropped_context_waits_for_the_call,
    dropped_context_leaks_what_still_blocks,
    close_says_what_still_blocks,
    panic_leaves_the_buffer_alone,
    orphaned_open_closes_its_file,
    queued_operation_of_a_dropped_future_is_not_executed,
    queued_close_of_a_dropped_context_closes,
    forked_child_gets_errors,
    many_more_operations_than_entries,
    thread_that_has_posted_may_end,
);

/// Waits until nothing is in progress.
fn drain(context: &Context) {
    while context.outstanding() > 0 {
        assert!(context.wait_timeout(1, LONG) > 0, "hangs");
    }
}

/// Lets the other side take what was posted, and nothing else happen.
fn start(context: &Context) {
    context.flush();
    assert_eq!(context.run(Nop::new()), Ok(0));
}

fn forgotten_future_keeps_its_buffer(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reader, mut writer) = file_pipe();
    let (buf, freed) = Watched::new(16);
    mem::forget(handle.submit(Read::new(reader, buf)));
    start(&handle);
    assert!(!freed.get());
    writer.write_all(b"late").unwrap();
    drain(&handle);
    assert!(!freed.get(), "the key is still out there");
    // The forgotten future holds the handle.
    drop(handle);
    assert!(!freed.get());
}

fn file_pipe() -> (libflexsc::SharedFd, File) {
    let (reader, writer) = pipe();
    (reader, File::from(writer))
}

fn dropped_future_keeps_its_buffer_until_the_call_is_over(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reader, mut writer) = file_pipe();
    let (buf, freed) = Watched::new(16);
    let pending = handle.submit(Read::new(reader.clone(), buf));
    start(&handle);
    drop(pending);
    assert!(!freed.get());
    assert!(!reader.is_unique(), "the call uses the file");
    writer.write_all(b"late").unwrap();
    drain(&handle);
    assert!(freed.get());
    assert!(reader.is_unique());
}

fn dropped_batch_keeps_its_buffers_until_the_calls_are_over(kind: Kind) {
    let context = context(kind);
    let (reader, mut writer) = file_pipe();
    let (buf, freed) = Watched::new(16);
    let mut batch = Batch::new(&context);
    batch.push(Read::new(reader, buf), "read");
    batch.push(Nop::new(), "nop");
    assert_eq!(batch.next().unwrap().tag, "nop");
    drop(batch);
    assert!(!freed.get());
    // The number of the batch is free again; its operation is not that of the next one.
    let mut batch = Batch::new(&context);
    batch.push(Getppid::new(), 1);
    writer.write_all(b"late").unwrap();
    drain(&context);
    assert!(freed.get());
    assert!(batch.next().unwrap().output.is::<Getppid>());
    assert!(batch.next().is_none());
}

fn dropped_context_waits_for_the_call(kind: Kind) {
    let context = context_with(kind, |options| options.drop_timeout(LONG));
    let (reader, mut writer) = file_pipe();
    let (buf, freed) = Watched::new(16);
    let ticket = context.post(Read::new(reader, buf));
    start(&context);
    let dropper = std::thread::spawn(move || drop(context));
    assert!(!freed.get());
    writer.write_all(b"late").unwrap();
    dropper.join().unwrap();
    assert!(freed.get());
    drop(ticket);
}

fn dropped_context_leaks_what_still_blocks(kind: Kind) {
    let short = Duration::from_millis(20);
    let context = context_with(kind, |options| options.drop_timeout(short));
    let (reader, mut writer) = file_pipe();
    let (buf, freed) = Watched::new(16);
    let (queued, dropped) = Watched::new(16);
    let ticket = context.post(Read::new(reader.clone(), buf));
    start(&context);
    drop(context);
    assert!(!freed.get(), "the call still writes to it");
    // It does so now, and into memory that is still there.
    writer.write_all(b"late").unwrap();
    assert!(!freed.get());
    drop((ticket, queued));
    assert!(dropped.get());
}

fn close_says_what_still_blocks(kind: Kind) {
    let short = Duration::from_millis(20);
    let blocked = context_with(kind, |options| options.drop_timeout(short));
    let (reader, writer) = file_pipe();
    let ticket = blocked.post(Read::new(reader, vec![0; 16]));
    start(&blocked);
    assert_eq!(blocked.close().unwrap_err().outstanding(), 1);
    drop((ticket, writer));

    let idle = context(kind);
    assert!(idle.run(Getppid::new()).is_ok());
    let stats = idle.close().unwrap();
    assert_eq!(stats.submitted, 1);
}

fn panic_leaves_the_buffer_alone(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reader, mut writer) = file_pipe();
    let (buf, freed) = Watched::new(16);
    let result = catch_unwind(AssertUnwindSafe(|| {
        block_on(&handle, async {
            let mut read = pin!(handle.submit(Read::new(reader, buf)));
            poll_fn(|task| {
                assert!(read.as_mut().poll(task).is_pending());
                Poll::Ready(())
            })
            .await;
            handle.submit(Nop::new()).await.unwrap();
            panic!("unwinds with a call in progress");
        })
    }));
    assert!(result.is_err());
    assert!(!freed.get());
    writer.write_all(b"late").unwrap();
    drain(&handle);
    assert!(freed.get());
    // The handle still works.
    assert_eq!(block_on(&handle, handle.submit(Nop::new())), Ok(0));
}

fn orphaned_open_closes_its_file(kind: Kind) {
    let handle = Handle::new(context(kind));
    let dir = Dir::new();
    let fifo = dir.c("fifo");
    // SAFETY: The path is a C string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let open = handle.submit(Openat::new(
        At::Cwd,
        fifo,
        libc::O_RDONLY | libc::O_CLOEXEC,
        0,
    ));
    start(&handle);
    // Dropped it would be cancelled, by those who can interrupt a call.
    open.detach();
    // The open returns when there is a writer.
    let writer = File::options().write(true).open(dir.join("fifo")).unwrap();
    drain(&handle);
    assert_eq!(
        open_files(&dir.join("fifo")),
        1,
        "only the writer's is left"
    );
    drop(writer);
}

/// How often this process has the file open.
fn open_files(path: &std::path::Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter(|link| fs::read_link(link.as_ref().unwrap().path()).is_ok_and(|to| to == path))
        .count()
}

/// Posts a read that blocks for each entry of the page.
fn fill(handle: &Handle) -> (Vec<libflexsc::Pending<Read>>, File) {
    let (reader, writer) = file_pipe();
    let reads: Vec<_> = (0..handle.capacity())
        .map(|_| handle.submit(Read::new(reader.clone(), vec![0; 1])))
        .collect();
    handle.flush();
    (reads, writer)
}

fn queued_operation_of_a_dropped_future_is_not_executed(kind: Kind) {
    let handle = Handle::new(context(kind));
    let dir = Dir::new();
    let (reads, mut writer) = fill(&handle);
    let dropped = handle.submit(Mkdirat::new(At::Cwd, dir.c("dropped"), 0o700));
    let kept = handle.submit(Mkdirat::new(At::Cwd, dir.c("kept"), 0o700));
    assert_eq!(handle.stats().queued, 2);
    drop(dropped);
    writer.write_all(&vec![0; reads.len()]).unwrap();
    block_on(&handle, async {
        assert_eq!(kept.await, Ok(()));
        for read in reads {
            assert_eq!(read.await.0, Ok(1));
        }
    });
    assert!(dir.join("kept").exists());
    assert!(!dir.join("dropped").exists());
}

fn queued_close_of_a_dropped_context_closes(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reads, mut writer) = fill(&handle);
    let (other_reader, other_writer) = pipe();
    let close = handle.submit(Close::new(libflexsc::SharedFd::new(other_writer)));
    assert_eq!(handle.stats().queued, 1);
    mem::drop((close, reads));
    writer.write_all(&vec![0; handle.capacity()]).unwrap();
    drop(handle);
    // The end of the file comes when the other end is closed.
    assert_eq!(
        Context::direct().run(Read::new(other_reader, vec![0; 1])).0,
        Ok(0)
    );
}

fn forked_child_gets_errors(kind: Kind) {
    let context = context(kind);
    let (reader, mut writer) = file_pipe();
    let mut read = context.post(Read::new(reader, vec![0; 4]));
    start(&context);
    // SAFETY: The child uses the allocator, which the C library makes usable after fork, and takes
    // no other lock of this process.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let posted = context.run(Nop::new()) == Err(Errno::FORKED);
            let before = matches!(read.take(&context), Some((Err(Errno::FORKED), _)));
            let nothing = context.outstanding() == 0 && context.wait(1) == 0;
            context.stats();
            drop(context);
            posted && before && nothing
        }));
        // SAFETY: Ends the child at once.
        unsafe { libc::_exit(if matches!(result, Ok(true)) { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0, "the child's checks");
    // The parent's call went on.
    writer.write_all(b"here").unwrap();
    assert_eq!(read.wait(&context), (Ok(4), b"here".to_vec()));
}

fn many_more_operations_than_entries(kind: Kind) {
    let context = context(kind);
    let file = libflexsc::SharedFd::from(File::open("/proc/self/exe").unwrap());
    let whole = fs::read("/proc/self/exe").unwrap();
    let count = context.capacity() * 10;
    let tickets: Vec<_> = (0..count)
        .map(|i| {
            context.post(libflexsc::op::Pread::new(
                file.clone(),
                vec![0; 3],
                i as u64,
            ))
        })
        .collect();
    assert!(context.stats().queued > 0);
    for (i, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(ticket.wait(&context), (Ok(3), whole[i..i + 3].to_vec()));
    }
    assert_eq!(context.outstanding(), 0);
    assert_eq!(context.stats().submitted, count as u64);
    assert!(file.is_unique());
}

fn thread_that_has_posted_may_end(kind: Kind) {
    let context = context(kind);
    let (reader, mut writer) = file_pipe();
    let (buf, freed) = Watched::new(4);
    let (context, one, two, stat) = std::thread::spawn({
        let reader = reader.clone();
        move || {
            let one = context.post(Read::new(reader.clone(), buf));
            let two = context.post(libflexsc::op::Poll::new(&reader, libc::POLLIN));
            let stat = context.post(libflexsc::op::Fstat::new(&reader));
            start(&context);
            (context, one, two, stat)
        }
    })
    .join()
    .unwrap();
    assert!(!freed.get());
    writer.write_all(b"late").unwrap();
    let (count, buf) = one.wait(&context);
    assert_eq!((count, buf.bytes()), (Ok(4), &b"late"[..]));
    writer.write_all(b"more").unwrap();
    assert_eq!(two.wait(&context), Ok(libc::POLLIN));
    assert!(stat.wait(&context).is_ok());
}

#[test]
fn waker_of_a_future_runs_with_the_context_free() {
    // A waker that uses the context while it is being reaped.
    let handle = Handle::new(context(Kind::Threads));
    let woken = Arc::new(AtomicBool::new(false));
    struct Flag(Arc<AtomicBool>);
    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let waker = std::task::Waker::from(Arc::new(Flag(woken.clone())));
    let mut task = std::task::Context::from_waker(&waker);
    let mut pending = pin!(handle.submit(Nop::new()));
    while pending.as_mut().poll(&mut task).is_pending() {
        handle.wait_timeout(1, LONG);
    }
    assert!(woken.load(Ordering::SeqCst));
}

/// A buffer that uses the context when it is dropped.
struct Nosy(Vec<u8>, Option<Handle>);

// SAFETY: A handle is used by one thread only, in these tests.
unsafe impl Send for Nosy {}

impl Drop for Nosy {
    fn drop(&mut self) {
        if let Some(handle) = self.1.take() {
            assert_eq!(handle.run(Nop::new()), Ok(0));
        }
    }
}

// SAFETY: As for Vec.
unsafe impl libflexsc::IoBuf for Nosy {
    fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }
    fn bytes_len(&self) -> usize {
        self.0.len()
    }
}

// SAFETY: As for Vec.
unsafe impl libflexsc::IoBufMut for Nosy {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
}

impl Nosy {
    fn read(handle: &Handle) -> Read<Self> {
        let zero = libflexsc::SharedFd::from(File::open("/dev/zero").unwrap());
        Read::new(zero, Self(vec![0; 8], Some(handle.clone())))
    }
}

#[test]
fn buffer_that_uses_the_context_when_dropped() {
    let handle = Handle::new(context(Kind::Threads));
    drop(handle.submit(Nosy::read(&handle)));
    drain(&handle);
}

#[test]
fn buffer_that_uses_the_context_when_dropped_by_the_next_post() {
    let handle = Handle::new(context(Kind::Threads));
    let ticket = handle.post(Nosy::read(&handle));
    handle.wait(1);
    drop(ticket);
    let mut batch = Batch::new(&handle);
    batch.push(Nop::new(), ());
    assert_eq!(batch.next().unwrap().output.take::<Nop>().unwrap(), Ok(0));
    drain(&handle);
}
