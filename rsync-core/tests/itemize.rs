// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is shown of each file: the lines of rsync, in whatever order. Exceptions:
//!
//! - The order: many directories are worked on at once.
//! - rsync compares times of modification to the second, so the trees have whole seconds.
//! - rsync does not say that it made the destination for a single directory without contents.
//! - What cannot be done is said in other words.
//! - `%b`, `%c`: the bytes of our messages.

mod common;

use common::{
    BACKENDS, Random, Run, Scratch, change, copy, does_as_rsync, flexsync, grow, rsync, same_lines,
    whole_seconds,
};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use std::fs;
use std::os::unix::fs::symlink;

/// Both programs show the same of the same trees.
fn as_rsync(backend: &str, seed: u64, options: &[&str]) {
    let what = format!("backend {backend}, seed {seed}, {options:?}");
    let scratch = Scratch::new();
    let mut random = Random::new(seed);
    grow(&scratch.join("src"), &mut random, 60);
    whole_seconds(&scratch.join("src"));
    for dir in ["mine", "theirs"] {
        fs::create_dir(scratch.join(dir)).unwrap();
    }
    copy(&scratch.join("src"), &scratch.join("mine/dst"));
    change(&scratch.join("mine/dst"), &mut random);
    whole_seconds(&scratch.join("mine/dst"));
    copy(&scratch.join("mine/dst"), &scratch.join("theirs/dst"));
    for (round, dst) in ["dst", "dst", "new"].into_iter().enumerate() {
        let arguments = [options, &["../src/", dst]].concat();
        let Some(theirs) = rsync(&scratch.join("theirs"), &arguments) else {
            return;
        };
        let mine = flexsync(&scratch.join("mine"), backend, &arguments);
        same_lines(&mine, &theirs, &format!("{what}, run {round} to {dst}"));
    }
}

#[test]
fn what_is_shown_of_random_trees_is_what_rsync_shows() {
    const OPTIONS: [&[&str]; 29] = [
        &["-ai"],
        &["-aii"],
        &["-ri"],
        &["-rii"],
        &["-rlpi"],
        &["-rltgoi", "--delete"],
        &["-aic", "--delete"],
        &["-aciI"],
        &["-aiI", "--no-W"],
        &["-ain", "--delete"],
        &["-aiinc"],
        &["-av", "--delete"],
        &["-avv"],
        &["-avvi", "--delete"],
        &["-rlvn"],
        &["-rvv"],
        &["-avv", "--existing"],
        &["-avvi", "--ignore-existing"],
        &["-avv", "--max-size=1000", "--min-size=2", "-u"],
        &["-ai", "--size-only", "-u"],
        &["-a", "--out-format=%n|%o|%l|%U|%G|%B|%M", "--delete"],
        &[
            "-a",
            "--out-format=%i|%f|%L|%-20n|%'l|%''l|%'''l|%10l|%%",
            "--delete",
        ],
        &["-a", "--out-format=%i %n%L", "--no-t", "-c"],
        &["-rt", "-i", "--out-format=%o %n"],
        &["-rEi"],
        &["-rltEii", "-c"],
        &["-aEi"],
        &["-aiiJ"],
        &["-rlitJ", "--numeric-ids"],
    ];
    for (index, options) in OPTIONS.iter().enumerate() {
        for round in 0..2 {
            as_rsync(
                BACKENDS[(index + round) % BACKENDS.len()],
                5000 + 10 * index as u64 + round as u64,
                options,
            );
        }
    }
}

#[test]
fn sources_are_shown_where_they_are() {
    let scratch = Scratch::new();
    scratch.write("a/sub/file", "1");
    scratch.write("b/sub/other", "22");
    symlink("x", scratch.join("a/link")).unwrap();
    whole_seconds(scratch.path());
    let absolute = scratch.join("a");
    let absolute = absolute.to_str().unwrap();
    let forms: [&[&str]; 8] = [
        &["a", "dst/"],
        &["a/", "dst"],
        &["./a", "dst"],
        &["a/.", "dst"],
        &["a/", "b/", "dst"],
        &["a/sub/file", "dst"],
        &["a/sub/file", "dst/renamed"],
        &[absolute, "dst"],
    ];
    for form in forms {
        for prepared in [false, true] {
            let run = |program: &dyn Fn(&[&str]) -> Option<Run>| {
                let dst = scratch.join("dst");
                let _ = fs::remove_dir_all(&dst).or_else(|_| fs::remove_file(&dst));
                if prepared || form.last() == Some(&"dst/renamed") {
                    fs::create_dir(scratch.join("dst")).unwrap();
                    let old = TimeSpec::new(1_000_000_000, 0);
                    let flags = UtimensatFlags::FollowSymlink;
                    utimensat(AT_FDCWD, &scratch.join("dst"), &old, &old, flags).unwrap();
                }
                program(&[&["-a", "--out-format=%i %n %f%L"], form].concat())
            };
            let Some(theirs) = run(&|arguments| rsync(scratch.path(), arguments)) else {
                return;
            };
            let mine = run(&|arguments| Some(flexsync(scratch.path(), "direct", arguments)));
            same_lines(&mine.unwrap(), &theirs, &format!("{form:?}"));
        }
    }
}

#[test]
fn owners_that_are_not_kept_are_shown_as_by_rsync() {
    let prepare = |scratch: &Scratch| {
        scratch.write("src/file", "contents");
        scratch.write("dst/gone", "");
    };
    for options in ["-r", "-ro", "-rg", "-rog", "-rog --no-g", "-rn"] {
        let options: Vec<_> = options.split(' ').collect();
        let format = ["--delete", "--out-format=%o %U %G %n", "src/", "dst"];
        does_as_rsync(prepare, &[&options[..], &format].concat());
    }
}

#[test]
fn checksums_of_what_is_transferred_are_shown() {
    let scratch = Scratch::new();
    for (name, contents) in [("empty", ""), ("short", "contents"), ("changed", "new")] {
        scratch.write(&format!("src/{name}"), contents);
    }
    scratch.write("src/long", vec![7; 600_000]);
    scratch.write("src/same", "same");
    let forms: [&[&str]; 12] = [
        &["-r", "--no-W"],
        &["-r"],
        &["-rn"],
        &["-rcii"],
        &["-rcn", "--cc=md5,xxh3"],
        &["-r", "--no-W", "--cc=xxh3", "--checksum-seed=7"],
        &["-r", "--checksum-choice=XXH64"],
        &["-r", "--no-W", "--cc=md5", "--checksum-seed=-7"],
        &["-r", "--no-W", "--cc=sha1,md4"],
        &["-rn", "--cc=md4"],
        &["-r", "--no-W", "--cc=none,md5"],
        &["-rcii", "--cc=none,sha1"],
    ];
    for options in forms {
        let run = |program: &dyn Fn(&[&str]) -> Option<Run>| {
            let _ = fs::remove_dir_all(scratch.join("dst"));
            scratch.write("dst/changed", "as old");
            scratch.write("dst/same", "same");
            let old = std::time::SystemTime::UNIX_EPOCH;
            let same = fs::File::open(scratch.join("dst/same")).unwrap();
            same.set_modified(old).unwrap();
            scratch.write("dst/long", vec![8; 500_000]);
            program(&[&["--out-format=%C %i %n"], options, &["src/", "dst"]].concat())
        };
        let Some(theirs) = run(&|arguments| rsync(scratch.path(), arguments)) else {
            return;
        };
        let mine = run(&|arguments| Some(flexsync(scratch.path(), "direct", arguments)));
        same_lines(&mine.unwrap(), &theirs, &format!("{options:?}"));
    }
}

#[test]
fn what_is_listed_is_what_rsync_lists_in_its_order() {
    let scratch = Scratch::new();
    let mut random = Random::new(11);
    grow(&scratch.join("src"), &mut random, 120);
    whole_seconds(&scratch.join("src"));
    let forms: [&[&str]; 8] = [
        &["-a", "src/"],
        &["-a", "src"],
        &["-r", "src/"],
        &["src/"],
        &["src"],
        &["-l", "src/."],
        &["-a", "src/", "destination"],
        &["-a", "--exclude=n1*", "src"],
    ];
    for (form, backend) in forms.iter().zip(BACKENDS.iter().cycle()) {
        let arguments = [&["--list-only"], *form].concat();
        let Some(theirs) = rsync(scratch.path(), &arguments) else {
            return;
        };
        let mine = flexsync(scratch.path(), backend, &arguments);
        assert_eq!(
            mine.stdout, theirs.stdout,
            "{backend} {form:?}\n{}",
            mine.stderr
        );
        assert_eq!(mine.status, theirs.status, "{backend} {form:?}");
        assert!(!scratch.join("destination").exists());
    }
}
