// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files whose transfer ends early, files that wait for the end, and where temporary files are.

mod common;

use common::child::{NOBODY, Signal, as_nobody, end, signal, start, temporary};
use common::{
    BACKENDS, Random, Run, Scratch, Times, assert_same, change, copy, does_as_rsync, flexsync,
    grow, leftovers, posting, rsync, same_lines, snapshot, whole_seconds,
};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

/// Bytes of a file that takes long enough to be stopped while it is copied: whoever makes plain calls looks up less often.
fn length(backend: &str) -> usize {
    if backend == "direct" {
        192 << 20
    } else {
        96 << 20
    }
}

/// How often a run is started that has to be met while it works.
const TRIES: usize = 50;

/// What earlier runs have left of some files, beside old ones and none.
fn left(scratch: &Scratch) {
    let bytes = Random::new(1).bytes(30_000);
    for (name, length) in [("new", 30_000), ("sub/old", 20_000), ("same", 100)] {
        scratch.write(&format!("src/{name}"), &bytes[..length]);
    }
    copy(&scratch.join("src"), &scratch.join("dst"));
    fs::remove_file(scratch.join("dst/new")).unwrap();
    scratch.write("dst/sub/old", &bytes[..5000]);
    for held in [".part", ".~tmp~"] {
        scratch.write(&format!("dst/{held}/new"), &bytes[..14_000]);
        scratch.write(&format!("dst/sub/{held}/old"), &bytes[..9000]);
        scratch.write(&format!("dst/{held}/same"), "of no use");
    }
    scratch.write("dst/.part/other", "nobody's");
    scratch.write("dst/sub/extra", "not in the source");
    common::date(scratch.path(), 1_000_000_000);
}

#[test]
fn what_is_held_is_used_and_removed_as_by_rsync() {
    const FORMS: [&[&str]; 12] = [
        &["--partial-dir=.part"],
        &["--partial-dir=.part", "--no-W"],
        &["--partial-dir=.part/", "--no-W", "--delete"],
        &["--partial-dir=.part", "-c"],
        &["--partial-dir=.part", "--no-W", "-I"],
        &["--partial-dir=.part", "-n", "--no-W"],
        &["--partial-dir=.part", "--ignore-existing"],
        &["--partial-dir=.part", "--no-W", "-b", "--delete"],
        &["--delay-updates"],
        &["--delay-updates", "--no-W", "--delete"],
        &["--delay-updates", "--partial-dir=.part", "--no-W"],
        &["--partial", "--no-W"],
    ];
    for form in FORMS {
        does_as_rsync(left, &[&["-ai"], form, &["src/", "dst"]].concat());
    }
}

#[test]
fn what_is_held_serves_as_basis() {
    let figures = |run: &Run| (run.figure("Literal data"), run.figure("Matched data"));
    for options in [&["--partial-dir=.part"][..], &["--delay-updates"]] {
        let scratch = Scratch::new();
        left(&scratch);
        let arguments = [&["-a", "--no-W", "--stats"], options, &["src/", "dst"]].concat();
        let Some(theirs) = rsync(scratch.path(), &arguments) else {
            return;
        };
        fs::remove_dir_all(scratch.join("dst")).unwrap();
        fs::remove_dir_all(scratch.join("src")).unwrap();
        left(&scratch);
        let mine = flexsync(scratch.path(), "direct", &arguments).expect(0);
        assert_eq!(figures(&mine), figures(&theirs), "{options:?}");
    }
}

#[test]
fn a_common_directory_for_partial_files_stays() {
    let scratch = Scratch::new();
    scratch.write("src/file", "the whole of it");
    let held = scratch.write("held/file", "the whole");
    let dir = format!("--partial-dir={}", scratch.join("held").display());
    let run = flexsync(scratch.path(), "direct", &["-a", &dir, "src/", "dst"]).expect(0);
    assert!(!held.exists(), "{run:?}");
    assert!(scratch.join("held").exists());
    assert_eq!(
        fs::read(scratch.join("dst/file")).unwrap(),
        b"the whole of it"
    );
}

#[test]
fn random_trees_become_what_rsync_makes_of_them() {
    const FORMS: [&[&str]; 6] = [
        &["--delay-updates", "--delete"],
        &["--delay-updates", "--no-W", "--backup-dir=../kept"],
        &["--partial-dir=.part", "--delete"],
        &["--delay-updates", "--partial-dir=deep", "-b"],
        &["--temp-dir=../temporary"],
        &["--partial", "-T", "../temporary", "--no-W", "--delete"],
    ];
    for (index, form) in FORMS.iter().enumerate() {
        let backend = BACKENDS[index % BACKENDS.len()];
        let (scratch, mut random) = (Scratch::new(), Random::new(600 + index as u64));
        grow(&scratch.join("src"), &mut random, 60);
        whole_seconds(&scratch.join("src"));
        for side in ["mine", "theirs"] {
            fs::create_dir_all(scratch.join(side).join("temporary")).unwrap();
        }
        copy(&scratch.join("src"), &scratch.join("mine/dst"));
        change(&scratch.join("mine/dst"), &mut random);
        whole_seconds(&scratch.join("mine/dst"));
        copy(&scratch.join("mine/dst"), &scratch.join("theirs/dst"));
        let arguments = |form: &[&str]| -> Vec<String> {
            let arguments = [&["-ai"], form, &["../src/", "dst"]].concat();
            arguments.into_iter().map(str::to_owned).collect()
        };
        // rsync 3.5.0 makes no temporary files in a directory that is reached upwards.
        let theirs = form.iter().filter(|word| !word.contains("temporary"));
        let theirs: Vec<_> = theirs.filter(|word| **word != "-T").copied().collect();
        let Some(theirs) = rsync(&scratch.join("theirs"), &arguments(&theirs)) else {
            return;
        };
        let mine = flexsync(&scratch.join("mine"), backend, &arguments(form));
        let what = format!("{backend} {form:?}");
        same_lines(&mine, &theirs, &what);
        assert_same(
            &snapshot(&scratch.join("mine"), Times::Ignore),
            &snapshot(&scratch.join("theirs"), Times::Ignore),
            &what,
        );
    }
}

/// A run that was stopped while it copied `src/big`, of which much had come and much had not.
fn stopped(scratch: &Scratch, backend: &str, options: &[&str]) -> Run {
    // One that keeps nothing is as fast as it can be, as the kernel copies the file.
    let (length, limit) = match options {
        [] => (length(backend), "--bwlimit=0"),
        _ => (24 << 20, "--bwlimit=32m"),
    };
    let block = Random::new(3).bytes(1 << 20);
    scratch.write("src/big", block.repeat(length >> 20));
    let arguments = [&["-a", limit], options, &["src/", "dst"]].concat();
    for _ in 0..TRIES {
        let _ = fs::remove_dir_all(scratch.join("dst"));
        scratch.write("dst/big", "old");
        let child = start(scratch, backend, &arguments);
        let seen = |path| fs::metadata(path).map_or(0, |found| found.len() as usize);
        let mut met = 0;
        // More than the piece that is under way, which does not count yet.
        while met < 4 << 20 {
            match temporary(&child, &scratch.join("dst"), &[]) {
                Some(path) => met = seen(path),
                None => break,
            }
        }
        signal(&child, Signal::TERM);
        let run = end(child);
        // It may have been complete before the signal was seen.
        let complete = seen(scratch.join("dst/big")) == length;
        if (4 << 20..length / 2).contains(&met) && run.status != 0 && !complete {
            return run.expect(20);
        }
    }
    panic!("no run could be stopped in time");
}

/// Whether the file is a part of the source's, and not all of it.
#[track_caller]
fn assert_part(scratch: &Scratch, path: &Path) {
    let (all, part) = (
        fs::read(scratch.join("src/big")).unwrap(),
        fs::read(path).unwrap(),
    );
    assert!(
        !part.is_empty() && part.len() < all.len() && all.starts_with(&part),
        "{}: {} bytes",
        path.display(),
        part.len()
    );
}

#[test]
fn a_run_that_is_stopped_leaves_the_old_file_and_nothing_else() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        let run = stopped(&scratch, backend, &[]);
        assert!(run.stderr.contains("stopped before the end"), "{run:?}");
        assert_eq!(fs::read(scratch.join("dst/big")).unwrap(), b"old");
        assert_eq!(common::paths(&scratch.join("dst")).len(), 1);
    }
}

#[test]
fn what_has_come_is_kept_in_the_files_place_and_not_taken_for_it() {
    for backend in posting() {
        let scratch = Scratch::new();
        stopped(&scratch, backend, &["--partial"]);
        let kept = scratch.join("dst/big");
        assert_part(&scratch, &kept);
        assert_eq!(fs::metadata(&kept).unwrap().mtime(), 0);
        assert!(leftovers(&scratch.join("dst")).is_empty());
        let arguments = ["-a", "--no-W", "--stats", "src/", "dst"];
        let run = flexsync(scratch.path(), backend, &arguments).expect(0);
        assert!(run.figure("Matched data") > 0, "{}", run.stdout);
        assert_same(
            &snapshot(&scratch.join("src"), Times::Compare),
            &snapshot(&scratch.join("dst"), Times::Compare),
            backend,
        );
    }
}

#[test]
fn what_has_come_is_kept_in_a_directory_and_the_old_file_stays() {
    for backend in posting() {
        for options in [
            &["--partial-dir=.part"][..],
            &["--delay-updates", "--partial-dir=.part"],
        ] {
            let scratch = Scratch::new();
            stopped(&scratch, backend, options);
            assert_part(&scratch, &scratch.join("dst/.part/big"));
            assert_eq!(fs::read(scratch.join("dst/big")).unwrap(), b"old");
            assert!(leftovers(&scratch.join("dst")).is_empty());
            let arguments = [&["-a", "--no-W", "--stats"], options, &["src/", "dst"]].concat();
            let run = flexsync(scratch.path(), backend, &arguments).expect(0);
            assert!(run.figure("Matched data") > 0, "{}", run.stdout);
            assert!(!scratch.join("dst/.part").exists());
        }
    }
}

#[test]
fn less_does_not_take_the_place_of_more() {
    let scratch = Scratch::new();
    let most = vec![1; 24 << 20];
    scratch.write("src/big", [&most[..], b"more"].concat());
    for _ in 0..TRIES {
        scratch.write("dst/.part/big", &most);
        let arguments = ["-a", "--no-W", "--partial-dir=.part", "src/", "dst"];
        let child = start(&scratch, "threads", &arguments);
        let met = temporary(&child, &scratch.join("dst"), &[]).is_some();
        signal(&child, Signal::TERM);
        let run = end(child);
        if met && run.status != 0 {
            run.expect(20);
            assert!(fs::read(scratch.join("dst/.part/big")).unwrap() == most);
            return;
        }
    }
    panic!("no run could be stopped in time");
}

#[test]
fn a_holding_directory_that_is_a_symlink_is_not_followed() {
    for options in [
        &["--partial-dir=.part"][..],
        &["--delay-updates", "--partial-dir=.part"],
    ] {
        let scratch = Scratch::new();
        scratch.write("src/file", "new");
        scratch.write("outside/file", "outside");
        fs::create_dir(scratch.join("dst")).unwrap();
        symlink("../outside", scratch.join("dst/.part")).unwrap();
        let arguments = [&["-a"], options, &["src/", "dst"]].concat();
        let run = flexsync(scratch.path(), "direct", &arguments);
        let delayed = options.len() > 1;
        assert_eq!(run.status, if delayed { 23 } else { 0 }, "{run:?}");
        assert_eq!(fs::read(scratch.join("outside/file")).unwrap(), b"outside");
        assert_eq!(common::paths(&scratch.join("outside")).len(), 1);
    }
}

#[test]
fn directories_that_lead_elsewhere_are_refused() {
    let scratch = Scratch::new();
    scratch.write("src/file", "new");
    for wrong in [
        "--partial-dir=a/../b",
        "--partial-dir=../b",
        "--temp-dir=missing",
        "-T=",
    ] {
        let arguments = ["-a", wrong, "src/", "dst"];
        flexsync(scratch.path(), "direct", &arguments).expect(1);
        assert!(!scratch.join("dst/file").exists(), "{wrong}");
    }
}

#[test]
fn a_directory_for_temporary_files_is_cleaned_of_what_a_killed_run_left() {
    let scratch = Scratch::new();
    scratch.write("src/file", "new");
    let left = scratch.write("temporary/.x.flexsync.abcdef", "left behind");
    let other = scratch.write("temporary/other", "somebody's");
    let dir = format!("--temp-dir={}", scratch.join("temporary").display());
    flexsync(scratch.path(), "direct", &["-a", &dir, "src/", "dst"]).expect(0);
    assert!(!left.exists() && other.exists());
}

#[test]
fn temporary_files_of_another_file_system_are_copied_beside_the_file() {
    let scratch = Scratch::new();
    let shared = Path::new("/dev/shm");
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    let Some(other) = [shared, Path::new("/var/tmp")]
        .into_iter()
        .find(|path| device(path).is_some() && device(path) != device(scratch.path()))
    else {
        println!("SKIP: there is no second file system to write to");
        return;
    };
    let mut random = Random::new(9);
    grow(&scratch.join("src"), &mut random, 40);
    scratch.write("src/long", random.bytes(900_000));
    let temporary = other.join(format!("flexsync-test-{}-temporary", std::process::id()));
    fs::create_dir(&temporary).unwrap();
    let option = format!("--temp-dir={}", temporary.display());
    let run = flexsync(scratch.path(), "direct", &["-a", &option, "src/", "dst"]);
    let left = fs::read_dir(&temporary).unwrap().count();
    fs::remove_dir_all(&temporary).unwrap();
    run.expect(0);
    assert_eq!(left, 0);
    assert!(leftovers(&scratch.join("dst")).is_empty());
    assert_same(
        &snapshot(&scratch.join("src"), Times::Compare),
        &snapshot(&scratch.join("dst"), Times::Compare),
        other.to_str().unwrap(),
    );
}

/// With rsync one of them gets the contents of the other.
#[test]
fn files_of_one_name_do_not_wait_in_each_others_place() {
    let scratch = Scratch::new();
    for directory in ["a", "b"] {
        scratch.write(&format!("src/{directory}/name"), directory);
    }
    let holding = format!("--partial-dir={}", scratch.join("held").display());
    let arguments = ["-a", "--delay-updates", &holding, "src/", "dst"];
    let run = flexsync(scratch.path(), "direct", &arguments).expect(1);
    let told = "--delay-updates cannot be used with a --partial-dir that is an absolute path";
    assert!(run.stderr.contains(told), "{run:?}");
    assert!(!scratch.join("dst").exists());
}

#[test]
fn a_directory_keeps_its_time_when_a_file_fails() {
    let scratch = Scratch::new();
    let closed = scratch.write("src/closed", "contents");
    fs::set_permissions(closed, Permissions::from_mode(0o000)).unwrap();
    fs::create_dir(scratch.join("dst")).unwrap();
    chown(scratch.join("dst"), Some(NOBODY), Some(NOBODY)).unwrap();
    common::date(scratch.path(), 1_000_000_000);
    let Some(run) = as_nobody(&scratch, &["-rt", "src/", "dst"]) else {
        return;
    };
    run.expect(23);
    let time = fs::metadata(scratch.join("dst")).unwrap().mtime();
    assert_eq!(time, 1_000_000_000);
}
