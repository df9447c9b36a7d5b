// SPDX-License-Identifier: MIT OR Apache-2.0
//! The submitter's side, when who executes writes anything anywhere: what completes was posted and
//! completes once, nothing panics, and reaping comes to an end.
#![no_main]

use std::collections::BTreeMap;

use libflexsc::{page::Submitter, sys};
use libflexsc_fuzz::{ENTRIES, Input, page, push, target};

target!(
    OUTCOMES = [
        "completed",
        "completed, and nobody has executed it",
        "told of events",
        "an end of what goes on",
        "the page was full",
        "nothing of what the ring holds was posted",
        "a tail farther than the ring",
    ],
    run
);

fn run(data: &[u8]) {
    let mut input = Input(data);
    let (region, mut submitter, executor) = page();
    // What was posted, and whether it goes on and was executed.
    let mut posted: BTreeMap<u32, (bool, bool)> = BTreeMap::new();
    let mut held = Vec::new();
    let mut next = 0;
    while let Some(step) = input.next() {
        match step % 8 {
            0 | 1 => {
                let multi = step & 8 != 0;
                let flags = if multi { sys::ENTRY_MULTI } else { 0 };
                // Some at a time.
                for _ in 0..=step >> 4 {
                    if push(&mut submitter, next, flags) {
                        posted.insert(next, (multi, false));
                        next += 1;
                    } else {
                        OUTCOMES.reached("the page was full");
                    }
                }
            }
            2 => submitter.publish(),
            3 => held.extend(executor.take()),
            4 => {
                if let Some(entry) = held.pop() {
                    if step & 8 != 0 {
                        executor.ready(&entry, u16::from(step >> 4) + 1);
                        held.push(entry);
                    } else {
                        let token = entry.args[0] as u32;
                        if let Some(known) = posted.get_mut(&token) {
                            known.1 = true;
                        }
                        executor.complete(entry, i64::from(step) - 128, 0);
                    }
                }
            }
            5 | 6 => {
                let place = input.place_of_executor();
                let value = input.value(place);
                region.scribble(place, value);
            }
            _ => reap_all(&mut submitter, &mut posted),
        }
        assert_eq!(submitter.outstanding(), posted.len());
        assert_eq!(submitter.free() + posted.len(), ENTRIES as usize);
    }
    reap_all(&mut submitter, &mut posted);
}

fn reap_all(submitter: &mut Submitter, posted: &mut BTreeMap<u32, (bool, bool)>) {
    let ready = submitter.completions();
    if ready > ENTRIES {
        OUTCOMES.reached("a tail farther than the ring");
    }
    let mut count = 0;
    while let Some(done) = submitter.reap() {
        count += 1;
        assert!(count <= ENTRIES, "one slot gives one completion");
        let &(multi, executed) = posted.get(&done.token).expect("it was posted");
        if done.more {
            assert!(multi && done.ret > 0);
            OUTCOMES.reached("told of events");
            continue;
        }
        posted.remove(&done.token);
        OUTCOMES.reached(match (multi, executed) {
            (true, _) => "an end of what goes on",
            (false, true) => "completed",
            (false, false) => "completed, and nobody has executed it",
        });
    }
    if ready > 0 && count == 0 {
        OUTCOMES.reached("nothing of what the ring holds was posted");
    }
    assert_eq!(submitter.completions(), 0);
}
