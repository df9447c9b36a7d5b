// SPDX-License-Identifier: MIT OR Apache-2.0

//! When something is deleted. Exceptions to what rsync does:
//!
//! - With `--delete-during` many directories are worked on at once: the order within each is rsync's, not that of the
//!   directories. What cannot be read among the next thousand files prevents deletion; rsync looks less far ahead.

mod common;

use common::child::{NOBODY, as_nobody};
use common::{
    BACKENDS, FLEXSYNC, Random, Run, Scratch, Times, assert_same, change, copy, does_as_rsync,
    flexsync, grow, paths, rsync, snapshot,
};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What is deleted, in this order, as rsync shows it.
fn deleted(run: &Run) -> Vec<&str> {
    let lines = run.stdout.lines();
    lines
        .filter_map(|line| line.strip_prefix("*deleting   "))
        .collect()
}

/// What is deleted in each directory that stays, and where something else takes a directory's place.
fn by_directory<'a>(run: &'a Run, scratch: &Scratch) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for path in deleted(run) {
        let parents = path.match_indices('/').rev().map(|(at, _)| &path[..at]);
        let around = parents.filter(|parent| *parent != path.trim_end_matches('/'));
        let stays = |parent: &&str| {
            let there =
                fs::symlink_metadata(scratch.join("src").join(parent.replace("\\#012", "\n")));
            there.is_ok()
        };
        let around = around.into_iter().find(stays).unwrap_or_default();
        found.entry(around).or_default().push(path);
    }
    found
}

/// Both programs on copies of the same random trees.
fn both(backend: &str, seed: u64, options: &[&str]) -> Option<(Scratch, Run, Run)> {
    let scratch = Scratch::new();
    let mut random = Random::new(seed);
    grow(&scratch.join("src"), &mut random, 60);
    copy(&scratch.join("src"), &scratch.join("mine"));
    change(&scratch.join("mine"), &mut random);
    grow(&scratch.join("mine/gone"), &mut random, 20);
    copy(&scratch.join("mine"), &scratch.join("theirs"));
    let arguments = |to| [&["-ai"], options, &["src/", to]].concat();
    let theirs = rsync(scratch.path(), &arguments("theirs"))?;
    let mine = flexsync(scratch.path(), backend, &arguments("mine"));
    assert_eq!(mine.status, theirs.status, "{mine:?}\n{theirs:?}");
    // What stays for a limit of deletions has the time of the last one in it.
    let limited = options
        .iter()
        .any(|option| option.starts_with("--max-delete"));
    let times = if limited {
        Times::Ignore
    } else {
        Times::Seconds
    };
    assert_same(
        &snapshot(&scratch.join("mine"), times),
        &snapshot(&scratch.join("theirs"), times),
        &format!("{seed} {options:?}"),
    );
    Some((scratch, mine, theirs))
}

#[test]
fn before_and_after_delete_in_the_order_of_rsync() {
    const OPTIONS: [&[&str]; 7] = [
        &["--delete-before"],
        &["--delete-before", "-m"],
        &["--delete-delay"],
        &["--delete-after"],
        &["--delete-before", "-n"],
        &["--delete-after", "--no-W", "-H"],
        &["--delete-before", "-c", "--max-delete=5"],
    ];
    for (index, options) in OPTIONS.iter().enumerate() {
        for round in 0..3 {
            let backend = BACKENDS[(index + round) % BACKENDS.len()];
            let seed = 9000 + 10 * index as u64 + round as u64;
            let Some((_, mine, theirs)) = both(backend, seed, options) else {
                return;
            };
            // What makes way is deleted when that is done.
            let way = |run: &Run| -> Vec<String> {
                let (mine, theirs) = (deleted(&mine), deleted(&theirs));
                let both = |path: &&&str| mine.contains(path) && theirs.contains(path);
                let paths = deleted(run);
                paths
                    .iter()
                    .filter(both)
                    .map(|path| (*path).to_owned())
                    .collect()
            };
            assert_eq!(way(&mine), way(&theirs), "{backend} {seed} {options:?}");
            assert_eq!(
                deleted(&mine).len(),
                deleted(&theirs).len(),
                "{backend} {seed} {options:?}\n{mine:?}\n{theirs:?}"
            );
        }
    }
}

#[test]
fn what_is_deleted_before_all_else_changes_the_time_of_the_destination() {
    let plant = |scratch: &Scratch| {
        scratch.write("src/file", "file");
        scratch.write("src/sub/file", "file");
        copy(&scratch.join("src"), &scratch.join("dst"));
        scratch.write("dst/gone", "gone");
        scratch.write("dst/sub/gone", "gone");
        common::date(scratch.path(), 1_000_000_000);
    };
    for options in ["-ai", "-aii", "-ain", "-aiO", "-ai --exclude=gone"] {
        let arguments = format!("{options} --delete-before src/ dst");
        let arguments: Vec<_> = arguments.split(' ').collect();
        does_as_rsync(plant, &arguments);
    }
}

#[test]
fn it_is_told_where_something_is_deleted() {
    let plant = |scratch: &Scratch| {
        for name in [
            "src/file",
            "src/sub/file",
            "src/sub/deep/file",
            "two/sub/file",
        ] {
            scratch.write(name, "file");
        }
        for name in [
            "file",
            "gone",
            "sub/gone",
            "src/gone",
            "src/sub/deep/gone",
            "two/gone",
        ] {
            scratch.write(&format!("dst/{name}"), "file");
        }
        scratch.write("list", "sub\nfile\n");
        common::date(scratch.path(), 1_000_000_000);
    };
    let forms = [
        "-a src/ dst",
        "-a src two dst",
        "-a src/ two/ dst",
        "-a src/sub/ src/file dst",
        "-a src new",
        "-an src two dst",
        "-aR src/sub two dst",
        "-aR --no-implied-dirs src/sub/deep ./two/sub dst",
        "-d src/ dst",
        "-d src two/ dst",
        "-a src/file dst",
        "-ar --files-from=list src dst",
        "-a --exclude=gone src two dst",
        "-am src two dst",
    ];
    for form in forms {
        for when in ["before", "during", "delay", "after"] {
            let arguments = format!("--debug=del --delete-{when} {form}");
            let arguments: Vec<_> = arguments.split(' ').collect();
            does_as_rsync(plant, &arguments);
        }
    }
}

#[test]
fn each_directory_is_cleaned_in_the_order_of_rsync_meanwhile() {
    for (seed, options) in (9100..).zip([["--del"], ["--delete-during"]]) {
        for &backend in BACKENDS.iter() {
            let Some((scratch, mine, theirs)) = both(backend, seed, &options) else {
                return;
            };
            let mine = by_directory(&mine, &scratch);
            assert_eq!(mine, by_directory(&theirs, &scratch), "{backend} {seed}");
        }
    }
}

#[test]
fn rules_that_come_with_the_transfer_count_only_afterwards() {
    for when in [
        "--delete",
        "--delete-before",
        "--delete-during",
        "--delete-delay",
        "--delete-after",
    ] {
        let prepare = |scratch: &Scratch| {
            scratch.write("src/sub/.rules", "P *.kept\n");
            scratch.write("dst/sub/a.kept", "protected by what comes");
            scratch.write("dst/sub/b", "protected by nothing");
            scratch.write("dst/top.kept", "protected by nothing");
        };
        does_as_rsync(prepare, &["-a", "-f: .rules", when, "src/", "dst"]);
    }
}

#[test]
fn links_to_directories_are_not_deleted_where_they_lead() {
    for when in [
        "--delete-before",
        "--del",
        "--delete-delay",
        "--delete-after",
    ] {
        for &backend in BACKENDS.iter() {
            let scratch = Scratch::new();
            scratch.write("src/link/file", "newer");
            scratch.write("dst/real/file", "old");
            scratch.write("dst/real/extra", "not in the source");
            symlink("real", scratch.join("dst/link")).unwrap();
            let run = flexsync(scratch.path(), backend, &["-aK", when, "src/", "dst"]).expect(0);
            assert_eq!(
                fs::read(scratch.join("dst/real/file")).unwrap(),
                b"newer",
                "{when} {run:?}"
            );
            assert!(!scratch.join("dst/real/extra").exists(), "{when}");
        }
    }
}

#[test]
fn only_one_time_can_be_asked_for() {
    let scratch = Scratch::new();
    scratch.write("src/file", "x");
    let times = ["before", "during", "delay", "after"].map(|when| format!("--delete-{when}"));
    for one in &times {
        for other in &times {
            let arguments = ["-a", "--delete", one, other, "src/", "dst"];
            let Some(theirs) = rsync(scratch.path(), &arguments) else {
                return;
            };
            let mine = flexsync(scratch.path(), "direct", &arguments);
            assert_eq!(mine.status, theirs.status, "{one} {other} {mine:?}");
        }
    }
}

#[test]
fn more_directories_than_can_be_open_are_cleaned_before_all_else() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        for number in 0..400 {
            scratch.write(&format!("src/{number}/file"), "new");
            scratch.write(&format!("dst/{number}/extra"), "old");
        }
        let mut command = std::process::Command::new("sh");
        let line = "ulimit -n 80; exec \"$@\"";
        let arguments = ["-c", line, "sh", FLEXSYNC, "--backend", backend];
        let command = command.current_dir(scratch.path()).args(arguments);
        let command = command.args(["-ai", "--delete-before", "src/", "dst"]);
        let run = Run::from(command.output().unwrap()).expect(0);
        let first = run.stdout.lines().take(400);
        assert!(
            first.clone().all(|line| line.starts_with("*deleting ")),
            "{}",
            run.stdout
        );
        assert_same(
            &snapshot(&scratch.join("src"), Times::Compare),
            &snapshot(&scratch.join("dst"), Times::Compare),
            backend,
        );
    }
}

#[test]
fn what_is_in_use_is_deleted_last() {
    for options in ["--link-dest=extra", "--copy-dest=extra", "--temp-dir=extra"] {
        for &backend in BACKENDS.iter() {
            let scratch = Scratch::new();
            for number in 0..50 {
                scratch.write(&format!("src/{number}/file"), "contents");
                scratch.write(&format!("dst/extra/{number}/file"), "contents");
            }
            common::date(scratch.path(), 1_000_000_000);
            let arguments = ["-a", "--delete", options, "--stats", "src/", "dst"];
            let run = flexsync(scratch.path(), backend, &arguments).expect(0);
            let transferred = run.figure("Number of regular files transferred");
            let found = options != "--temp-dir=extra";
            assert_eq!(transferred, if found { 0 } else { 50 }, "{options}");
            assert_same(
                &snapshot(&scratch.join("src"), Times::Compare),
                &snapshot(&scratch.join("dst"), Times::Compare),
                options,
            );
        }
    }
}

#[test]
fn a_directory_of_the_destination_that_cannot_be_read_prevents_deletion() {
    for option in ["--delete-before", "--delete-delay", "--delete-after"] {
        let scratch = Scratch::new();
        scratch.write("src/closed/file", "");
        let extra = scratch.write("dst/extra", "");
        let closed = scratch.join("dst/closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        chown(scratch.join("dst"), Some(NOBODY), Some(NOBODY)).unwrap();
        let Some(run) = as_nobody(&scratch, &["-r", option, "src/", "dst"]) else {
            return;
        };
        assert!(extra.exists(), "{option} {:?}", run.expect(23));
        let ignored = as_nobody(&scratch, &["-r", option, "--ignore-errors", "src/", "dst"]);
        assert!(
            !extra.exists(),
            "{option} {:?}",
            ignored.unwrap().expect(23)
        );
    }
}

/// A file that only root may read, another one, and one of the destination, which is nobody's, that is extra.
fn with_a_secret() -> Scratch {
    let scratch = Scratch::new();
    let secret = scratch.write("src/secret", "x");
    fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
    scratch.write("src/file", "x");
    scratch.write("dst/extra", "");
    chown(scratch.join("dst"), Some(NOBODY), Some(NOBODY)).unwrap();
    scratch
}

#[test]
fn a_file_that_cannot_be_read_prevents_deletion_afterwards() {
    const WHEN: [(&str, bool); 4] = [
        ("--delete-after", true),
        ("--delete-before", false),
        ("--delete-delay", false),
        ("--delete-during", false),
    ];
    for (option, prevented) in WHEN {
        let scratch = with_a_secret();
        let Some(run) = as_nobody(&scratch, &["-r", option, "src/", "dst"]) else {
            return;
        };
        let run = run.expect(23);
        assert_eq!(scratch.join("dst/extra").exists(), prevented, "{option}");
        let told = run.stderr.contains("nothing is deleted");
        assert_eq!(told, prevented, "{option} {run:?}");
        assert!(scratch.join("dst/file").exists(), "{option}");
    }
}

#[test]
fn so_it_does_with_rsync_and_not_if_errors_are_ignored() {
    for options in ["--delete-after", "--delete-after --ignore-errors"] {
        let options: Vec<_> = options.split(' ').collect();
        let arguments = [&["-r"], &options[..], &["src/", "dst"]].concat();
        let (mine, theirs) = (with_a_secret(), with_a_secret());
        let Some(run) = as_nobody(&mine, &arguments) else {
            return;
        };
        run.expect(23);
        let mut command = Command::new("rsync");
        command.current_dir(theirs.path()).args(&arguments);
        match command.uid(NOBODY).gid(NOBODY).output() {
            Ok(output) => _ = Run::from(output).expect(23),
            Err(_) => return println!("SKIP: rsync is not installed (apt-get install rsync)"),
        }
        let has = |scratch: &Scratch| scratch.join("dst/extra").exists();
        assert_eq!(has(&mine), has(&theirs), "{options:?}");
    }
}

#[test]
fn a_directory_makes_way_only_for_a_file_that_has_come() {
    for options in [
        "--delete",
        "--force",
        "--delete -H",
        "--delete-delay -m --inplace",
        "--delete --delay-updates",
    ] {
        let scratch = with_a_secret();
        fs::hard_link(scratch.join("src/secret"), scratch.join("src/another")).unwrap();
        let stay = ["secret/inner", "another/inner", "file"]
            .map(|name| scratch.write(&format!("dst/{name}/kept"), ""));
        for path in paths(&scratch.join("dst")) {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let options: Vec<_> = options.split(' ').collect();
        let arguments = [&["-r"], &options[..], &["src/", "dst"]].concat();
        let Some(run) = as_nobody(&scratch, &arguments) else {
            return;
        };
        let run = run.expect(23);
        assert!(stay[0].exists() && stay[1].exists(), "{options:?} {run:?}");
        assert!(scratch.join("dst/file").is_file(), "{options:?} {run:?}");
    }
}

#[test]
fn what_could_not_be_read_before_all_else_is_told_of_though_it_is_opened_up_later() {
    for name in ["dst", "dst/dir"] {
        let scratch = Scratch::new();
        scratch.write("src/dir/file", "");
        let extra = scratch.write("dst/dir/extra", "");
        for name in ["dst/dir/extra", "dst/dir", "dst"] {
            chown(scratch.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(scratch.join(name), Permissions::from_mode(0o300)).unwrap();
        let Some(run) = as_nobody(&scratch, &["-r", "--delete-before", "src/", "dst"]) else {
            return;
        };
        let run = run.expect(23);
        assert!(extra.exists(), "{run:?}");
        assert!(scratch.join("dst/dir/file").exists(), "{run:?}");
        assert!(
            run.stderr.contains(&format!("\"{name}\": EACCES")),
            "{run:?}"
        );
    }
}

#[test]
fn nothing_is_kept_of_a_file_whose_place_is_not_free_in_the_end() {
    for options in [
        "--delay-updates",
        "--partial-dir=.part",
        "--partial",
        "--inplace",
        "-T ../tmp",
    ] {
        let prepare = |scratch: &Scratch| {
            scratch.write("src/name", "contents");
            scratch.write("dst/name/protected", "");
            fs::create_dir(scratch.join("tmp")).unwrap();
        };
        let options: Vec<_> = options.split(' ').collect();
        let form = ["-r", "--delete", "--exclude=protected"];
        does_as_rsync(prepare, &[&form, &options[..], &["src/", "dst"]].concat());
    }
}

#[test]
fn nothing_is_deleted_where_less_is_allowed() {
    let prepare = |scratch: &Scratch| {
        scratch.write("src/file", "x");
        scratch.write("dst/a", "x");
        scratch.write("dst/d/one", "x");
        // Whether the directories' times differ is not to depend on how long that has taken.
        common::date(scratch.path(), 1_000_000_000);
    };
    for most in ["--max-delete=-1", "--max-delete=-7"] {
        does_as_rsync(prepare, &["-ai", "--delete", most, "src/", "dst"]);
    }
}
