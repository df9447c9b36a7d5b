// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that are written in their own places.

mod common;

use common::child::{NOBODY, Signal, as_nobody, end, signal, start};
use common::{
    BACKENDS, Random, Run, Scratch, Times, assert_same, change, copy, date, does_as_rsync,
    flexsync, grow, leftovers, rsync, same_lines, snapshot, whole_seconds,
};
use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

/// Files that grew, shrank, stayed or are new, and what is no file where one goes.
fn files(scratch: &Scratch) {
    let bytes = Random::new(2).bytes(40_000);
    for (name, length) in [
        ("grown", 40_000),
        ("sub/grown", 701),
        ("shrunk", 10),
        ("other", 50),
        ("empty", 0),
        ("same", 60),
        ("new", 5000),
        ("from empty", 3000),
        ("link", 20),
        ("directory", 20),
    ] {
        scratch.write(&format!("src/{name}"), &bytes[..length]);
    }
    for (name, contents) in [
        ("grown", &bytes[..10_000]),
        ("sub/grown", &bytes[..700]),
        ("shrunk", &bytes[..30]),
        ("other", &[1; 50]),
        ("empty", b"was not"),
        ("same", &bytes[..60]),
        ("from empty", b""),
    ] {
        scratch.write(&format!("dst/{name}"), contents);
    }
    symlink("grown", scratch.join("dst/link")).unwrap();
    fs::create_dir(scratch.join("dst/directory")).unwrap();
    fs::hard_link(scratch.join("dst/grown"), scratch.join("grown too")).unwrap();
    for (tree, time) in [("src", 1_000_000_000), ("dst", 1_100_000_000)] {
        common::date(&scratch.join(tree), time);
    }
}

#[test]
fn files_are_written_as_by_rsync() {
    const FORMS: [&[&str]; 19] = [
        &["--inplace"],
        &["--inplace", "--no-W"],
        &["--inplace", "--no-W", "-b"],
        &["--inplace", "--backup-dir=kept"],
        &["--inplace", "--no-p", "--no-t"],
        &["--inplace", "--partial", "--temp-dir=/tmp", "-n"],
        &["--inplace", "-u"],
        &["--append"],
        &["--append", "-n"],
        &["--append", "-c"],
        &["--append", "-I"],
        &["--append", "-b"],
        &["--append", "--size-only"],
        &["--append", "--inplace", "--no-W"],
        &["--append-verify"],
        &["--append-verify", "-u"],
        &["--append-verify", "-b", "--delete"],
        &["--append", "--existing"],
        &["--append", "--append-verify", "-c"],
    ];
    for form in FORMS {
        does_as_rsync(files, &[&["-ai"], form, &["src/", "dst"]].concat());
    }
}

#[test]
fn only_what_is_appended_is_sent() {
    let figures = |run: &Run| (run.figure("Literal data"), run.figure("Matched data"));
    for options in [
        &["--append"][..],
        &["--append-verify"],
        &["--inplace", "--no-W"],
    ] {
        let run = |program: &dyn Fn(&Scratch, &[&str]) -> Option<Run>| {
            let scratch = Scratch::new();
            files(&scratch);
            let arguments = [&["-a", "--stats"], options, &["src/", "dst"]].concat();
            program(&scratch, &arguments)
        };
        let Some(theirs) = run(&|scratch, arguments| rsync(scratch.path(), arguments)) else {
            return;
        };
        let mine = run(&|scratch, arguments| Some(flexsync(scratch.path(), "direct", arguments)));
        assert_eq!(figures(&mine.unwrap()), figures(&theirs), "{options:?}");
    }
}

#[test]
fn what_was_there_and_differs_is_noticed_by_verification_only() {
    for &backend in BACKENDS.iter() {
        for (option, whole) in [("--append", false), ("--append-verify", true)] {
            let scratch = Scratch::new();
            let source = scratch.write("src/file", "the beginning and the end");
            let copy = scratch.write("dst/file", "The Beginning");
            flexsync(scratch.path(), backend, &["-a", option, "src/", "dst"]).expect(0);
            let (source, copy) = (fs::read(source).unwrap(), fs::read(copy).unwrap());
            assert_eq!(copy == source, whole, "{backend} {option}");
            assert!(copy.ends_with(b" and the end"), "{backend} {option}");
        }
    }
}

#[test]
fn random_trees_become_what_rsync_makes_of_them() {
    const FORMS: [&[&str]; 5] = [
        &["--inplace", "--delete"],
        &["--inplace", "--no-W", "--delete"],
        &["--inplace", "--no-W", "-B", "700", "-b"],
        &["--append", "--delete"],
        &["--inplace", "--no-W", "-c"],
    ];
    for (index, form) in FORMS.iter().enumerate() {
        for round in 0..2 {
            let backend = BACKENDS[(index + round) % BACKENDS.len()];
            let seed = 8000 + 10 * index as u64 + round as u64;
            let (scratch, mut random) = (Scratch::new(), Random::new(seed));
            grow(&scratch.join("src"), &mut random, 60);
            // A backup of one of those has too long a name.
            for path in common::paths(&scratch.join("src")) {
                if path.file_name().is_some_and(|name| name.len() > 200) {
                    let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
                }
            }
            whole_seconds(&scratch.join("src"));
            for side in ["mine", "theirs"] {
                fs::create_dir(scratch.join(side)).unwrap();
            }
            copy(&scratch.join("src"), &scratch.join("mine/dst"));
            change(&scratch.join("mine/dst"), &mut random);
            whole_seconds(&scratch.join("mine/dst"));
            copy(&scratch.join("mine/dst"), &scratch.join("theirs/dst"));
            let arguments = [&["-ai"], *form, &["../src/", "dst"]].concat();
            let Some(theirs) = rsync(&scratch.join("theirs"), &arguments) else {
                return;
            };
            let mine = flexsync(&scratch.join("mine"), backend, &arguments);
            let what = format!("{backend}, seed {seed}, {form:?}");
            same_lines(&mine, &theirs, &what);
            let seen = |side: &str| snapshot(&scratch.join(side), Times::Ignore);
            assert_same(&seen("mine"), &seen("theirs"), &what);
        }
    }
}

#[test]
fn blocks_that_stay_are_not_written() {
    let scratch = Scratch::new();
    // Where nothing is written, nothing is allocated.
    let file = fs::File::create(scratch.write("dst/file", "")).unwrap();
    file.set_len(2 << 20).unwrap();
    let mut bytes = vec![0; 2 << 20];
    // The last byte of a block, so that none moves.
    bytes[1448 * 484 - 1] = 1;
    scratch.write("src/file", &bytes);
    let before = file.metadata().unwrap().blocks();
    let arguments = ["-aI", "--inplace", "--no-W", "src/", "dst"];
    flexsync(scratch.path(), "direct", &arguments).expect(0);
    let after = file.metadata().unwrap().blocks();
    assert_eq!(fs::read(scratch.join("dst/file")).unwrap(), bytes);
    assert!(after <= before + 64, "{before} blocks, then {after}");
}

#[test]
fn a_file_that_was_right_already_gets_the_time_of_the_transfer() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        scratch.write("src/file", "contents");
        let file = scratch.write("dst/file", "contents");
        date(scratch.path(), 1_000_000_000);
        date(&scratch.join("src"), 1_100_000_000);
        let arguments = ["-rI", "--inplace", "--no-W", "src/", "dst"];
        flexsync(scratch.path(), backend, &arguments).expect(0);
        let time = fs::metadata(&file).unwrap().mtime();
        assert!(time > 1_100_000_000, "{backend}: {time}");
    }
}

#[test]
fn a_symlink_is_replaced_and_never_written_through() {
    for option in ["--inplace", "--append"] {
        let scratch = Scratch::new();
        scratch.write("src/file", "the new contents");
        let outside = scratch.write("outside", "outside");
        fs::create_dir(scratch.join("dst")).unwrap();
        symlink("../outside", scratch.join("dst/file")).unwrap();
        flexsync(scratch.path(), "direct", &["-a", option, "src/", "dst"]).expect(0);
        assert_eq!(fs::read(outside).unwrap(), b"outside");
        let written = fs::symlink_metadata(scratch.join("dst/file")).unwrap();
        assert!(written.is_file(), "{option}");
    }
}

#[test]
fn a_run_that_is_stopped_leaves_what_it_has_written() {
    const LENGTH: usize = 8 << 20;
    let scratch = Scratch::new();
    let [new, former] = [1, 2].map(|seed| Random::new(seed).bytes(LENGTH));
    assert_ne!(new[0], former[0]);
    scratch.write("src/big", &new);
    for _ in 0..50 {
        let old = scratch.write("dst/big", &former);
        let slowly = ["-a", "--inplace", "--bwlimit=16m", "src/", "dst"];
        let child = start(&scratch, "threads", &slowly);
        let begun = || {
            let mut first = [0];
            let mut file = fs::File::open(&old).unwrap();
            file.read_exact(&mut first).unwrap();
            first == new[..1]
        };
        while !common::child::has_ended(&child) && !begun() {}
        signal(&child, Signal::TERM);
        if end(child).status == 20 {
            let left = fs::read(&old).unwrap();
            assert_eq!(left.len(), LENGTH);
            assert!(leftovers(&scratch.join("dst")).is_empty());
            let again = ["-a", "--inplace", "--no-W", "src/", "dst"];
            flexsync(scratch.path(), "threads", &again).expect(0);
            assert!(fs::read(&old).unwrap() == new);
            return;
        }
    }
    panic!("no run could be stopped in time");
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let scratch = Scratch::new();
    scratch.write("src/file", "new");
    let forms: [&[&str]; 6] = [
        &["--inplace", "--partial-dir=x"],
        &["--inplace", "--delay-updates"],
        &["--append", "--partial-dir=x"],
        &["--append-verify", "--delay-updates"],
        &["--append", "-W"],
        &["--inplace", "--delay-updates", "--list-only"],
    ];
    for form in forms {
        let arguments = [form, &["-a", "src/", "dst"]].concat();
        let run = flexsync(scratch.path(), "direct", &arguments).expect(1);
        assert!(run.stderr.contains("cannot be used with"), "{run:?}");
        let Some(theirs) = rsync(scratch.path(), &arguments) else {
            return;
        };
        theirs.expect(1);
        assert!(!scratch.join("dst").exists());
    }
}

#[test]
fn a_file_that_may_not_be_written_to_is_by_its_owner() {
    for option in ["--inplace", "--append"] {
        let scratch = Scratch::new();
        scratch.write("src/file", "contents");
        let file = scratch.write("dst/file", "con");
        for path in [&file, &scratch.join("dst")] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
        let Some(run) = as_nobody(&scratch, &["-r", option, "src/", "dst"]) else {
            return;
        };
        run.expect(0);
        assert_eq!(fs::read(&file).unwrap(), b"contents", "{option}");
        assert_eq!(
            fs::metadata(&file).unwrap().mode() & 0o777,
            0o400,
            "{option}"
        );
    }
}
