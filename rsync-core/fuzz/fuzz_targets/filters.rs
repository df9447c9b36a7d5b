// SPDX-License-Identifier: MIT OR Apache-2.0
//! Filter rules and patterns: any bytes are rules or are refused with a reason, and a pattern matches what a plain reading
//! of its stars and question marks does.
#![no_main]

use libflexsc_fuzz::{Input, target};
use rsync_core::filter::{Filters, Pattern, Reason};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

target!(
    OUTCOMES = [
        "a rule",
        "no rule's name",
        "a wrong modifier",
        "nothing to match",
        "something behind a rule",
        "a name of a file of rules with a directory",
        "a pattern that matches",
        "a pattern that does not",
    ],
    run
);

fn run(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.next().unwrap_or(0);
    if choice % 2 == 0 {
        return pattern(input);
    }
    let mut filters = Filters::new();
    for line in input.0.split(|&byte| byte == b'\n') {
        let line = OsStr::from_bytes(line);
        let added = match choice % 8 {
            1 => filters.exclude(line),
            3 => filters.include(line),
            _ => filters.rule(line),
        };
        match added.map(drop).map_err(|error| {
            assert!(!error.to_string().is_empty());
            error.reason
        }) {
            Ok(()) => OUTCOMES.reached("a rule"),
            Err(Reason::Unknown) => OUTCOMES.reached("no rule's name"),
            Err(Reason::Modifier(_)) => OUTCOMES.reached("a wrong modifier"),
            Err(Reason::NoArgument) => OUTCOMES.reached("nothing to match"),
            Err(Reason::Trailing) => OUTCOMES.reached("something behind a rule"),
            Err(Reason::MergeName) => {
                OUTCOMES.reached("a name of a file of rules with a directory")
            }
            Err(reason) => panic!("of a single rule: {reason}"),
        }
    }
}

/// A pattern of a few letters, anchored, so that all of the path has to match.
fn pattern(mut input: Input<'_>) {
    let count = usize::from(input.next().unwrap_or(0) % 24);
    let (pattern, path) = input.0.split_at(input.0.len().min(count));
    let letters = |bytes: &[u8], letters: &[u8]| -> Vec<u8> {
        let bytes = bytes
            .iter()
            .map(|&byte| letters[usize::from(byte) % letters.len()]);
        bytes.collect()
    };
    let pattern = letters(pattern, b"aab/*?");
    let path = letters(&path[..path.len().min(24)], b"aab/");
    // Slashes at the ends mean something else, and more than two stars may.
    let trimmed = |bytes: &[u8]| bytes.first() == Some(&b'/') || bytes.last() == Some(&b'/');
    if trimmed(&pattern)
        || trimmed(&path)
        || path.is_empty()
        || pattern.windows(3).any(|three| three == b"***")
    {
        return;
    }
    let anchored = [b"/", &pattern[..]].concat();
    let Some(read) = Pattern::new(&anchored) else {
        panic!("it is not empty");
    };
    let expected = plain(&pattern, &path);
    assert_eq!(
        read.matches(&path, false),
        expected,
        "{} {}",
        anchored.escape_ascii(),
        path.escape_ascii()
    );
    OUTCOMES.reached(if expected {
        "a pattern that matches"
    } else {
        "a pattern that does not"
    });
}

/// Position by position: which ends of the path can be left for each end of the pattern.
fn plain(pattern: &[u8], path: &[u8]) -> bool {
    let mut ends = vec![false; path.len() + 1];
    ends[0] = true;
    let mut rest = pattern;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let double = first == b'*' && rest.first() == Some(&b'*');
        if double {
            rest = &rest[1..];
        }
        let mut next = vec![false; path.len() + 1];
        for at in 0..=path.len() {
            let stays = |next: &[bool]| at > 0 && next[at - 1] && (double || path[at - 1] != b'/');
            next[at] = match first {
                b'*' => ends[at] || stays(&next),
                b'?' => at > 0 && ends[at - 1] && path[at - 1] != b'/',
                byte => at > 0 && ends[at - 1] && path[at - 1] == byte,
            };
        }
        ends = next;
    }
    ends[path.len()]
}
