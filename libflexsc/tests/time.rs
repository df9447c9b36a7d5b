// SPDX-License-Identifier: MIT OR Apache-2.0
//! Timers: what comes when, never how long it took.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::{
    cell::{Cell, RefCell},
    future::{self, Future},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context as TaskContext, Waker},
    time::{Duration, Instant},
};

use common::{LONG, context, pipe};
use futures_lite::future::poll_once;
use libflexsc::{Handle, backend::Kind, op::Nop, task::block_on};

each_backend!(
    sleeps_end_in_the_order_of_their_times,
    sleep_is_not_over_before_its_time,
    sleep_within_the_work_of_others,
    dropped_sleep_is_forgotten,
    sleep_that_is_polled_by_another_task,
    future_that_is_ready_beats_its_limit,
    limit_drops_the_future,
    ticks_are_a_period_apart,
    missed_ticks_are_left_out,
    longest_times_do_no_harm,
    sleep_in_an_inner_block_on,
);

/// Of what can be in progress: not plain calls.
mod posting {
    use super::sleep_ends_while_an_operation_blocks;

    each_backend!(posting: sleep_ends_while_an_operation_blocks,);
}

const MS: Duration = Duration::from_millis(1);

fn handle(kind: Kind) -> Handle {
    Handle::new(context(kind))
}

fn sleeps_end_in_the_order_of_their_times(kind: Kind) {
    let handle = handle(kind);
    // Once more, with more time, if one was over before all had begun: it does not sleep at all.
    let order = (1..)
        .find_map(|ahead| order_of_sleeps(&handle, ahead * 20 * MS))
        .expect("a turn in which all have slept");
    assert_eq!(order, [1, 2, 3, 4, 5]);
}

/// The order in which sleeps end, unless one of them has not slept.
fn order_of_sleeps(handle: &Handle, ahead: Duration) -> Option<Vec<u32>> {
    let order = Rc::new(RefCell::new(Vec::new()));
    let begin = Instant::now() + ahead;
    let tasks: Vec<_> = [5, 1, 4, 2, 3]
        .into_iter()
        .map(|number| {
            let (inner, order) = (handle.clone(), order.clone());
            handle.spawn(async move {
                let mut sleep = pin!(inner.sleep_until(begin + number * 3 * MS));
                let slept = poll_once(&mut sleep).await.is_none();
                if slept {
                    sleep.await;
                }
                order.borrow_mut().push(number);
                slept
            })
        })
        .collect();
    let all = block_on(handle, async {
        let mut all = true;
        for task in tasks {
            all &= task.await;
        }
        all
    });
    all.then(|| order.take())
}

fn sleep_is_not_over_before_its_time(kind: Kind) {
    let handle = handle(kind);
    let begin = Instant::now();
    block_on(&handle, handle.sleep(3 * MS));
    assert!(begin.elapsed() >= 3 * MS);
}

fn sleep_within_the_work_of_others(kind: Kind) {
    // The executor always has something to run.
    let handle = handle(kind);
    let over = Rc::new(Cell::new(false));
    let worker = handle.spawn({
        let (handle, over) = (handle.clone(), over.clone());
        async move {
            while !over.get() {
                assert_eq!(handle.submit(Nop::new()).await, Ok(0));
                futures_lite::future::yield_now().await;
            }
        }
    });
    block_on(&handle, async {
        handle.sleep(2 * MS).await;
        over.set(true);
        worker.await;
    });
}

fn sleep_ends_while_an_operation_blocks(kind: Kind) {
    let handle = handle(kind);
    let (reader, writer) = pipe();
    block_on(&handle, async {
        let read = handle.submit(libflexsc::op::Read::new(&reader, vec![0; 1]));
        handle.sleep(2 * MS).await;
        common::write(&writer, b"x");
        assert_eq!(read.await.0, Ok(1));
    });
}

fn dropped_sleep_is_forgotten(kind: Kind) {
    let handle = handle(kind);
    block_on(&handle, async {
        for _ in 0..100 {
            let long = handle.timeout(LONG, handle.submit(Nop::new()));
            assert!(long.await.is_ok());
        }
        // Would bound the wait to a time that is long over.
        handle.sleep(MS).await;
    });
}

fn sleep_that_is_polled_by_another_task(kind: Kind) {
    let handle = handle(kind);
    block_on(&handle, async {
        let mut nobody = TaskContext::from_waker(Waker::noop());
        // Longer, once more, if it was over before it was looked at.
        let sleep = (1..).find_map(|times| {
            let mut sleep = handle.sleep(times * 2 * MS);
            Pin::new(&mut sleep)
                .poll(&mut nobody)
                .is_pending()
                .then_some(sleep)
        });
        handle.spawn(sleep.expect("one that is not over")).await;
    });
}

fn future_that_is_ready_beats_its_limit(kind: Kind) {
    let handle = handle(kind);
    let ready = handle.timeout(Duration::ZERO, future::ready(7));
    assert_eq!(block_on(&handle, ready), Ok(7));
}

fn limit_drops_the_future(kind: Kind) {
    struct OnDrop(Rc<Cell<bool>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let (handle, dropped) = (handle(kind), Rc::new(Cell::new(false)));
    let guard = OnDrop(dropped.clone());
    let never = async move {
        let _guard = guard;
        future::pending::<()>().await;
    };
    let error = block_on(&handle, handle.timeout(MS, never)).unwrap_err();
    assert!(dropped.get());
    assert_eq!(error.to_string(), "the time limit is over");
    let error = std::io::Error::from(error);
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

fn ticks_are_a_period_apart(kind: Kind) {
    let handle = handle(kind);
    block_on(&handle, async {
        let begin = Instant::now();
        let mut ticks = handle.interval(2 * MS);
        let mut last = ticks.tick().await;
        for _ in 0..5 {
            let tick = ticks.tick().await;
            assert!(tick >= last + 2 * MS && tick <= Instant::now());
            assert_eq!((tick - last).as_nanos() % 2_000_000, 0);
            last = tick;
        }
        assert!(begin.elapsed() >= 10 * MS);
    });
}

fn missed_ticks_are_left_out(kind: Kind) {
    let handle = handle(kind);
    block_on(&handle, async {
        let mut ticks = handle.interval(MS);
        let first = ticks.tick().await;
        handle.sleep(5 * MS).await;
        let now = Instant::now();
        let late = ticks.tick().await;
        assert!(late >= first + MS);
        let next = ticks.tick().await;
        assert!(next > late && next > now, "those between do not come");
    });
}

fn longest_times_do_no_harm(kind: Kind) {
    let handle = handle(kind);
    block_on(&handle, async {
        let forever = handle.sleep(Duration::MAX);
        assert!(handle.timeout(MS, forever).await.is_err());
        let mut ticks = handle.interval(Duration::MAX);
        ticks.tick().await;
        assert!(handle.timeout(MS, ticks.tick()).await.is_err());
        let mut ticks = handle.interval(Duration::ZERO);
        for _ in 0..10 {
            ticks.tick().await;
        }
    });
}

fn sleep_in_an_inner_block_on(kind: Kind) {
    let handle = handle(kind);
    let inner = handle.clone();
    let task = handle.spawn(async move {
        block_on(&inner, inner.sleep(MS));
    });
    block_on(&handle, async {
        handle.sleep(MS).await;
        task.await;
    });
}
