// SPDX-License-Identifier: MIT OR Apache-2.0
//! What only some other sides do: declining, and having less features.

use std::{
    fs::File,
    os::fd::{FromRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::*;
use crate::{
    At, Batch, Handle, On, SharedFd,
    op::{Close, Fstat, Ftruncate, Getppid, Nop, Openat, Poll, Pread, Read, Write},
    task::block_on,
};

fn parent() -> i32 {
    std::os::unix::process::parent_id() as i32
}

fn pipe() -> (SharedFd, SharedFd) {
    let mut ends = [0; 2];
    // SAFETY: The array is valid for writes.
    let ret = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(ret, 0);
    // SAFETY: Both files were just opened and nobody owns them.
    let [reader, writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    (reader.into(), writer.into())
}

#[test]
fn handed_back_entries_of_a_batch_are_made_at_once() {
    let context = Context::new(Backend::declining());
    assert_eq!(context.run(Getppid::new()), Ok(parent()));
    let file = SharedFd::from(File::open("/proc/self/exe").unwrap());
    let reads = (0..500).map(|i| Pread::new(file.clone(), vec![0; 2], i));
    assert!(
        context
            .run_all(reads)
            .iter()
            .all(|(count, _)| *count == Ok(2))
    );
    let mut batch = Batch::new(&context);
    batch.push(Nop::new(), ());
    assert_eq!(batch.next().unwrap().output.take::<Nop>().unwrap(), Ok(0));
    drop(batch);
    let stats = context.close().unwrap();
    assert_eq!((stats.handed_back, stats.submitted), (502, 502));
    assert_eq!(stats.entries_t, 0);
}

#[test]
fn handed_back_entry_of_a_future_does_not_hold_the_others() {
    let handle = Handle::new(Context::new(Backend::declining()));
    let (reader, writer) = pipe();
    let read = handle.submit(Read::new(reader, vec![0; 3]));
    let result = block_on(&handle, async {
        let task = handle.spawn(read);
        for _ in 0..50 {
            assert_eq!(handle.submit(Getppid::new()).await, Ok(parent()));
        }
        assert_eq!(
            handle.submit(Write::new(writer, b"end".to_vec())).await.0,
            Ok(3)
        );
        task.await
    });
    assert_eq!(result, (Ok(3), b"end".to_vec()));
    assert_eq!(handle.stats().handed_back, 52);
}

#[test]
fn plain_wait_sees_what_the_stand_in_has_done() {
    let handle = Handle::new(Context::new(Backend::declining()));
    let (reader, writer) = pipe();
    let read = handle.submit(Read::new(reader, vec![0; 3]));
    let ticket = handle.post(Nop::new());
    assert_eq!(ticket.wait(&handle), Ok(0));
    assert_eq!(handle.outstanding(), 1);
    let other =
        std::thread::spawn(move || Context::direct().run(Write::new(writer, b"end".to_vec())).0);
    assert_eq!(handle.wait(1), 1);
    assert_eq!(other.join().unwrap(), Ok(3));
    assert_eq!(block_on(&handle, read).0, Ok(3));
}

#[test]
fn event_loop_is_told_of_what_the_stand_in_has_done() {
    use std::os::fd::AsRawFd;
    let handle = Handle::new(Context::new(Backend::declining()));
    let fd = handle.event_fd().unwrap().as_raw_fd();
    let (reader, writer) = pipe();
    let mut read = handle.submit(Read::new(reader, vec![0; 3]));
    let other =
        std::thread::spawn(move || Context::direct().run(Write::new(writer, b"end".to_vec())).0);
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    let output = loop {
        let armed = handle.arm();
        if let std::task::Poll::Ready(output) = std::pin::Pin::new(&mut read).poll(&mut task) {
            break output;
        }
        if armed.may_sleep() {
            let mut file = libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: One structure that can be written to.
            let told = unsafe { libc::poll(&mut file, 1, 60_000) };
            assert_eq!(told, 1, "nothing was told");
        }
    };
    assert_eq!(
        (output, other.join().unwrap()),
        ((Ok(3), b"end".to_vec()), Ok(3))
    );
    assert_eq!(handle.stats().handed_back, 1);
}

#[test]
fn queued_operation_takes_the_place_of_one_handed_back() {
    // All entries are handed back and block until what is queued is made.
    let handle = Handle::new(Context::new(Backend::declining()));
    let (reader, writer) = pipe();
    let reads = handle.capacity();
    let blocked: Vec<_> = (0..2)
        .map(|_| handle.submit(Read::new(reader.clone(), vec![0; 1])))
        .collect();
    let nops: Vec<_> = (2..reads).map(|_| handle.submit(Nop::new())).collect();
    let write = handle.submit(Write::new(writer, b"xx".to_vec()));
    assert_eq!(handle.stats().queued, 1);
    block_on(&handle, async {
        for read in blocked {
            assert_eq!(read.await.0, Ok(1));
        }
        assert_eq!(write.await.0, Ok(2));
        for nop in nops {
            assert_eq!(nop.await, Ok(0));
        }
    });
}

#[test]
fn full_stand_in_blocks_nobody() {
    // Handed back at once: more than the stand-in takes, then what blocks, then what ends that.
    let mut options = crate::backend::Options::new();
    options.entries(1024).threads(1);
    let handle = Handle::new(Context::new(Backend::declining_some(options, |_| true)));
    let (reader, writer) = pipe();
    let calls: Vec<_> = (0..600).map(|_| handle.submit(Getppid::new())).collect();
    let read = handle.submit(Read::new(reader, vec![0; 1]));
    let write = handle.submit(Write::new(writer, b"x".to_vec()));
    handle.flush();
    while handle.stats().handed_back < 602 {
        std::thread::yield_now();
    }
    block_on(&handle, async {
        for call in calls {
            assert_eq!(call.await, Ok(parent()));
        }
        assert_eq!(read.await.0, Ok(1));
        assert_eq!(write.await.0, Ok(1));
    });
}

#[test]
fn dropped_tickets_leave_their_slots_to_others() {
    let context = Context::new(Backend::declining());
    for _ in 0..100 {
        for _ in 0..10 {
            drop(context.post(Nop::new()));
        }
        while context.outstanding() > 0 {
            context.wait(1);
        }
    }
    assert_eq!(context.with(|poster| poster.slots()), 10);
}

#[test]
fn endless_time_is_no_error() {
    let context = Context::new(Backend::declining());
    let ticket = context.post(Nop::new());
    assert_eq!(context.wait_timeout(1, Duration::MAX), 1);
    assert_eq!(ticket.wait(&context), Ok(0));
}

#[test]
fn detached_future_of_the_stand_in_is_waited_for() {
    let handle = Handle::new(Context::new(Backend::declining()));
    let (reader, writer) = pipe();
    handle
        .submit(Read::new(reader.clone(), vec![0; 3]))
        .detach();
    assert_eq!(handle.run(Nop::new()), Ok(0));
    assert!(!reader.is_unique());
    drop(writer);
    drop(handle);
    assert!(reader.is_unique());
}

/// A pool that hands these calls back.
fn handing_back(declines: fn(u16) -> bool) -> Context {
    let options = crate::backend::Options::new();
    Context::new(Backend::declining_some(options, declines))
}

fn is_fstat(nr: u16) -> bool {
    nr == libc::SYS_fstat as u16
}

/// How often this process has this program open.
fn exe_open() -> usize {
    let exe = std::fs::read_link("/proc/self/exe").unwrap();
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter(|link| std::fs::read_link(link.as_ref().unwrap().path()).is_ok_and(|to| to == exe))
        .count()
}

type FileChain = (crate::op::ForChain<Openat>, Fstat, Pread, Ftruncate, Close);

/// Fails at its fourth step.
fn file_chain() -> FileChain {
    let open = Openat::new(At::Cwd, c"/proc/self/exe".into(), libc::O_RDONLY, 0);
    (
        open.for_chain(),
        Fstat::new(On::Chain),
        Pread::new(On::Chain, vec![0; 4], 0),
        Ftruncate::new(On::Chain, 0),
        Close::new(On::Chain),
    )
}

#[track_caller]
fn check_file_chain(outputs: <FileChain as Chain>::Outputs) {
    let (opened, stat, (count, buf), cut, closed) = outputs;
    assert_eq!(opened, Ok(()));
    assert!(stat.is_ok_and(|stat| stat.st_size > 4));
    assert_eq!((count, &buf[..]), (Ok(4), &b"\x7fELF"[..]));
    assert_eq!((cut, closed), (Err(Errno::EINVAL), Err(Errno::ECANCELED)));
}

/// Both ways to wait for a chain; other tests may have this program open for a moment.
fn both_ways(context: Context) {
    check_file_chain(context.run_chain(file_chain()));
    let handle = Handle::new(context);
    let (a, b, c, d, e) = handle.submit_chain(file_chain());
    check_file_chain(block_on(&handle, async {
        (a.await, b.await, c.await, d.await, e.await)
    }));
    assert_eq!(handle.outstanding(), 0);
    while exe_open() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn chain_goes_on_here_with_the_file_that_was_handed_back() {
    let context = handing_back(is_fstat);
    both_ways(context);
}

#[test]
fn chain_of_which_all_is_handed_back() {
    both_ways(handing_back(|_| true));
    both_ways(handing_back(|nr| nr == libc::SYS_close as u16));
    both_ways(handing_back(|nr| nr == libc::SYS_ftruncate as u16));
}

#[test]
fn chain_without_the_feature_is_made_step_by_step() {
    let context = Context::new(Backend::lacking(sys::FEAT_LINK));
    both_ways(context);
    let context = Context::new(Backend::lacking(sys::FEAT_LINK));
    check_file_chain(context.run_chain(file_chain()));
    // All but the open of the chain and its close at the end went through the page.
    assert_eq!(context.stats().entries_t, 4);
    let (reader, writer) = pipe();
    let (read, nop) = context.post_chain((Read::new(&reader, vec![0; 1]), Nop::new()));
    context.flush();
    assert_eq!(context.cancel(&nop), Cancel::Cancelled);
    assert_eq!(nop.wait(&context), Err(Errno::ECANCELED));
    assert_ne!(context.cancel(&read), Cancel::Over);
    assert_eq!(read.wait(&context).0, Err(Errno::ECANCELED));
    drop(writer);
}

#[test]
fn chain_without_the_feature_waits_for_a_free_entry() {
    let context = Context::new(Backend::lacking(sys::FEAT_LINK));
    let (reader, writer) = pipe();
    let reads: Vec<_> = (0..context.capacity())
        .map(|_| context.post(Read::new(&reader, vec![0; 1])))
        .collect();
    let (one, two) = context.post_chain((Nop::new(), Getppid::new()));
    assert_eq!(context.stats().queued, 1);
    drop(writer);
    for read in reads {
        assert_eq!(read.wait(&context).0, Ok(0));
    }
    assert_eq!(
        (one.wait(&context), two.wait(&context)),
        (Ok(0), Ok(parent()))
    );
}

#[test]
fn watch_without_the_feature_is_made_of_single_polls() {
    let context = Context::new(Backend::lacking(sys::FEAT_MULTI));
    let (reader, writer) = pipe();
    let mut watch = context.watch(&reader, libc::POLLIN);
    for _ in 0..20 {
        assert_eq!(watch.take(&context), None);
        assert_eq!(context.run(Write::new(&writer, vec![1; 3])).0, Ok(3));
        assert_eq!(watch.wait(&context), Ok(libc::POLLIN));
        assert_eq!(context.run(Read::new(&reader, vec![0; 3])).0, Ok(3));
    }
    assert_ne!(watch.cancel(&context), Cancel::Over);
    assert_eq!(watch.wait(&context), Err(Errno::ECANCELED));
    assert_eq!(context.outstanding(), 0);
    drop(context.watch(&reader, libc::POLLIN));
    assert_eq!(context.cancel_all(), 1);
}

#[test]
fn watch_that_is_handed_back_goes_on_elsewhere() {
    let context = handing_back(|nr| nr == sys::NR_POLL);
    let (reader, writer) = pipe();
    let mut watch = context.watch(&reader, libc::POLLIN);
    for _ in 0..20 {
        assert_eq!(context.run(Write::new(&writer, vec![1; 3])).0, Ok(3));
        assert_eq!(watch.wait(&context), Ok(libc::POLLIN));
        assert_eq!(context.run(Read::new(&reader, vec![0; 3])).0, Ok(3));
    }
    assert_ne!(watch.cancel(&context), Cancel::Over);
    while watch.wait(&context).is_ok() {}
    assert_eq!(context.outstanding(), 0);
}

#[test]
fn limit_without_the_feature_is_refused() {
    let context = Context::new(Backend::lacking(sys::FEAT_TIMEOUT));
    let limited = || Getppid::new().timeout(Duration::from_secs(60));
    assert_eq!(context.run(limited()), Err(Errno::EOPNOTSUPP));
    let (nop, refused, rest) = context.run_chain((Nop::new(), limited(), Nop::new()));
    assert_eq!((nop, refused), (Ok(0), Err(Errno::EOPNOTSUPP)));
    assert_eq!(rest, Err(Errno::ECANCELED));
}

#[test]
fn limit_of_a_call_that_is_handed_back_is_kept() {
    let handle = Handle::new(Context::new(Backend::declining()));
    let (reader, writer) = pipe();
    let short = Duration::from_millis(2);
    let read = || Read::new(&reader, vec![0; 1]).timeout(short);
    assert_eq!(handle.run(read()).0, Err(Errno::ETIME));
    let poll = Poll::new(&reader, libc::POLLIN).timeout(short);
    assert_eq!(handle.run(poll), Err(Errno::ETIME));
    assert_eq!(
        block_on(&handle, handle.submit(read())).0,
        Err(Errno::ETIME)
    );
    let read = handle.submit(Read::new(&reader, vec![0; 1]));
    assert_eq!(handle.run(Nop::new()), Ok(0));
    assert_ne!(read.cancel(), Cancel::Over);
    assert_eq!(block_on(&handle, read).0, Err(Errno::ECANCELED));
    drop(writer);
}

/// One that looks at a call and then hands it back says of a cancel before that that the call is being executed.
#[test]
fn cancel_of_a_call_that_is_then_handed_back_counts() {
    static LOOKS: AtomicBool = AtomicBool::new(false);
    static DECIDES: AtomicBool = AtomicBool::new(false);
    let context = handing_back(|nr| {
        let reads = nr == libc::SYS_read as u16;
        LOOKS.fetch_or(reads, Ordering::AcqRel);
        while reads && !DECIDES.load(Ordering::Acquire) {
            thread::yield_now();
        }
        reads
    });
    let handle = Handle::new(context);
    let (reader, _writer) = pipe();
    let read = handle.submit(Read::new(&reader, vec![0; 1]));
    assert_eq!(handle.run(Nop::new()), Ok(0));
    while !LOOKS.load(Ordering::Acquire) {
        thread::yield_now();
    }
    let answer = read.cancel();
    DECIDES.store(true, Ordering::Release);
    assert_ne!(answer, Cancel::Over);
    assert_eq!(block_on(&handle, read).0, Err(Errno::ECANCELED));
}

/// A pool rings at each completion, perhaps after that was reaped and its thread has gone to sleep again. If it slept on, the
/// bell would stay rung, and who wakes the thread then would ring in vain.
#[test]
fn ring_that_comes_late_ends_an_idle_wait() {
    let stop = Arc::new(AtomicBool::new(false));
    let (tell_bell, bell) = mpsc::channel();
    let (tell_end, end) = mpsc::channel();
    let sleeper = thread::spawn({
        let stop = stop.clone();
        move || {
            let context = Context::direct();
            tell_bell.send(context.bell()).unwrap();
            context.turn(None, || stop.load(Ordering::Acquire));
            tell_end.send(()).unwrap();
        }
    });
    let bell = bell.recv().unwrap();
    while !bell.event.has_sleepers() {
        thread::yield_now();
    }
    bell.ring();
    let ended = end.recv_timeout(Duration::from_secs(60));
    // So that a failure is no hang.
    stop.store(true, Ordering::Release);
    bell.event.notify();
    sleeper.join().unwrap();
    assert_eq!(ended, Ok(()));
}
