// SPDX-License-Identifier: MIT OR Apache-2.0
//! The executor's side in user space, when who submits writes anything anywhere: what is taken is an
//! entry of the page, at most as many as it has, and completing it does no harm.
#![no_main]

use libflexsc::{
    page::{Counter, Executor, Place, Taken},
    sys,
};
use libflexsc_fuzz::{ENTRIES, Input, page, push, target};

target!(
    OUTCOMES = [
        "taken",
        "taken with others of a chain",
        "rejected",
        "a tail farther than the ring",
        "nothing to take",
        "the same entry at work twice",
        "completed",
        "told of events",
    ],
    run
);

fn run(data: &[u8]) {
    let mut input = Input(data);
    let (region, mut submitter, executor) = page();
    let mut held: Vec<Taken> = Vec::new();
    let mut next = 0;
    while let Some(step) = input.next() {
        match step % 8 {
            // Entries that were filled in for once, with flags by chance.
            0 if step & 128 == 0 => {
                let flags = u16::from(input.next().unwrap_or(0));
                push(&mut submitter, next, flags);
                next = (next + 1) % 1000;
            }
            // An entry that is at work, posted again.
            0 => {
                if let Some(entry) = held.last() {
                    region.scribble(Place::Status(entry.index()), sys::SUBMITTED.into());
                    region.scribble(Place::SubSlot(input.number() as u32), entry.index().into());
                }
            }
            1 => submitter.publish(),
            2..=4 => {
                let place = input.place_of_submitter();
                let value = input.value(place);
                region.scribble(place, value);
            }
            5 => take_all(&executor, &mut held),
            6 => {
                if let Some(entry) = held.pop() {
                    executor.complete(entry, i64::from(step), 0);
                    OUTCOMES.reached("completed");
                }
            }
            _ => {
                if let Some(entry) = held.last() {
                    executor.ready(entry, step.into());
                    OUTCOMES.reached("told of events");
                }
            }
        }
        // What the submitter's side makes of it is another target's business; here it must only end.
        let _ = submitter.reap();
    }
    assert!(region.features() != 0);
}

fn take_all(executor: &Executor, held: &mut Vec<Taken>) {
    let rejected = executor.region().counter(Counter::Rejected);
    let mut count = 0;
    while let Some(first) = executor.take() {
        OUTCOMES.reached("taken");
        let mut next = Some(first);
        let mut length = 0;
        while let Some(mut entry) = next {
            next = entry.next.take().map(|entry| *entry);
            length += 1;
            assert!(entry.index() < ENTRIES);
            if held.iter().any(|other| other.index() == entry.index()) {
                OUTCOMES.reached("the same entry at work twice");
            }
            held.push(entry);
        }
        if length > 1 {
            OUTCOMES.reached("taken with others of a chain");
        }
        count += length;
        assert!(count <= ENTRIES, "one slot gives one entry");
    }
    if count == 0 {
        OUTCOMES.reached("nothing to take");
    }
    if !executor.is_empty() {
        OUTCOMES.reached("a tail farther than the ring");
    }
    if executor.region().counter(Counter::Rejected) > rejected {
        OUTCOMES.reached("rejected");
    }
}
