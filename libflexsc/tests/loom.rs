// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page protocol under the model checker:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p libflexsc --release --test loom
//! ```
//!
//! Every interleaving is gone through where the table says so. Else those in which threads lose the processor
//! at most so often at another place than where they wait (a bound of loom's): the whole of it takes minutes.
//!
//! | model | entries | threads | bound |
//! |---|---|---|---|
//! | `idle_executor_is_woken` | 2 | 2 | 5 |
//! | `entries_are_executed_once_by_many` | 2 | 3 | 4 |
//! | all others, these two with one entry among them | 1 or 2 | 2 or 3 | none |
//!
//! With a mutant of the protocol the tests named here must fail, with
//! `FLEXSC_MUTANT=NAME` before that:
//!
//! | mutant | test |
//! |---|---|
//! | `no_fence`: no full barriers | `idle_executor_is_woken` |
//! | `no_fence` | `sleeper_is_notified` |
//! | `split_chain`: chains are published piece by piece | `chain_is_taken_as_a_whole` |
//! | `no_exchange`: events are taken in two steps | `events_of_an_entry_that_goes_on_are_all_taken` |
//! | `park_cancelled`: cancelled entries are parked | `cancelled_entry_ends_once` |
#![cfg(all(loom, not(shuttle)))]

use std::sync::Arc;

use libflexsc::{
    page::{Event, Executor, Parking, Region, Submitter, Taken, Terms},
    sys,
};
use loom::{
    model::Builder,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

/// Goes through every interleaving.
fn model(test: impl Fn() + Sync + Send + 'static) {
    bounded(None, test);
}

/// Goes through those with at most so many preemptions.
fn bounded(preemptions: Option<usize>, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    // Without one, whatever the environment says.
    builder.preemption_bound = preemptions;
    builder.check(test);
}

fn page(entries: u32) -> (Submitter, Executor) {
    let region = Region::new(entries).unwrap();
    (Submitter::new(region.clone()), Executor::new(region))
}

fn push(submitter: &mut Submitter, token: u32) {
    let args = [u64::from(token) + 1, 0, 0, 0, 0, 0];
    // SAFETY: The executors of these tests do not make the call.
    assert!(unsafe { submitter.push(token as u16, &args, token) });
}

/// What the executors of these tests return.
fn result(nr: u16, args: [u64; 6]) -> i64 {
    i64::from(nr) * 100 + args[0] as i64
}

/// The tokens of all completions in the ring, their results checked.
fn reap(submitter: &mut Submitter) -> Vec<u32> {
    let mut tokens = Vec::new();
    while let Some(done) = submitter.reap() {
        assert_eq!(
            done.ret,
            result(done.token as u16, [u64::from(done.token) + 1; 6])
        );
        assert_eq!(done.flags, 0);
        tokens.push(done.token);
    }
    tokens
}

/// A kick that cannot be lost, as the ioctl.
#[derive(Default)]
struct Kick {
    kicked: Mutex<bool>,
    wake: Condvar,
}

impl Kick {
    fn kick(&self) {
        *self.kicked.lock().unwrap() = true;
        self.wake.notify_one();
    }

    fn wait(&self) {
        let mut kicked = self.kicked.lock().unwrap();
        while !*kicked {
            kicked = self.wake.wait(kicked).unwrap();
        }
        *kicked = false;
    }
}

#[test]
fn idle_executor_is_woken() {
    wakes_an_idle_executor(2, Some(5));
}

#[test]
fn idle_executor_is_woken_of_one_entry() {
    wakes_an_idle_executor(1, None);
}

fn wakes_an_idle_executor(entries: u32, preemptions: Option<usize>) {
    bounded(preemptions, move || {
        let (mut submitter, executor) = page(entries);
        let kick = Arc::new(Kick::default());
        let worker = thread::spawn({
            let kick = kick.clone();
            move || {
                let mut left = entries;
                loop {
                    executor.begin_poll();
                    while let Some(entry) = executor.take() {
                        let ret = result(entry.nr, entry.args);
                        executor.complete(entry, ret, 0);
                        left -= 1;
                    }
                    let again = executor.end_poll();
                    if left == 0 {
                        break;
                    }
                    if !again {
                        // Sleeps for ever if the submitter saw a poller, and it no entry.
                        kick.wait();
                    }
                }
            }
        });
        for token in 0..entries {
            push(&mut submitter, token);
            submitter.publish();
            if submitter.need_wakeup() {
                kick.kick();
            }
        }
        worker.join().unwrap();
        assert!(reap(&mut submitter).into_iter().eq(0..entries));
    });
}

#[test]
fn entries_are_executed_once_by_many() {
    executes_once(2, Some(4));
}

#[test]
fn one_entry_is_executed_once_by_many() {
    executes_once(1, None);
}

fn executes_once(entries: u32, preemptions: Option<usize>) {
    bounded(preemptions, move || {
        let (mut submitter, executor) = page(entries);
        let executed = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (executor, executed) = (executor.clone(), executed.clone());
                thread::spawn(move || {
                    while let Some(entry) = executor.take() {
                        executed[usize::from(entry.nr)].fetch_add(1, Ordering::Relaxed);
                        let ret = result(entry.nr, entry.args);
                        executor.complete(entry, ret, 0);
                    }
                })
            })
            .collect();
        for token in 0..entries {
            push(&mut submitter, token);
            submitter.publish();
        }
        let mut tokens = reap(&mut submitter);
        for worker in workers {
            worker.join().unwrap();
        }
        // What the workers came too early for.
        while let Some(entry) = executor.take() {
            executed[usize::from(entry.nr)].fetch_add(1, Ordering::Relaxed);
            let ret = result(entry.nr, entry.args);
            executor.complete(entry, ret, 0);
        }
        tokens.extend(reap(&mut submitter));
        tokens.sort_unstable();
        assert!(tokens.into_iter().eq(0..entries));
        for count in &executed[..entries as usize] {
            assert_eq!(count.load(Ordering::Relaxed), 1);
        }
        assert_eq!(submitter.outstanding(), 0);
    });
}

#[test]
fn entry_is_used_again_after_it_was_reaped() {
    model(|| {
        // One entry: each post needs the completion before.
        let (mut submitter, executor) = page(1);
        let worker = thread::spawn(move || {
            for _ in 0..2 {
                let entry = loop {
                    match executor.take() {
                        Some(entry) => break entry,
                        None => thread::yield_now(),
                    }
                };
                let ret = result(entry.nr, entry.args);
                executor.complete(entry, ret, 0);
            }
        });
        for token in [3, 4] {
            push(&mut submitter, token);
            submitter.publish();
            while submitter.completions() == 0 {
                thread::yield_now();
            }
            assert_eq!(reap(&mut submitter), [token]);
        }
        worker.join().unwrap();
    });
}

#[test]
fn completions_come_in_the_order_of_the_ring() {
    model(|| {
        let (mut submitter, executor) = page(2);
        push(&mut submitter, 0);
        push(&mut submitter, 1);
        submitter.publish();
        let order = Arc::new(Mutex::new(Vec::new()));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (executor, order) = (executor.clone(), order.clone());
                thread::spawn(move || {
                    let entry = executor.take().unwrap();
                    let (nr, ret) = (u32::from(entry.nr), result(entry.nr, entry.args));
                    // The completion and its note are one step.
                    let mut order = order.lock().unwrap();
                    executor.complete(entry, ret, 0);
                    order.push(nr);
                })
            })
            .collect();
        let mut tokens = reap(&mut submitter);
        for worker in workers {
            worker.join().unwrap();
        }
        tokens.extend(reap(&mut submitter));
        assert_eq!(tokens, *order.lock().unwrap());
    });
}

#[test]
fn sleeper_is_notified() {
    model(|| {
        let event = Arc::new(Event::new());
        let ready = Arc::new(AtomicBool::new(false));
        let sleeper = thread::spawn({
            let (event, ready) = (event.clone(), ready.clone());
            move || event.wait(|| ready.load(Ordering::Relaxed))
        });
        ready.store(true, Ordering::Relaxed);
        event.notify();
        sleeper.join().unwrap();
    });
}

#[test]
fn chain_is_taken_as_a_whole() {
    // Two workers; a chain that one of them has seen in part would be executed by both.
    model(|| {
        let (mut submitter, executor) = page(2);
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let executor = executor.clone();
                thread::spawn(move || {
                    if let Some(entry) = executor.take() {
                        complete_chain(&executor, entry);
                    }
                })
            })
            .collect();
        let linked = Terms {
            flags: sys::ENTRY_LINK,
            span: 0,
        };
        for (token, terms) in [(0, linked), (1, Terms::default())] {
            let args = [u64::from(token) + 1, 0, 0, 0, 0, 0];
            // SAFETY: The executors of these tests do not make the call.
            let index = unsafe { submitter.push_with(token as u16, &args, terms, token) };
            assert!(index.is_some());
        }
        submitter.publish();
        for worker in workers {
            worker.join().unwrap();
        }
        if let Some(entry) = executor.take() {
            complete_chain(&executor, entry);
        }
        assert_eq!(reap(&mut submitter), [0, 1], "in their order");
    });
}

/// Completes a chain that must be whole.
fn complete_chain(executor: &Executor, first: Taken) {
    let mut next = Some(Box::new(first));
    let mut count = 0;
    while let Some(mut entry) = next {
        next = entry.next.take();
        let ret = result(entry.nr, entry.args);
        executor.complete(*entry, ret, 0);
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn events_of_an_entry_that_goes_on_are_all_taken() {
    model(|| {
        let (mut submitter, executor) = page(1);
        let multi = Terms {
            flags: sys::ENTRY_MULTI,
            span: 0,
        };
        // SAFETY: As in `push`.
        assert!(unsafe { submitter.push_with(0, &[0; 6], multi, 7) }.is_some());
        submitter.publish();
        let entry = executor.take().unwrap();
        let worker = thread::spawn(move || {
            executor.ready(&entry, 1);
            executor.ready(&entry, 2);
            (executor, entry)
        });
        let mut events = 0;
        // What comes while it goes on, then the rest.
        events |= take_events(&mut submitter);
        let (executor, entry) = worker.join().unwrap();
        events |= take_events(&mut submitter);
        assert_eq!(events, 3, "no readiness is lost");
        assert_eq!(submitter.outstanding(), 1);
        executor.complete(entry, -9, 0);
        let end = submitter.reap().unwrap();
        assert_eq!((end.token, end.ret, end.more), (7, -9, false));
        assert_eq!(submitter.outstanding(), 0);
    });
}

fn take_events(submitter: &mut Submitter) -> i64 {
    let mut events = 0;
    while let Some(told) = submitter.reap() {
        assert!(told.more && told.token == 7);
        assert_ne!(told.ret, 0);
        events |= told.ret;
    }
    events
}

#[test]
fn entry_that_goes_on_ends_once() {
    // Its end comes while its last events are taken.
    model(|| {
        let (mut submitter, executor) = page(1);
        let multi = Terms {
            flags: sys::ENTRY_MULTI,
            span: 0,
        };
        // SAFETY: As in `push`.
        assert!(unsafe { submitter.push_with(0, &[0; 6], multi, 7) }.is_some());
        submitter.publish();
        let entry = executor.take().unwrap();
        let worker = thread::spawn(move || {
            executor.ready(&entry, 1);
            executor.complete(entry, -9, 0);
        });
        let mut told = Vec::new();
        while let Some(done) = submitter.reap() {
            told.push(done);
        }
        worker.join().unwrap();
        while let Some(done) = submitter.reap() {
            told.push(done);
        }
        let end = told.pop().unwrap();
        assert_eq!((end.ret, end.more), (-9, false));
        assert!(told.len() <= 1 && told.iter().all(|done| done.more && done.ret == 1));
        assert_eq!(submitter.outstanding(), 0);
    });
}

#[test]
fn cancelled_entry_ends_once() {
    // The worker begins the entry, finds nothing to do and parks it, as a pool does.
    model(|| {
        let (mut submitter, executor) = page(1);
        let parking = Arc::new(Parking::new(1));
        // SAFETY: As in `push`.
        let index = unsafe { submitter.push_with(0, &[0; 6], Terms::default(), 7) }.unwrap();
        parking.reset(index);
        submitter.publish();
        let begun = Arc::new(AtomicBool::new(false));
        let worker = thread::spawn({
            let (executor, parking, begun) = (executor.clone(), parking.clone(), begun.clone());
            move || {
                let Some(entry) = executor.take() else {
                    return;
                };
                if !parking.begin(index) {
                    return executor.complete(entry, -1, 0);
                }
                begun.store(true, Ordering::Relaxed);
                if let Err(entry) = parking.park(index, entry) {
                    executor.complete(entry, -2, 0);
                }
            }
        });
        let unbegun = parking.cancel(index);
        match parking.unpark(index) {
            Some(entry) => executor.complete(entry, -3, 0),
            // If nobody has it, it is in the ring.
            None => {
                if let Some(entry) = executor.take() {
                    assert!(!parking.begin(index));
                    executor.complete(entry, -4, 0);
                }
            }
        }
        worker.join().unwrap();
        let done = submitter.reap().expect("it has ended");
        assert!(done.ret < 0 && submitter.reap().is_none());
        assert_eq!(unbegun, !begun.load(Ordering::Relaxed));
        assert!(parking.unpark(index).is_none());
    });
}
