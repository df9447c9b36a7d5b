// SPDX-License-Identifier: MIT OR Apache-2.0

//! What takes part, what is made for it, and what becomes of the sources: as with rsync.

mod common;

use common::{
    BACKENDS, FLEXSYNC, Scratch, Times, assert_same, does_as_rsync, flexsync, rsync, snapshot,
};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

fn tree(scratch: &Scratch) {
    scratch.write("src/new", "new");
    scratch.write("src/changed", "changed");
    scratch.write("src/sub/inner", "inner");
    scratch.write("src/sub/deep/file", "deep");
    fs::create_dir(scratch.join("src/empty")).unwrap();
    symlink("target", scratch.join("src/link")).unwrap();
}

fn with_destination(scratch: &Scratch) {
    tree(scratch);
    let changed = scratch.write("dst/changed", "was another");
    let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let changed = fs::File::options().write(true).open(changed).unwrap();
    changed.set_modified(old).unwrap();
    scratch.write("dst/extra", "extra");
    scratch.write("dst/sub/extra", "extra");
    scratch.write("dst/gone/extra", "extra");
    fs::copy(scratch.join("src/sub/inner"), scratch.join("dst/sub/inner")).unwrap();
    let times = fs::metadata(scratch.join("src/sub/inner")).unwrap();
    let copy = fs::File::options()
        .write(true)
        .open(scratch.join("dst/sub/inner"));
    copy.unwrap()
        .set_modified(times.modified().unwrap())
        .unwrap();
}

#[test]
fn directories_without_what_is_in_them() {
    let forms: [&[&str]; 8] = [
        &["-dli", "src/", "dst"],
        &["-dlpi", "src", "dst/"],
        &["-dli", "src/.", "dst"],
        &["-dli", "src/sub", "src/new", "src/empty", "dst"],
        &["-dlin", "src/", "dst"],
        &["-dli", "--no-d", "src/new", "dst"],
        &["-dli", "--delete", "src/", "dst"],
        &["-dlri", "--delete", "src/", "dst"],
    ];
    for form in forms {
        does_as_rsync(tree, form);
        does_as_rsync(with_destination, form);
    }
}

#[test]
fn source_files_are_removed_once_they_are_copied() {
    let forms: [&[&str]; 10] = [
        &["-a", "--remove-source-files", "src/", "dst"],
        &[
            "-a",
            "--info=remove",
            "--remove-source-files",
            "src/",
            "dst",
        ],
        &["-a", "--info=remove", "--remove-source-files", "src", "dst"],
        &["-a", "--remove-source-files", "src", "dst"],
        &["-r", "--remove-source-files", "src/", "dst"],
        &["-an", "--remove-source-files", "src/", "dst"],
        &["-a", "--remove-source-files", "--existing", "src/", "dst"],
        &["-a", "--remove-source-files", "--max-size=4", "src/", "dst"],
        &[
            "-ac",
            "--remove-source-files",
            "--no-W",
            "--delete",
            "src/",
            "dst",
        ],
        &[
            "-a",
            "--info=remove",
            "--remove-source-files",
            "src/new",
            "dst/renamed",
        ],
    ];
    for form in forms {
        does_as_rsync(with_destination, form);
    }
    does_as_rsync(tree, forms[0]);
}

#[test]
fn a_source_file_that_is_not_copied_or_is_the_copy_is_not_removed() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        scratch.write("src/blocked", "x");
        scratch.write("src/copied", "x");
        scratch.write("dst/blocked/in-the-way", "x");
        fs::create_dir_all(scratch.join("dst")).unwrap();
        scratch.write("src/linked", "both names are one file");
        fs::hard_link(scratch.join("src/linked"), scratch.join("dst/linked")).unwrap();
        let arguments = ["-a", "--remove-source-files", "src/", "dst"];
        flexsync(scratch.path(), backend, &arguments).expect(23);
        assert!(scratch.join("src/blocked").exists() && scratch.join("src/linked").exists());
        assert!(!scratch.join("src/copied").exists());
    }
}

#[test]
fn missing_directories_of_the_destination_are_made() {
    let forms: [&[&str]; 9] = [
        &["-r", "--mkpath", "src/new", "a/b/"],
        &["-ri", "--mkpath", "src/new", "a/b"],
        &["-ri", "--mkpath", "src/new", "a/b/c"],
        &["-ri", "--mkpath", "src/sub", "a/b/c"],
        &["-ri", "--mkpath", "src/new", "src/changed", "a/b"],
        &["-rin", "--mkpath", "src/sub", "a/b/c"],
        &["-ri", "--mkpath", "src/", "dst"],
        &["-ri", "--mkpath", "src/new", "renamed"],
        &["-r", "src/new", "a/b/"],
    ];
    for form in forms {
        does_as_rsync(tree, form);
    }
    does_as_rsync(with_destination, &["-ri", "--mkpath", "src/", "dst/x/y"]);
}

#[test]
fn sources_that_do_not_exist_can_be_ignored() {
    let forms: [&[&str]; 4] = [
        &["-a", "--ignore-missing-args", "nowhere", "src/new", "dst"],
        &["-a", "--ignore-missing-args", "nowhere", "dst"],
        &["-a", "--ignore-missing-args", "no/where", "src", "dst"],
        &["-a", "nowhere", "src/new", "dst"],
    ];
    for form in forms {
        does_as_rsync(tree, form);
    }
}

#[test]
fn a_directory_makes_way_by_force() {
    let prepare = |scratch: &Scratch| {
        with_destination(scratch);
        scratch.write("dst/new/deep/file", "in the way");
        scratch.write("dst/link/file", "in the way");
        scratch.write("dst/sub/deep", "a file where a directory goes");
    };
    let forms: [&[&str]; 4] = [
        &["-ai", "-O", "--force", "src/", "dst"],
        &["-ain", "-O", "--force", "src/", "dst"],
        &["-a", "--force", "--exclude=file", "src/", "dst"],
        &["-a", "--force", "-b", "src/", "dst"],
    ];
    for form in &forms[..2] {
        does_as_rsync(prepare, form);
    }
    // What stays in the way is said in other words.
    for form in &forms[2..] {
        let (mine, theirs) = (Scratch::new(), Scratch::new());
        prepare(&mine);
        prepare(&theirs);
        let Some(their_run) = rsync(theirs.path(), form) else {
            return;
        };
        let my_run = flexsync(mine.path(), "direct", form);
        assert_eq!(my_run.status, their_run.status, "{my_run:?}\n{their_run:?}");
        let (mine, theirs) = (mine.path(), theirs.path());
        let seen = |path| snapshot(path, Times::Ignore);
        assert_same(&seen(mine), &seen(theirs), &format!("{form:?}"));
    }
}

#[test]
fn a_read_error_stops_deletion_unless_that_is_forbidden() {
    let scratch = Scratch::new();
    with_destination(&scratch);
    // A directory of rules that is wrong keeps its directory out, for everybody.
    scratch.write("src/empty/.rules", "no rule");
    let arguments = ["-a", "--delete", "--filter=: .rules", "src/", "dst"];
    flexsync(scratch.path(), "direct", &arguments).expect(23);
    assert!(scratch.join("dst/extra").exists());
    let arguments = [&["--ignore-errors"], &arguments[..]].concat();
    flexsync(scratch.path(), "direct", &arguments).expect(23);
    assert!(!scratch.join("dst/extra").exists());
}

#[test]
fn files_are_on_the_disk_before_they_get_their_names() {
    for options in [&["-a"][..], &["-a", "--copy-dest=../other"]] {
        let scratch = Scratch::new();
        tree(&scratch);
        common::copy(&scratch.join("src"), &scratch.join("other"));
        let arguments = [options, &["--fsync", "src/new", "dst/"]].concat();
        let Some(calls) = sync_calls(&scratch, &arguments) else {
            return;
        };
        assert_eq!(calls, ["fsync", "renameat2"], "{options:?}");
    }
}

#[test]
fn what_is_written_over_is_on_the_disk_elsewhere_before() {
    let scratch = Scratch::new();
    tree(&scratch);
    scratch.write("dst/new", "an old version");
    let arguments = ["-ab", "--inplace", "--fsync", "src/new", "dst/"];
    let Some(calls) = sync_calls(&scratch, &arguments) else {
        return;
    };
    assert_eq!(calls, ["fsync", "renameat2", "fsync"]);
}

/// The calls of a run that have files on the disk, or give them names, in their order.
fn sync_calls(scratch: &Scratch, arguments: &[&str]) -> Option<Vec<String>> {
    let traced = Command::new("strace")
        .current_dir(scratch.path())
        .args(["-f", "-e", "trace=fsync,renameat2", "-o", "trace", FLEXSYNC])
        .args(["--backend", "direct"])
        .args(arguments)
        .output();
    let Ok(traced) = traced else {
        println!("SKIP: strace is not installed (apt-get install strace)");
        return None;
    };
    assert!(traced.status.success(), "{traced:?}");
    let trace = fs::read_to_string(scratch.join("trace")).unwrap();
    // A line begins with the thread's number.
    let calls = trace.lines().filter_map(|line| line.split_once('('));
    let names = calls.filter_map(|(call, _)| call.split_whitespace().nth(1));
    Some(names.map(str::to_owned).collect())
}

#[test]
fn options_that_are_not_there_yet_are_refused() {
    let scratch = Scratch::new();
    tree(&scratch);
    for option in ["-z", "--write-devices", "--iconv=."] {
        let run = flexsync(scratch.path(), "direct", &["-a", option, "src/", "dst"]).expect(4);
        let name = option.split('=').next().unwrap();
        assert!(
            run.stderr.contains(name) && run.stderr.contains("not supported"),
            "{}",
            run.stderr
        );
        assert!(!scratch.join("dst").exists());
    }
    for option in ["--no-such-option", "-Q"] {
        flexsync(scratch.path(), "direct", &["-a", option, "src/", "dst"]).expect(1);
    }
}

#[test]
fn a_destination_that_cannot_be_made_is_not_said_to_be_made() {
    let prepare = |scratch: &Scratch| drop(scratch.write("src/file", "contents"));
    does_as_rsync(prepare, &["-rv", "src/", "missing/dst"]);
}
