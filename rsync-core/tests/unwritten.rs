// SPDX-License-Identifier: MIT OR Apache-2.0

//! Old versions that turn out to be the same, of which nothing is written.

mod common;

use common::{
    BACKENDS, Random, Scratch, Times, acl, assert_same, date, does_as_rsync, flexsync, is_root,
    leftovers, snapshot, xattr,
};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

/// More than is read at once.
const LENGTH: usize = 700_000;

/// A file, and its old version with another time and mode.
fn touched(scratch: &Scratch) {
    let bytes = Random::new(7).bytes(LENGTH);
    let source = scratch.write("src/file", &bytes);
    let old = scratch.write("dst/file", &bytes);
    fs::set_permissions(source, Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(old, Permissions::from_mode(0o604)).unwrap();
    for (tree, time) in [("src", 1_000_000_000), ("dst", 1_100_000_000)] {
        date(&scratch.join(tree), time);
    }
}

fn inode(scratch: &Scratch) -> u64 {
    fs::metadata(scratch.join("dst/file")).unwrap().ino()
}

/// Runs flexsync with these options and says whether the old file is there still.
fn old_stays(scratch: &Scratch, backend: &str, options: &[&str]) -> bool {
    let before = inode(scratch);
    let run = flexsync(
        scratch.path(),
        backend,
        &[&["--no-W"], options, &["src/", "dst"]].concat(),
    );
    run.expect(0);
    let [source, destination] =
        ["src/file", "dst/file"].map(|name| fs::read(scratch.join(name)).unwrap());
    assert!(source == destination, "{options:?}");
    assert!(leftovers(&scratch.join("dst")).is_empty());
    before == inode(scratch)
}

#[test]
fn an_old_version_that_is_the_same_stays_and_gets_what_else_is_new() {
    for &backend in BACKENDS.iter() {
        for options in [&["-a"][..], &["-aHAX"], &["-aI", "--fsync"], &["-rt"]] {
            let scratch = Scratch::new();
            touched(&scratch);
            if !xattr::read(&scratch.join("dst/file")).is_empty() {
                println!(
                    "SKIP: files have extended attributes by themselves here, such as those of SELinux"
                );
                return;
            }
            assert!(old_stays(&scratch, backend, options), "{options:?}");
            let [source, destination] =
                ["src", "dst"].map(|name| snapshot(&scratch.join(name), Times::Compare));
            match options {
                ["-rt"] => {
                    let file = fs::metadata(scratch.join("dst/file")).unwrap();
                    assert_eq!((file.mode() & 0o777, file.mtime()), (0o604, 1_000_000_000));
                }
                _ => assert_same(&source, &destination, &format!("{options:?}")),
            }
        }
    }
}

#[test]
fn it_is_told_of_as_by_rsync() {
    for options in ["-ai", "-aiI", "-rti", "-ri", "-aib", "-aiS", "-aiH"] {
        does_as_rsync(touched, &[options, "--no-W", "src/", "dst"]);
    }
}

#[test]
fn what_is_to_differ_in_more_than_that_is_written() {
    let forms: &[&[&str]] = &[
        &["-a", "-b"],
        &["-a", "-S"],
        &["-a", "--preallocate"],
        &["-a", "--delay-updates"],
        &["-rl"],
    ];
    for options in forms {
        let scratch = Scratch::new();
        touched(&scratch);
        assert!(!old_stays(&scratch, "direct", options), "{options:?}");
    }
}

#[test]
fn one_that_has_another_name_is_left_to_that() {
    let scratch = Scratch::new();
    touched(&scratch);
    fs::hard_link(scratch.join("dst/file"), scratch.join("other")).unwrap();
    assert!(!old_stays(&scratch, "direct", &["-a"]));
    let other = fs::metadata(scratch.join("other")).unwrap();
    assert_eq!((other.nlink(), other.mtime()), (1, 1_100_000_000));
}

#[test]
fn one_with_attributes_that_a_new_one_would_not_have_is_written() {
    let scratch = Scratch::new();
    touched(&scratch);
    if xattr::supported(&scratch) {
        assert!(xattr::set(&scratch.join("dst/file"), "user.old", b"value"));
        assert!(!old_stays(&scratch, "direct", &["-a"]));
        assert!(xattr::read(&scratch.join("dst/file")).is_empty());
    }
    if acl::supported() {
        touched(&scratch);
        assert!(acl::set_default(
            &scratch.join("dst"),
            "u:7,U:1:5,g:5,m:5,o:5"
        ));
        assert!(!old_stays(&scratch, "direct", &["-a"]));
        assert!(acl::access(&scratch.join("dst/file")).is_some());
    }
    if is_root() {
        let scratch = Scratch::new();
        touched(&scratch);
        chown(scratch.join("dst/file"), Some(1234), Some(1234)).unwrap();
        assert!(!old_stays(&scratch, "direct", &["-rt"]));
        let now = fs::metadata(scratch.join("dst/file")).unwrap();
        assert_eq!((now.uid(), now.gid()), (0, 0));
        chown(scratch.join("dst/file"), Some(1234), Some(1234)).unwrap();
        date(&scratch.join("dst"), 1_100_000_000);
        assert!(old_stays(&scratch, "direct", &["-a"]));
        let now = fs::metadata(scratch.join("dst/file")).unwrap();
        assert_eq!((now.uid(), now.gid()), (0, 0));
    }
}

#[test]
fn a_difference_anywhere_has_all_of_it_written() {
    for at in [0, 1, 262_143, 262_144, 350_000, LENGTH - 1] {
        for &backend in BACKENDS.iter() {
            let scratch = Scratch::new();
            touched(&scratch);
            let mut bytes = fs::read(scratch.join("src/file")).unwrap();
            bytes[at] ^= 1;
            fs::write(scratch.join("src/file"), bytes).unwrap();
            assert!(!old_stays(&scratch, backend, &["-a"]), "{at}");
        }
    }
    // All of it is there, in another order, or before something is missing.
    for (block, length) in [
        ("-B70000", LENGTH),
        ("-B100000", LENGTH - 1),
        ("-B1000", 1000),
    ] {
        let scratch = Scratch::new();
        touched(&scratch);
        let mut bytes = fs::read(scratch.join("src/file")).unwrap();
        bytes.rotate_left(LENGTH / 2);
        bytes.truncate(length);
        fs::write(scratch.join("src/file"), bytes).unwrap();
        assert!(!old_stays(&scratch, "direct", &["-a", block]), "{block}");
    }
}
