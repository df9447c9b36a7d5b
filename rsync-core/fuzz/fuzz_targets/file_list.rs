// SPDX-License-Identifier: MIT OR Apache-2.0
//! File-list records: any bytes are a list or are refused with a reason; a list is the same when it was written and read again,
//! and takes no more memory than its bytes account for.
#![no_main]

use libflexsc_fuzz::{Input, target};
use rsync_core::list::{Attributes, DirList, Entry, Kind, RecordError};

target!(
    OUTCOMES = [
        "no entries",
        "one entry",
        "more entries",
        "a name that goes on from the one before",
        "a symbolic link's target",
        "a directory's list",
        "a device's number",
        "they end within a record",
        "unknown flags",
        "too large a number",
        "a name that goes on from more than there is",
        "too long a name",
        "written and read",
    ],
    run
);

/// The fewest bytes of a record: flags, two lengths of the name, size, nanoseconds, inode number.
const FEWEST: usize = 6;

fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.next().unwrap_or(0) % 4 {
        0 => written(input),
        _ => read(input.0),
    }
}

fn read(records: &[u8]) {
    let list = match DirList::from_records(records) {
        Ok(list) => list,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return OUTCOMES.reached(match error {
                RecordError::Cut => "they end within a record",
                RecordError::Flags(_) => "unknown flags",
                RecordError::Number => "too large a number",
                RecordError::Prefix => "a name that goes on from more than there is",
                RecordError::Length => "too long a name",
                error => panic!("of so few bytes: {error}"),
            });
        }
    };
    assert!(list.entries().len() * FEWEST <= records.len());
    OUTCOMES.reached(match list.entries().len() {
        0 => "no entries",
        1 => "one entry",
        _ => "more entries",
    });
    let names = list.entries().iter().map(|entry| list.name(entry).len());
    assert!(names.sum::<usize>() <= records.len() + 255 * list.entries().len());
    again(&list);
}

/// What a list comes to when it is written and read.
fn again(list: &DirList) {
    let records = list.to_records();
    let again = match DirList::from_records(&records) {
        Ok(again) => again,
        Err(error) => panic!("of what was written: {error}"),
    };
    assert_eq!(again.entries().len(), list.entries().len());
    for (one, other) in list.entries().iter().zip(again.entries()) {
        assert_eq!(list.name(one), again.name(other));
        assert_eq!(list.target(one), again.target(other));
        assert_eq!((one.part, one.dir), (other.part, other.dir));
        assert_eq!(one.attributes, other.attributes);
    }
    for entry in list.entries() {
        if !list.target(entry).is_empty() {
            OUTCOMES.reached("a symbolic link's target");
        }
        if entry.dir != 0 {
            OUTCOMES.reached("a directory's list");
        }
        if entry.attributes.rdev != 0 {
            OUTCOMES.reached("a device's number");
        }
    }
    for pair in list.entries().windows(2) {
        let first = |entry: &Entry| list.name(entry).first().copied();
        if first(&pair[0]).is_some() && first(&pair[0]) == first(&pair[1]) {
            OUTCOMES.reached("a name that goes on from the one before");
        }
    }
    // This is also about what only the engine sees of an entry.
    assert_eq!(again.to_records(), records);
}

/// A list of any entries.
fn written(mut input: Input<'_>) {
    const KINDS: [Kind; 8] = [
        Kind::Regular,
        Kind::Directory,
        Kind::Symlink,
        Kind::CharDevice,
        Kind::BlockDevice,
        Kind::Fifo,
        Kind::Socket,
        Kind::Other,
    ];
    let mut list = DirList::new();
    while let Some(kind) = input.next() {
        let attributes = Attributes {
            kind: KINDS[usize::from(kind) % KINDS.len()],
            mode: input.number() as u32,
            uid: input.number() as u32,
            gid: input.number() as u32,
            size: input.number(),
            mtime: (input.number() as i64, input.number() as u32),
            atime: input.number() as i64,
            links: input.number() as u32,
            inode: (input.number(), input.number()),
            rdev: input.number(),
        };
        let mut bytes = || {
            let length = usize::from(input.next().unwrap_or(0)).min(input.0.len());
            let (bytes, rest) = input.0.split_at(length);
            input.0 = rest;
            bytes
        };
        let (name, target) = (bytes(), bytes());
        list.push(name, attributes, input.number() as u32, target);
        list.set_dir(list.entries().len() - 1, input.number() as u32);
    }
    again(&list);
    OUTCOMES.reached("written and read");
}
