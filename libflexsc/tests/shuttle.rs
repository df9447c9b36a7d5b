// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page protocol under schedules by chance, with more threads and entries than the model checker
//! of `loom.rs` can go through:
//!
//! ```text
//! RUSTFLAGS="--cfg loom --cfg shuttle" cargo test -p libflexsc --release --test shuttle
//! ```
//!
//! Memory is sequentially consistent here, so barriers are loom's business. The schedules are the same
//! in each run; `FLEXSC_SCHEDULES` says how many of each kind to try, and `SHUTTLE_RANDOM_SEED` where
//! chance begins. With a mutant of the protocol the tests named here must fail, with
//! `FLEXSC_MUTANT=NAME` before that:
//!
//! | mutant | test |
//! |---|---|
//! | `no_last_look`: who stops polling does not look at the ring again | `no_entry_is_left_behind_by_sleepers` |
//! | `no_lock`: a notification does not wait for who is about to sleep | `no_entry_is_left_behind_by_sleepers` |
//! | `split_chain`: chains are published piece by piece | `chains_of_all_lengths_stay_whole` |
//! | `no_exchange`: events are taken in two steps | `events_of_many_entries_are_all_taken` |
//! | `park_cancelled`: cancelled entries are parked | `entries_end_once_whoever_ends_them` |
#![cfg(all(loom, shuttle))]

use std::sync::Arc;

use libflexsc::{
    page::{Event, Executor, Parking, Region, Submitter, Taken, Terms},
    sys,
};
use shuttle::{
    Config, Runner,
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler},
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    thread,
};

const ENTRIES: u32 = 8;

/// Schedules of both kinds: each step by chance; and with few changes of who runs, at any place.
fn schedules(test: impl Fn() + Clone + Sync + Send + 'static) {
    let count = std::env::var("FLEXSC_SCHEDULES").map_or(400, |count| count.parse().unwrap());
    let seed = 0x_f1e2_5c00;
    Runner::new(RandomScheduler::new_from_seed(seed, count), Config::new()).run(test.clone());
    Runner::new(PctScheduler::new_from_seed(seed, 3, count), Config::new()).run(test);
}

fn page(entries: u32) -> (Submitter, Executor) {
    let region = Region::new(entries).unwrap();
    (Submitter::new(region.clone()), Executor::new(region))
}

/// Pushes an entry whose call would return twice its token.
fn push(submitter: &mut Submitter, token: u32, flags: u16) -> Option<u32> {
    let args = [u64::from(token) * 2, 0, 0, 0, 0, 0];
    // SAFETY: The executors of these tests do not make the call.
    unsafe { submitter.push_with(token as u16, &args, Terms { flags, span: 0 }, token) }
}

/// Executors that sleep as those of a pool do, and whom the submitter wakes.
#[derive(Default)]
struct Pool {
    idle: Mutex<Idle>,
    wake: Condvar,
    done: Event,
}

#[derive(Default)]
struct Idle {
    sleeping: u32,
    woken: u32,
    stop: bool,
}

impl Pool {
    fn kick(&self) {
        let mut idle = self.idle.lock().unwrap();
        if idle.sleeping > idle.woken {
            idle.woken += 1;
            self.wake.notify_one();
        }
    }

    fn stop(&self) {
        self.idle.lock().unwrap().stop = true;
        self.wake.notify_all();
    }

    fn work(&self, executor: &Executor, execute: impl Fn(Taken)) {
        loop {
            executor.begin_poll();
            while let Some(entry) = executor.take() {
                if executor.end_poll() {
                    self.kick();
                }
                execute(entry);
                executor.begin_poll();
            }
            let mut idle = self.idle.lock().unwrap();
            idle.sleeping += 1;
            if !executor.end_poll() {
                while idle.woken == 0 && !idle.stop {
                    idle = self.wake.wait(idle).unwrap();
                }
                idle.woken = idle.woken.saturating_sub(1);
            }
            idle.sleeping -= 1;
            if idle.stop {
                return;
            }
        }
    }
}

#[test]
fn no_entry_is_left_behind_by_sleepers() {
    const POSTS: u32 = 30;
    schedules(|| {
        let (mut submitter, executor) = page(ENTRIES);
        let pool = Arc::new(Pool::default());
        let executed = Arc::new(AtomicU32::new(0));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (pool, executor) = (pool.clone(), executor.clone());
                let executed = executed.clone();
                thread::spawn(move || {
                    pool.work(&executor, |entry| {
                        executed.fetch_add(1, Ordering::Relaxed);
                        let ret = entry.args[0] as i64;
                        executor.complete(entry, ret, 0);
                        pool.done.notify();
                    });
                })
            })
            .collect();
        let (mut posted, mut seen) = (0, vec![false; POSTS as usize]);
        while seen.contains(&false) {
            // As many as there is room for, or fewer.
            let burst = thread_rng().gen_range(1..=ENTRIES);
            for _ in 0..burst {
                if posted == POSTS || push(&mut submitter, posted, 0).is_none() {
                    break;
                }
                posted += 1;
            }
            submitter.publish();
            if submitter.need_wakeup() {
                pool.kick();
            }
            // Sleeps for ever if nobody has been woken.
            pool.done.wait(|| submitter.completions() > 0);
            while let Some(done) = submitter.reap() {
                assert_eq!(done.ret, i64::from(done.token) * 2);
                assert!(!std::mem::replace(&mut seen[done.token as usize], true));
            }
        }
        pool.stop();
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(executed.load(Ordering::Relaxed), POSTS);
        assert_eq!(submitter.outstanding(), 0);
    });
}

#[test]
fn chains_of_all_lengths_stay_whole() {
    const POSTS: u32 = 24;
    schedules(|| {
        let (mut submitter, executor) = page(ENTRIES);
        let stop = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (executor, stop) = (executor.clone(), stop.clone());
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let mut next = executor.take().map(Box::new);
                        if next.is_none() {
                            thread::yield_now();
                        }
                        while let Some(mut entry) = next {
                            next = entry.next.take();
                            let linked = entry.flags & sys::ENTRY_LINK != 0;
                            assert_eq!(linked, next.is_some(), "a chain was taken in parts");
                            let ret = entry.args[0] as i64;
                            executor.complete(*entry, ret, 0);
                        }
                    }
                })
            })
            .collect();
        let (mut posted, mut reaped) = (0, 0);
        let mut last_of_chain = vec![0; POSTS as usize];
        let mut order = vec![0; POSTS as usize];
        while reaped < POSTS {
            let length = thread_rng().gen_range(1..=5).min(POSTS - posted);
            if length > 0 && submitter.free() >= length as usize {
                for i in 0..length {
                    let flags = if i + 1 < length { sys::ENTRY_LINK } else { 0 };
                    last_of_chain[posted as usize] = posted + length - 1 - i;
                    assert!(push(&mut submitter, posted, flags).is_some());
                    posted += 1;
                }
                submitter.publish();
            }
            match submitter.reap() {
                Some(done) => {
                    order[done.token as usize] = reaped;
                    reaped += 1;
                }
                None => thread::yield_now(),
            }
        }
        for (token, &last) in last_of_chain.iter().enumerate() {
            let chain = &order[token..=last as usize];
            assert!(chain.is_sorted(), "a chain was completed out of order");
        }
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn events_of_many_entries_are_all_taken() {
    schedules(|| {
        let (mut submitter, executor) = page(4);
        for token in 0..4 {
            assert!(push(&mut submitter, token, sys::ENTRY_MULTI).is_some());
        }
        submitter.publish();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let executor = executor.clone();
                thread::spawn(move || {
                    let entry = executor.take().expect("there is one for each");
                    let count = thread_rng().gen_range(1..=6);
                    for bit in 0..count {
                        executor.ready(&entry, 1 << bit);
                    }
                    let token = entry.args[0] / 2;
                    // It ends while its last events are there, or after they were taken.
                    let end = (token % 2 == 1).then(|| executor.complete(entry, -9, 0));
                    (token as usize, (1_i64 << count) - 1, end.is_some())
                })
            })
            .collect();
        let mut told = [0; 4];
        let mut ended = [false; 4];
        let mut look = |submitter: &mut Submitter| {
            while let Some(done) = submitter.reap() {
                let token = done.token as usize;
                assert!(!ended[token], "nothing comes after the end");
                assert_ne!(done.ret, 0);
                if done.more {
                    assert_eq!(told[token] & done.ret, 0, "told twice");
                    told[token] |= done.ret;
                } else {
                    ended[token] = true;
                }
            }
        };
        for _ in 0..10 {
            look(&mut submitter);
            thread::yield_now();
        }
        let workers = workers.into_iter().map(|worker| worker.join().unwrap());
        let workers: Vec<_> = workers.collect();
        look(&mut submitter);
        for (token, all, end) in workers {
            assert_eq!(ended[token], end);
            // The end may stand in the place of the last ones.
            assert!(end || told[token] == all, "events are lost");
        }
    });
}

#[test]
fn entries_end_once_whoever_ends_them() {
    const POSTS: u32 = 12;
    schedules(|| {
        let (mut submitter, executor) = page(4);
        let parking = Arc::new(Parking::new(4));
        let left = Arc::new(AtomicUsize::new(POSTS as usize));
        // Of each token whether it was cancelled, and not found waiting: it may not wait any more.
        let cancelled: Arc<[AtomicBool; POSTS as usize]> = Arc::default();
        // They begin entries, park them, and now and then go on with what is parked.
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let (executor, parking) = (executor.clone(), parking.clone());
                let (left, cancelled) = (left.clone(), cancelled.clone());
                thread::spawn(move || {
                    while left.load(Ordering::Relaxed) > 0 {
                        if let Some(entry) = executor.take() {
                            let index = entry.index();
                            if !parking.begin(index) {
                                executor.complete(entry, -1, 0);
                            } else if let Err(entry) = parking.park(index, entry) {
                                executor.complete(entry, -2, 0);
                            }
                            continue;
                        }
                        let parked = parking.look(|parked| {
                            let (_, entry) = parked.pop_last()?;
                            let cancelled = &cancelled[usize::from(entry.nr)];
                            assert!(!cancelled.load(Ordering::Relaxed), "it waits, cancelled");
                            Some(entry)
                        });
                        match parked {
                            Some(entry) => executor.complete(entry, 3, 0),
                            None => thread::yield_now(),
                        }
                    }
                })
            })
            .collect();
        let mut posted = 0;
        let mut places = [None; POSTS as usize];
        while left.load(Ordering::Relaxed) > 0 {
            if posted < POSTS {
                if let Some(index) = push(&mut submitter, posted, 0) {
                    parking.reset(index);
                    places[posted as usize] = Some(index);
                    posted += 1;
                    submitter.publish();
                }
            }
            let token = thread_rng().gen_range(0..POSTS as usize);
            if let Some(index) = places[token].filter(|_| thread_rng().gen_range(0..3) == 0) {
                let unbegun = parking.cancel(index);
                match parking.unpark(index) {
                    Some(entry) => {
                        assert!(!unbegun, "what waits was begun");
                        executor.complete(entry, -4, 0);
                    }
                    None => cancelled[token].store(true, Ordering::Relaxed),
                }
            }
            match submitter.reap() {
                Some(done) => {
                    let place = places[done.token as usize].take();
                    let index = place.expect("it ends once");
                    assert!(parking.unpark(index).is_none(), "it is over, and waits");
                    left.fetch_sub(1, Ordering::Relaxed);
                }
                None => thread::yield_now(),
            }
        }
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(submitter.outstanding(), 0);
    });
}
