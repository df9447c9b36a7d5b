// SPDX-License-Identifier: MIT OR Apache-2.0
//! Green threads: who runs when, and what becomes of those that do not end.
#![cfg(all(feature = "green", not(loom)))]

#[macro_use]
mod common;

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use common::{context, pipe};
use libflexsc::{
    Context, Handle, SharedFd,
    backend::Kind,
    green,
    op::{Getppid, Nop, Read, Write},
    task::block_on,
};

each_backend!(
    calls_give_their_outputs,
    yielding_lets_the_others_run,
    values_of_the_stack_survive,
    green_thread_waits_for_another,
    dropped_one_runs_its_destructors,
    one_that_never_ran_drops_what_it_has,
    panic_reaches_who_runs_it,
    waiting_outside_is_an_error,
    block_on_within_a_green_thread,
    stacks_of_any_size,
    timers_of_green_threads,
);

/// Of what can be in progress: not plain calls.
mod posting {
    use super::{pipes_between_kernel_threads, pipes_between_many, waits_only_when_none_is_ready};

    each_backend!(posting:
        pipes_between_many,
        pipes_between_kernel_threads,
        waits_only_when_none_is_ready,
    );
}

fn handle(kind: Kind) -> Handle {
    Handle::new(context(kind))
}

fn parent() -> i32 {
    std::os::unix::process::parent_id() as i32
}

fn calls_give_their_outputs(kind: Kind) {
    let handle = handle(kind);
    let inner = handle.clone();
    let thread = green::spawn(&handle, move || {
        (0..100)
            .map(|_| green::call(&inner, Getppid::new()))
            .collect()
    });
    let results: Vec<_> = block_on(&handle, thread.unwrap());
    assert_eq!(results, vec![Ok(parent()); 100]);
}

fn yielding_lets_the_others_run(kind: Kind) {
    let (handle, log) = (handle(kind), Rc::new(RefCell::new(String::new())));
    let threads: Vec<_> = ['a', 'b', 'c']
        .into_iter()
        .map(|name| {
            let log = log.clone();
            green::spawn(&handle, move || {
                for _ in 0..3 {
                    log.borrow_mut().push(name);
                    green::yield_now();
                }
            })
            .unwrap()
        })
        .collect();
    block_on(&handle, async {
        for thread in threads {
            thread.await;
        }
    });
    assert_eq!(*log.borrow(), "abcabcabc");
}

fn values_of_the_stack_survive(kind: Kind) {
    let handle = handle(kind);
    let threads: Vec<_> = (0..50_u8)
        .map(|number| {
            let inner = handle.clone();
            green::spawn(&handle, move || {
                let mut local = [number; 4096];
                for byte in &mut local {
                    *byte = byte.wrapping_add(1);
                    if *byte % 16 == 0 {
                        assert_eq!(green::call(&inner, Nop::new()), Ok(0));
                    }
                }
                local.iter().all(|&byte| byte == number.wrapping_add(1))
            })
            .unwrap()
        })
        .collect();
    block_on(&handle, async {
        for thread in threads {
            assert!(thread.await);
        }
    });
}

fn green_thread_waits_for_another(kind: Kind) {
    let handle = handle(kind);
    let inner = handle.clone();
    let outer = green::spawn(&handle, move || {
        let deeper = inner.clone();
        let other = green::spawn(&inner, move || green::call(&deeper, Getppid::new()));
        green::wait(other.unwrap())
    });
    assert_eq!(block_on(&handle, outer.unwrap()), Ok(parent()));
}

struct OnDrop(Rc<Cell<u32>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn dropped_one_runs_its_destructors(kind: Kind) {
    let (handle, dropped) = (handle(kind), Rc::new(Cell::new(0)));
    let begun = Rc::new(Cell::new(0));
    for detach in [false, true] {
        let (guard, begun) = (OnDrop(dropped.clone()), begun.clone());
        let thread = green::spawn(&handle, move || {
            let _guard = guard;
            begun.set(begun.get() + 1);
            green::wait(std::future::pending::<()>());
            unreachable!();
        })
        .unwrap();
        block_on(&handle, async {
            for _ in 0..3 {
                futures_lite::future::yield_now().await;
            }
            if detach {
                thread.detach();
            } else {
                drop(thread);
            }
        });
    }
    assert_eq!((begun.get(), dropped.get()), (2, 2));
    // The kernel thread goes on as before.
    let inner = handle.clone();
    let thread = green::spawn(&handle, move || green::call(&inner, Nop::new())).unwrap();
    assert_eq!(block_on(&handle, thread), Ok(0));
}

fn one_that_never_ran_drops_what_it_has(kind: Kind) {
    let (handle, dropped) = (handle(kind), Rc::new(Cell::new(0)));
    let guard = OnDrop(dropped.clone());
    drop(green::spawn(&handle, move || drop(guard)).unwrap());
    block_on(&handle, futures_lite::future::yield_now());
    assert_eq!(dropped.get(), 1);
}

fn panic_reaches_who_runs_it(kind: Kind) {
    let (handle, dropped) = (handle(kind), Rc::new(Cell::new(0)));
    let guard = OnDrop(dropped.clone());
    let thread = green::spawn(&handle, move || {
        let _guard = guard;
        green::yield_now();
        panic!("of a green thread");
    })
    .unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| block_on(&handle, thread)));
    let payload = result.unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"of a green thread"));
    assert_eq!(dropped.get(), 1);
    assert_eq!(block_on(&handle, handle.submit(Nop::new())), Ok(0));
}

fn waiting_outside_is_an_error(kind: Kind) {
    let handle = handle(kind);
    let call = || green::call(&handle, Nop::new());
    let payload = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
    let text = payload.downcast_ref::<&str>().unwrap();
    assert!(text.contains("outside of a green thread"), "{text}");
}

fn block_on_within_a_green_thread(kind: Kind) {
    let handle = handle(kind);
    let inner = handle.clone();
    let other = green::spawn(&handle, {
        let handle = handle.clone();
        move || green::call(&handle, Getppid::new())
    });
    let thread = green::spawn(&handle, move || {
        let first = block_on(&inner, other.unwrap());
        (first, green::call(&inner, Nop::new()))
    });
    assert_eq!(block_on(&handle, thread.unwrap()), (Ok(parent()), Ok(0)));
}

fn stacks_of_any_size(kind: Kind) {
    let handle = handle(kind);
    for size in [0, 1, 20_000, 1 << 20] {
        let inner = handle.clone();
        let mut builder = green::Builder::new();
        let thread = builder
            .stack_size(size)
            .spawn(&handle, move || green::call(&inner, Nop::new()));
        assert_eq!(block_on(&handle, thread.unwrap()), Ok(0));
    }
    let huge = green::Builder::new()
        .stack_size(1 << 60)
        .spawn(&handle, || ());
    assert!(huge.is_err());
}

fn timers_of_green_threads(kind: Kind) {
    let handle = handle(kind);
    let inner = handle.clone();
    let thread = green::spawn(&handle, move || {
        let short = Duration::from_millis(1);
        green::wait(inner.sleep(short));
        green::wait(inner.timeout(short, std::future::pending::<()>())).is_err()
    });
    assert!(block_on(&handle, thread.unwrap()));
}

fn pipes_between_many(kind: Kind) {
    // A ball goes round through a chain of green threads.
    let handle = handle(kind);
    let (first_reader, first_writer) = pipe();
    let mut reader = first_reader;
    let mut threads = Vec::new();
    for _ in 0..40 {
        let (next, writer) = pipe();
        let writer = SharedFd::new(writer);
        let (inner, from) = (handle.clone(), std::mem::replace(&mut reader, next));
        let thread = green::spawn(&handle, move || {
            for _ in 0..5 {
                let (count, mut ball) = green::call(&inner, Read::new(&from, vec![0; 1]));
                assert_eq!(count, Ok(1));
                ball[0] += 1;
                assert_eq!(green::call(&inner, Write::new(&writer, ball)).0, Ok(1));
            }
        });
        threads.push(thread.unwrap());
    }
    block_on(&handle, async {
        for _ in 0..5 {
            common::write(&first_writer, &[7]);
            let (count, ball) = handle.submit(Read::new(&reader, vec![0; 1])).await;
            assert_eq!((count, ball), (Ok(1), vec![47]));
        }
        for thread in threads {
            thread.await;
        }
    });
}

fn waits_only_when_none_is_ready(kind: Kind) {
    let handle = handle(kind);
    // In the kernel or spinning for it.
    let waits = |handle: &Handle| {
        let stats = handle.stats();
        stats.waits + stats.spun
    };
    let (reader, _writer) = pipe();
    let read = |handle: &Handle| handle.submit(Read::new(&reader, vec![0; 1]));
    let blocked = read(&handle);
    let blocked = green::spawn(&handle, || green::wait(blocked)).unwrap();
    let ready: Vec<_> = (0..3)
        .map(|_| {
            green::spawn(&handle, || {
                for _ in 0..1000 {
                    green::yield_now();
                }
            })
            .unwrap()
        })
        .collect();
    block_on(&handle, async {
        let before = waits(&handle);
        for thread in ready {
            thread.await;
        }
        assert_eq!(waits(&handle), before, "somebody was ready all the time");
        // With nobody ready it does, unless what it waits for comes before it could.
        let (reader, writer) = pipe();
        for millis in [100, 1000, 10_000] {
            let writer = writer.try_clone().unwrap();
            let late = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(millis));
                common::write(&writer, b"x");
            });
            let read = handle.submit(Read::new(&reader, vec![0; 1]));
            assert_eq!(read.await.0, Ok(1));
            late.join().unwrap();
            if waits(&handle) > before {
                return drop(blocked);
            }
        }
        panic!("it never waits");
    });
}

/// Several kernel threads, each with a context of its own and green threads on it.
fn pipes_between_kernel_threads(kind: Kind) {
    const KERNEL_THREADS: usize = 3;
    const GREEN_THREADS: usize = 8;
    // A ball for each place goes round through the kernel threads.
    let places = KERNEL_THREADS * GREEN_THREADS;
    let (readers, writers): (Vec<_>, Vec<_>) = (0..places).map(|_| pipe()).unzip();
    let writers: Vec<_> = writers.into_iter().map(SharedFd::new).collect();
    for writer in &writers[..GREEN_THREADS] {
        let ball = Context::direct().run(Write::new(writer, vec![0; 1]));
        assert_eq!(ball.0, Ok(1));
    }
    std::thread::scope(|scope| {
        for number in 0..KERNEL_THREADS {
            let (readers, writers) = (&readers, &writers);
            scope.spawn(move || {
                let handle = handle(kind);
                let threads: Vec<_> = (0..GREEN_THREADS)
                    .map(|place| {
                        let place = number * GREEN_THREADS + place;
                        let from = readers[place].clone();
                        let to = writers[(place + GREEN_THREADS) % places].clone();
                        let handle = handle.clone();
                        green::spawn(&handle.clone(), move || {
                            for round in 0..20 {
                                let read = Read::new(&from, vec![0; 1]);
                                let (count, mut ball) = green::call(&handle, read);
                                assert_eq!(count, Ok(1));
                                let before = round * KERNEL_THREADS + number;
                                assert_eq!(usize::from(ball[0]), before);
                                ball[0] += 1;
                                assert_eq!(green::call(&handle, Write::new(&to, ball)).0, Ok(1));
                            }
                        })
                        .unwrap()
                    })
                    .collect();
                block_on(&handle, async {
                    for thread in threads {
                        thread.await;
                    }
                });
            });
        }
    });
}
