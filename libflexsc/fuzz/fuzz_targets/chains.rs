// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chains, of which somebody changes the links between publishing and taking: each entry is taken once,
//! whatever it is taken with, and the page is whole again when all are complete.
#![no_main]

use libflexsc::{
    page::{Place, Taken},
    sys,
};
use libflexsc_fuzz::{ENTRIES, Input, page, push, target};

target!(
    OUTCOMES = [
        "a chain as it was posted",
        "a chain that was cut",
        "chains that were joined",
        "a chain whose end was not posted",
        "a chain as long as the page",
        "the page was full",
    ],
    run
);

fn run(data: &[u8]) {
    let mut input = Input(data);
    let (region, mut submitter, executor) = page();
    // By token: the number of its chain, and the length of that.
    let mut posted: Vec<(u32, u32)> = Vec::new();
    let mut chain = 0;
    let (mut taken, mut reaped) = (0, 0);
    while let Some(step) = input.next() {
        match step % 4 {
            0 => {
                let length = match input.next().unwrap_or(0) {
                    long @ 250.. => ENTRIES - u32::from(long - 250) / 2,
                    short => 1 + u32::from(short % 9),
                };
                if submitter.free() < length as usize {
                    OUTCOMES.reached("the page was full");
                    continue;
                }
                let open = step >= 240;
                if open {
                    OUTCOMES.reached("a chain whose end was not posted");
                }
                for i in 0..length {
                    let linked = open || i + 1 < length;
                    let flags = if linked { sys::ENTRY_LINK } else { 0 };
                    assert!(push(&mut submitter, posted.len() as u32, flags));
                    posted.push((chain, length));
                }
                submitter.publish();
                chain += 1;
            }
            1 if step >= 128 => {
                let index = u32::from(input.next().unwrap_or(0)) % ENTRIES;
                let flags = if step & 8 != 0 { sys::ENTRY_LINK } else { 0 };
                region.scribble(Place::Flags(index), flags.into());
            }
            _ => {
                if let Some(first) = executor.take() {
                    let mut next = Some(Box::new(first));
                    let mut tokens = Vec::new();
                    while let Some(mut entry) = next {
                        next = entry.next.take();
                        tokens.push(entry.args[0] as u32);
                        complete(&executor, *entry);
                    }
                    let first = tokens[0];
                    let expected: Vec<_> = (first..first + tokens.len() as u32).collect();
                    assert_eq!(
                        (first, &tokens),
                        (taken, &expected),
                        "in the order of the ring"
                    );
                    taken += tokens.len() as u32;
                    judge(&tokens, &posted);
                }
                while let Some(done) = submitter.reap() {
                    assert_eq!(done.token, reaped, "in the order of the ring");
                    reaped += 1;
                }
                assert_eq!(reaped, taken);
            }
        }
        assert_eq!(submitter.outstanding(), posted.len() - reaped as usize);
    }
}

fn complete(executor: &libflexsc::page::Executor, entry: Taken) {
    executor.complete(entry, 0, 0);
}

fn judge(tokens: &[u32], posted: &[(u32, u32)]) {
    let of = |token: u32| posted[token as usize];
    let (Some(&first), Some(&last)) = (tokens.first(), tokens.last()) else {
        return;
    };
    if of(first).0 != of(last).0 {
        OUTCOMES.reached("chains that were joined");
    } else if tokens.len() < of(first).1 as usize {
        OUTCOMES.reached("a chain that was cut");
    } else {
        OUTCOMES.reached("a chain as it was posted");
        if tokens.len() == ENTRIES as usize {
            OUTCOMES.reached("a chain as long as the page");
        }
    }
}
