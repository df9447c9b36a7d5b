// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries that go on (`MULTI`), in any order of telling, taking and ending, between entries that
//! somebody scribbles on: no event is lost, none is told twice, and each entry ends once.
#![no_main]

use std::collections::BTreeMap;

use libflexsc::{
    page::{Place, Taken},
    sys,
};
use libflexsc_fuzz::{Input, page, push, target};

target!(
    OUTCOMES = [
        "events told",
        "several events told as one",
        "events that were there already",
        "ended with nothing to tell",
        "ended with events that nobody took",
        "an entry used again",
    ],
    run
);

/// The events that were not told, and how it ended.
#[derive(Default)]
struct Model {
    waiting: u16,
    times: u32,
    end: Option<i64>,
}

fn run(data: &[u8]) {
    let mut input = Input(data);
    let (region, mut submitter, executor) = page();
    let mut models: BTreeMap<u32, Model> = BTreeMap::new();
    let mut held: Vec<Taken> = Vec::new();
    // Posted at the very beginning, and never taken: to be scribbled on.
    let victim = {
        push(&mut submitter, 0, 0);
        submitter.publish();
        let taken = executor.take().expect("it was published");
        taken.index()
    };
    let (mut next, mut ended) = (1, 0);
    while let Some(step) = input.next() {
        let which = usize::from(step >> 3);
        match step % 8 {
            0 => {
                if push(&mut submitter, next, sys::ENTRY_MULTI) {
                    // The entry that was freed last is filled in first.
                    if ended > 0 {
                        OUTCOMES.reached("an entry used again");
                    }
                    models.insert(next, Model::default());
                    submitter.publish();
                    held.extend(executor.take());
                    next += 1;
                }
            }
            1..=3 if !held.is_empty() => {
                let entry = &held[which % held.len()];
                let events = 1 << (input.next().unwrap_or(0) % 15);
                let model = models.get_mut(&(entry.args[0] as u32)).expect("it goes on");
                if model.waiting & events != 0 {
                    OUTCOMES.reached("events that were there already");
                }
                model.waiting |= events;
                model.times += 1;
                executor.ready(entry, events);
            }
            4 if !held.is_empty() => {
                let entry = held.swap_remove(which % held.len());
                let model = models.get_mut(&(entry.args[0] as u32)).expect("it goes on");
                let ret = -1 - i64::from(step);
                OUTCOMES.reached(match model.waiting {
                    0 => "ended with nothing to tell",
                    _ => "ended with events that nobody took",
                });
                model.end = Some(ret);
                executor.complete(entry, ret, 0);
            }
            5 => {
                let place = match which % 3 {
                    0 => Place::Status(victim),
                    1 => Place::Ret(victim),
                    _ => Place::Flags(victim),
                };
                let value = input.number();
                region.scribble(place, value);
            }
            _ => {
                while let Some(done) = submitter.reap() {
                    let model = models.get_mut(&done.token).expect("it goes on");
                    if !done.more {
                        assert_eq!(model.end, Some(done.ret));
                        models.remove(&done.token);
                        ended += 1;
                        continue;
                    }
                    assert_eq!(model.end, None);
                    assert_eq!(done.ret, i64::from(model.waiting));
                    OUTCOMES.reached(match model.times {
                        1 => "events told",
                        _ => "several events told as one",
                    });
                    (model.waiting, model.times) = (0, 0);
                }
                let left = |model: &Model| model.waiting != 0 || model.end.is_some();
                assert!(!models.values().any(left), "something was not told");
            }
        }
    }
}
