// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is replaced or deleted is kept where rsync keeps it.

mod common;

use common::{
    BACKENDS, Random, Run, Scratch, Seen, Times, assert_same, change, copy, does_as_rsync,
    flexsync, grow, paths, rsync, snapshot,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn sync(scratch: &Scratch, arguments: &[&str]) -> Run {
    flexsync(scratch.path(), "direct", arguments)
}

/// Removes what has a name too long for a suffix: rsync ends there (11), and we go on (23).
fn shorten(root: &Path) {
    for path in paths(root) {
        if path.file_name().is_some_and(|name| name.len() > 200) {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
    }
}

/// A tree, without the attributes of directories for backups: those are like the directory's, which rsync has changed by
/// then and we have not.
fn seen(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut table = snapshot(root, Times::Ignore);
    let directories = table
        .iter_mut()
        .filter(|(path, seen)| path.starts_with("kept") && seen.mode & 0o170_000 == 0o040_000);
    for (_, seen) in directories {
        seen.mode = 0;
        seen.owner = (0, 0);
    }
    table
}

/// Twice with both programs, the second time with other changes: same trees, with all backups.
///
/// False if rsync gave up: two of its processes make directories for backups, and the slower one may end with 11, or with
/// "File exists" and 23.
fn as_rsync(backend: &str, seed: u64, options: &[&str]) -> bool {
    let scratch = Scratch::new();
    let mut random = Random::new(seed);
    grow(&scratch.join("src"), &mut random, 50);
    shorten(&scratch.join("src"));
    for side in ["mine", "theirs"] {
        fs::create_dir(scratch.join(side)).unwrap();
    }
    copy(&scratch.join("src"), &scratch.join("mine/dst"));
    change(&scratch.join("mine/dst"), &mut random);
    shorten(&scratch.join("mine/dst"));
    copy(&scratch.join("mine/dst"), &scratch.join("theirs/dst"));
    for round in 0..2 {
        let arguments = [&["-a"], options, &["../src/", "dst"]].concat();
        let Some(theirs) = rsync(&scratch.join("theirs"), &arguments) else {
            return true;
        };
        if theirs.status == 11 || theirs.stderr.contains("File exists (17)") {
            return false;
        }
        let mine = flexsync(&scratch.join("mine"), backend, &arguments);
        let what =
            format!("{backend}, seed {seed}, {options:?}, round {round}\n{mine:?}\n{theirs:?}");
        assert_eq!(mine.status, theirs.status, "{what}");
        assert_same(
            &seen(&scratch.join("mine")),
            &seen(&scratch.join("theirs")),
            &what,
        );
        change(&scratch.join("src"), &mut random);
        shorten(&scratch.join("src"));
    }
    true
}

#[test]
fn backups_of_random_trees_are_where_rsync_has_them() {
    const OPTIONS: [&[&str]; 9] = [
        &["-b"],
        &["-b", "--delete"],
        &["-b", "--suffix=.old", "--delete", "--no-W"],
        &["-b", "--delete-excluded", "--exclude=n1*"],
        &["--backup-dir=../kept", "--delete"],
        &["--backup-dir=../kept/deep/er", "--suffix=.1", "--delete"],
        &["-bn", "--delete"],
        &["--suffix=.x", "--delete"],
        &["-b", "--delete", "--exclude=n2*"],
    ];
    for (index, options) in OPTIONS.iter().enumerate() {
        for round in 0..3 {
            let seed = 7000 + 10 * index as u64 + round as u64;
            let backend = BACKENDS[(index + round) % BACKENDS.len()];
            let compared = (0..20).any(|_| as_rsync(backend, seed, options));
            assert!(compared, "seed {seed}: rsync gives up each time");
        }
    }
}

#[test]
fn a_relative_directory_for_backups_is_below_the_destination_and_stays() {
    let scratch = Scratch::new();
    scratch.write("src/sub/file", "new");
    scratch.write("dst/sub/file", "old one");
    scratch.write("dst/gone/deep/file", "gone");
    let arguments = [
        "-a",
        "-vv",
        "--backup-dir=kept/now",
        "--delete",
        "src/",
        "dst",
    ];
    let run = sync(&scratch, &arguments).expect(0);
    let read = |name| fs::read_to_string(scratch.join(name)).unwrap();
    assert_eq!(read("dst/kept/now/sub/file"), "old one");
    assert_eq!(read("dst/kept/now/gone/deep/file"), "gone");
    assert!(!scratch.join("dst/gone").exists());
    let told = "backed up sub/file to kept/now/sub/file\n";
    assert!(run.stdout.contains(told), "{}", run.stdout);
}

#[test]
fn a_file_is_never_missing_while_it_is_backed_up() {
    let scratch = Scratch::new();
    scratch.write("src/file", "new");
    let old = scratch.write("dst/file", "old one");
    // A backup that an interrupted run made: another link to the same file.
    fs::hard_link(&old, scratch.join("dst/file~")).unwrap();
    sync(&scratch, &["-a", "-b", "src/", "dst"]).expect(0);
    let read = |name| fs::read_to_string(scratch.join(name)).unwrap();
    assert_eq!(
        (read("dst/file"), read("dst/file~")),
        ("new".into(), "old one".into())
    );
    // The same for a file that is deleted.
    let gone = scratch.write("dst/gone", "gone");
    fs::hard_link(&gone, scratch.join("dst/gone~")).unwrap();
    sync(&scratch, &["-a", "-b", "--delete", "src/", "dst"]).expect(0);
    assert!(!gone.exists());
    assert_eq!(read("dst/gone~"), "gone");
}

#[test]
fn a_file_that_cannot_be_backed_up_is_left_as_it_is() {
    let scratch = Scratch::new();
    scratch.write("src/file", "new");
    scratch.write("src/other", "new");
    scratch.write("dst/file", "old one");
    scratch.write("dst/other", "old one");
    scratch.write("dst/file~/is-a-directory", "in the way");
    let run = sync(&scratch, &["-a", "-b", "src/", "dst"]).expect(23);
    assert!(
        run.stderr.contains("cannot back up \"dst/file\": "),
        "{}",
        run.stderr
    );
    assert_eq!(fs::read(scratch.join("dst/file")).unwrap(), b"old one");
    assert_eq!(fs::read(scratch.join("dst/other")).unwrap(), b"new");
    assert!(common::leftovers(&scratch.join("dst")).is_empty());
}

/// rsync notices only some ways to write that, and replaces files without a backup otherwise.
#[test]
fn in_the_destination_itself_backups_need_a_suffix() {
    let plant = |scratch: &Scratch| {
        scratch.write("src/file", "new");
        scratch.write("src/dir/inner", "new");
        scratch.write("dst/file", "old one");
        scratch.write("dst/gone", "gone");
        scratch.write("dst/dir/gone", "gone");
        scratch.write("dst/full/file", "gone");
    };
    for dir in [".", "./", "./."] {
        let dir = format!("--backup-dir={dir}");
        does_as_rsync(plant, &["-rpi", &dir, "src/", "dst"]);
        let options = ["-rpi", "--delete", &dir, "--suffix=.z"];
        does_as_rsync(plant, &[&options[..], &["src/", "dst"]].concat());
    }
    let scratch = Scratch::new();
    plant(&scratch);
    let absolute = scratch.join("dst/dir/..");
    for dir in ["../dst", absolute.to_str().unwrap()] {
        let dir = format!("--backup-dir={dir}");
        let arguments = ["-a", "--delete", &dir, "src/", "dst"];
        let run = sync(&scratch, &arguments).expect(23);
        let why = "the --backup-dir is the destination";
        assert!(run.stderr.contains(why), "{}", run.stderr);
        assert_eq!(fs::read(scratch.join("dst/file")).unwrap(), b"old one");
        assert!(scratch.join("dst/gone").exists());
    }
    let options = ["-a", "--delete", "--backup-dir=../dst", "--suffix=.z"];
    sync(&scratch, &[&options[..], &["src/", "dst"]].concat());
    for (name, contents) in [("file", "new"), ("file.z", "old one"), ("gone.z", "gone")] {
        let read = fs::read(scratch.join("dst").join(name));
        assert_eq!(read.unwrap(), contents.as_bytes(), "{name}");
    }
}

#[test]
fn suffixes_that_make_no_name_are_refused() {
    let scratch = Scratch::new();
    scratch.write("src/file", "new");
    for wrong in ["--suffix=", "--suffix=a/b", "--backup-dir="] {
        let run = sync(&scratch, &["-a", "-b", wrong, "src/", "dst"]).expect(1);
        assert!(run.stderr.contains(&wrong[..8]), "{}", run.stderr);
        assert!(!scratch.join("dst").exists());
    }
}
