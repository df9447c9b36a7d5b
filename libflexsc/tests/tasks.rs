// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tickets, batches and futures: what comes when, and who is woken.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::{
    cell::{Cell, RefCell},
    fs::File,
    future::poll_fn,
    io::Write,
    rc::Rc,
    sync::{Arc, Mutex, mpsc},
    task::{Poll, Waker},
    time::Duration,
};

use common::{LONG, context, pipe};
use libflexsc::{
    AnyOutput, Batch, Context, Errno, Handle, SharedFd,
    backend::Kind,
    op::{self, Getppid, Lseek, Nop, Pread, Read},
    task::block_on,
};

each_backend!(
    outputs_keep_the_order_of_the_operations,
    operations_made_while_others_run,
    tickets_are_taken_in_any_order,
    ticket_of_another_context_is_never_done,
    batch_gives_each_tag_once,
    output_of_another_type_is_refused,
    tasks_run_beside_each_other,
    tasks_end_with_the_outermost_block_on,
    block_on_within_a_task,
    context_moves_to_another_thread,
    statistics_add_up,
);

/// Of what can be in progress: not plain calls.
mod posting {
    use super::{
        blocked_operation_does_not_hold_the_others, loser_of_a_select_is_cancelled,
        ping_pong_between_tasks, wait_ends_when_the_time_is_over,
        wake_from_another_thread_ends_the_wait,
    };

    each_backend!(posting:
        blocked_operation_does_not_hold_the_others,
        loser_of_a_select_is_cancelled,
        wait_ends_when_the_time_is_over,
        wake_from_another_thread_ends_the_wait,
        ping_pong_between_tasks,
    );
}

fn parent() -> i32 {
    std::os::unix::process::parent_id() as i32
}

fn exe() -> SharedFd {
    File::open("/proc/self/exe").unwrap().into()
}

fn outputs_keep_the_order_of_the_operations(kind: Kind) {
    let context = context(kind);
    let file = exe();
    let whole = std::fs::read("/proc/self/exe").unwrap();
    let count = 1000;
    let reads = (0..count).map(|i| Pread::new(file.clone(), vec![0; 5], i * 7));
    let outputs = context.run_all(reads);
    assert_eq!(outputs.len(), count as usize);
    for (i, (result, buf)) in outputs.into_iter().enumerate() {
        assert_eq!(result, Ok(5));
        assert_eq!(buf, whole[i * 7..i * 7 + 5]);
    }
}

fn operations_made_while_others_run(kind: Kind) {
    // The iterator itself uses the context.
    let context = context(kind);
    let ops = (0..200).map(|_| {
        assert_eq!(context.run(Getppid::new()), Ok(parent()));
        Nop::new()
    });
    assert_eq!(context.run_all(ops), vec![Ok(0); 200]);
}

fn tickets_are_taken_in_any_order(kind: Kind) {
    let context = context(kind);
    let file = exe();
    let mut tickets: Vec<_> = (0..40)
        .map(|i| (i, context.post(Pread::new(file.clone(), vec![0; i], 0))))
        .collect();
    let mut parent_ticket = context.post(Getppid::new());
    while let Some(at) = tickets.len().checked_sub(1) {
        let (len, mut ticket) = tickets.swap_remove(at / 2);
        let output = loop {
            match ticket.take(&context) {
                Some(output) => break output,
                None => context.wait(1),
            };
        };
        assert_eq!((output.0, output.1.len()), (Ok(len), len));
        assert!(ticket.take(&context).is_none(), "taken once");
    }
    context.wait(usize::MAX);
    assert_eq!(parent_ticket.take(&context), Some(Ok(parent())));
    assert_eq!(context.wait(1), 0);
}

fn ticket_of_another_context_is_never_done(kind: Kind) {
    let (one, two) = (context(kind), context(kind));
    let mut first = one.post(Nop::new());
    let second = two.post(Getppid::new());
    two.wait(1);
    if kind != Kind::Direct {
        assert!(first.take(&two).is_none());
    }
    assert_eq!(first.wait(&one), Ok(0));
    assert_eq!(second.wait(&two), Ok(parent()));
}

fn batch_gives_each_tag_once(kind: Kind) {
    let context = context(kind);
    let file = exe();
    let mut batch = Batch::new(&context);
    let mut other = Batch::new(&context);
    for i in 0..300u64 {
        match i % 3 {
            0 => batch.push(Nop::new(), i),
            1 => batch.push(Getppid::new(), i),
            _ => batch.push(Lseek::new(file.clone(), i as i64, libc::SEEK_SET), i),
        }
        other.push(Nop::new(), i);
    }
    assert_eq!(batch.len(), 300);
    let mut seen = vec![0; 300];
    while let Some(done) = batch.next() {
        seen[done.tag as usize] += 1;
        match done.tag % 3 {
            0 => assert_eq!(done.output.take::<Nop>().unwrap(), Ok(0)),
            1 => assert_eq!(done.output.take::<Getppid>().unwrap(), Ok(parent())),
            _ => assert_eq!(done.output.take::<Lseek>().unwrap(), Ok(done.tag)),
        }
    }
    assert_eq!(seen, vec![1; 300]);
    assert!(batch.is_empty() && batch.try_next().is_none());
    let mut tags: Vec<u64> = std::iter::from_fn(|| other.next())
        .map(|done| done.tag)
        .collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..300).collect::<Vec<_>>());
}

fn output_of_another_type_is_refused(kind: Kind) {
    let context = context(kind);
    let mut batch = Batch::new(&context);
    batch.push(Getppid::new(), ());
    let output: AnyOutput = batch.next().unwrap().output;
    let output = output.take::<Nop>().unwrap_err().into_output();
    assert!(output.is::<Getppid>() && !output.is::<Nop>());
    assert_eq!(output.take::<Getppid>().unwrap(), Ok(parent()));
}

fn tasks_run_beside_each_other(kind: Kind) {
    let handle = Handle::new(context(kind));
    let file = exe();
    let whole = std::fs::read("/proc/self/exe").unwrap();
    let sum = Rc::new(Cell::new(0));
    let tasks: Vec<_> = (0..200u64)
        .map(|i| {
            let (handle, file, sum) = (handle.clone(), file.clone(), sum.clone());
            handle.clone().spawn(async move {
                for step in 0..5 {
                    let read = Pread::new(file.clone(), vec![0; 1], i * 5 + step);
                    let (count, buf) = handle.submit(read).await;
                    assert_eq!(count, Ok(1));
                    sum.set(sum.get() + u64::from(buf[0]));
                }
            })
        })
        .collect();
    block_on(&handle, async {
        for task in tasks {
            task.await;
        }
    });
    let expected: u64 = whole[..1000].iter().map(|&byte| u64::from(byte)).sum();
    assert_eq!(sum.get(), expected);
}

fn tasks_end_with_the_outermost_block_on(kind: Kind) {
    let handle = Handle::new(context(kind));
    let dropped = Rc::new(Cell::new(0));
    struct OnDrop(Rc<Cell<u32>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let keep = OnDrop(dropped.clone());
    let inner = handle.clone();
    handle
        .spawn(async move {
            let _keep = keep;
            assert_eq!(block_on(&inner, inner.submit(Nop::new())), Ok(0));
            std::future::pending::<()>().await;
        })
        .detach();
    block_on(&handle, async {
        for _ in 0..3 {
            assert_eq!(handle.submit(Nop::new()).await, Ok(0));
        }
        assert_eq!(dropped.get(), 0);
    });
    assert_eq!(
        dropped.get(),
        1,
        "the task is gone, and with it what it holds"
    );
}

fn block_on_within_a_task(kind: Kind) {
    let handle = Handle::new(context(kind));
    let result = block_on(&handle, async {
        let task = handle.spawn({
            let handle = handle.clone();
            async move { block_on(&handle, async { handle.submit(Getppid::new()).await }) }
        });
        let nop = handle.submit(Nop::new());
        (task.await, nop.await)
    });
    assert_eq!(result, (Ok(parent()), Ok(0)));
}

fn context_moves_to_another_thread(kind: Kind) {
    let context = context(kind);
    let ticket = context.post(Getppid::new());
    let (context, result) = std::thread::spawn(move || {
        let result = ticket.wait(&context);
        (context, result)
    })
    .join()
    .unwrap();
    assert_eq!(result, Ok(parent()));
    assert_eq!(context.run(Nop::new()), Ok(0));
}

fn statistics_add_up(kind: Kind) {
    let context = context(kind);
    context.run_all((0..100).map(|_| Getppid::new()));
    let stats = context.stats();
    assert_eq!(stats.submitted, 100);
    let executed = stats.entries_w + stats.entries_t + stats.entries_c + stats.handed_back;
    assert_eq!(executed, 100);
    match kind {
        Kind::Direct => assert_eq!(stats.entries_c, 100),
        // io_uring knows no such call.
        Kind::Threads | Kind::IoUring => assert_eq!(stats.entries_t, 100),
        _ => assert_eq!(stats.handed_back, 0),
    }
    assert_eq!(stats.rejected, 0);
}

fn blocked_operation_does_not_hold_the_others(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let blocked = context.post(Read::new(reader, vec![0; 8]));
    for _ in 0..100 {
        assert_eq!(context.run(Getppid::new()), Ok(parent()));
    }
    assert_eq!(
        context
            .run(op::Write::new(SharedFd::new(writer), b"unblocks".to_vec()))
            .0,
        Ok(8)
    );
    assert_eq!(blocked.wait(&context), (Ok(8), b"unblocks".to_vec()));
}

fn loser_of_a_select_is_cancelled(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reader, writer) = pipe();
    let (reader, writer) = (&reader, SharedFd::new(writer));
    block_on(&handle, async {
        for _ in 0..50 {
            let read = async { Err(handle.submit(Read::new(reader, vec![0; 1])).await) };
            let nothing = async { Ok(handle.submit(Nop::new()).await) };
            assert_eq!(futures_lite::future::or(read, nothing).await, Ok(Ok(0)));
        }
    });
    // They end, though nobody has written.
    while handle.outstanding() != 0 {
        assert_ne!(handle.wait_timeout(1, LONG), 0);
    }
    // None of them takes what comes.
    let write = op::Write::new(writer, b"x".to_vec());
    assert_eq!(handle.run(write).0, Ok(1));
    let (count, byte) = handle.run(Read::new(reader, vec![0; 1]));
    assert_eq!((count, byte), (Ok(1), b"x".to_vec()));
}

fn wait_ends_when_the_time_is_over(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let blocked = context.post(Read::new(reader, vec![0; 1]));
    let done = context.post(Nop::new());
    assert_eq!(context.wait_timeout(1, LONG), 1);
    assert_eq!(context.wait_timeout(1, Duration::from_millis(5)), 0);
    assert_eq!(done.wait(&context), Ok(0));
    drop(writer);
    assert_eq!(context.wait_timeout(2, LONG), 1, "all there is");
    assert_eq!(blocked.wait(&context).0, Ok(0));
}

/// A value that one thread gives to a future of another.
#[derive(Default)]
struct Slot(Mutex<(Option<u32>, Option<Waker>)>);

impl Slot {
    fn put(&self, value: u32) {
        let waker = {
            let mut slot = self.0.lock().unwrap();
            slot.0 = Some(value);
            slot.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn take(&self) -> u32 {
        poll_fn(|task| {
            let mut slot = self.0.lock().unwrap();
            match slot.0.take() {
                Some(value) => Poll::Ready(value),
                None => {
                    slot.1 = Some(task.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

fn wake_from_another_thread_ends_the_wait(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reader, mut writer) = pipe_file();
    let slot = Arc::new(Slot::default());
    let (go, gone) = mpsc::channel::<u32>();
    let other = std::thread::spawn({
        let slot = slot.clone();
        move || {
            while let Ok(value) = gone.recv() {
                slot.put(value);
            }
        }
    });
    block_on(&handle, async {
        // With nothing in progress, then with an operation that does not end.
        go.send(0).unwrap();
        assert_eq!(slot.take().await, 0);
        let blocked = handle.submit(Read::new(reader, vec![0; 1]));
        for value in 1..50 {
            go.send(value).unwrap();
            assert_eq!(slot.take().await, value);
        }
        writer.write_all(b"x").unwrap();
        assert_eq!(blocked.await, (Ok(1), b"x".to_vec()));
    });
    drop(go);
    other.join().unwrap();
}

fn pipe_file() -> (SharedFd, File) {
    let (reader, writer) = pipe();
    (reader, writer.into())
}

fn ping_pong_between_tasks(kind: Kind) {
    // Each read waits for the other task's write.
    let handle = Handle::new(context(kind));
    let (ping_reader, ping_writer) = pipe();
    let (pong_reader, pong_writer) = pipe();
    let (ping_writer, pong_writer) = (SharedFd::new(ping_writer), SharedFd::new(pong_writer));
    let log = Rc::new(RefCell::new(Vec::new()));
    let player = |name: char, reader: SharedFd, writer: SharedFd, starts: bool| {
        let (handle, log) = (handle.clone(), log.clone());
        async move {
            let mut ball = vec![b'o'];
            for turn in 0..20 {
                if turn > 0 || !starts {
                    ball = handle.submit(Read::new(reader.clone(), ball)).await.1;
                }
                log.borrow_mut().push(name);
                ball = handle.submit(op::Write::new(writer.clone(), ball)).await.1;
            }
            Ok::<(), Errno>(())
        }
    };
    let one = handle.spawn(player('a', pong_reader, ping_writer, true));
    let two = handle.spawn(player('b', ping_reader, pong_writer, false));
    block_on(&handle, async { (one.await.unwrap(), two.await.unwrap()) });
    assert_eq!(log.borrow().iter().collect::<String>(), "ab".repeat(20));
}

#[test]
fn run_all_with_an_operation_elsewhere_in_progress() {
    let context: Context = context(Kind::Threads);
    let (reader, writer) = pipe();
    let blocked = context.post(Read::new(reader, vec![0; 1]));
    assert_eq!(
        context.run_all((0..500).map(|_| Nop::new())),
        vec![Ok(0); 500]
    );
    drop(writer);
    assert_eq!(blocked.wait(&context).0, Ok(0));
}
