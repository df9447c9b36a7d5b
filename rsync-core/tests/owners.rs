// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--usermap`, `--groupmap`, `--chown`: the same trees and lines as rsync's.

mod common;

use common::child::{NOBODY, as_nobody};
use common::{BACKENDS, Random, Scratch, does_as_rsync, does_as_rsync_on, flexsync, rsync};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};

/// Users and groups with a name on every Debian, and some that have none.
const IDS: [u32; 7] = [0, 1, 2, 8, 3000, 3001, 65534];

/// Files of several users and groups, some of them already at the destination.
fn prepare(scratch: &Scratch) {
    for (index, uid) in IDS.into_iter().enumerate() {
        let gid = IDS[(index + 3) % IDS.len()];
        let name = format!("dir{uid}");
        let inside = scratch.write(&format!("src/{name}/file"), "contents");
        let file = scratch.write(&format!("src/file{uid}"), "contents");
        let link = scratch.join(format!("src/link{uid}"));
        symlink("nowhere", &link).unwrap();
        for path in [scratch.join(format!("src/{name}")), inside, file, link] {
            lchown(path, Some(uid), Some(gid)).unwrap();
        }
    }
    common::copy(&scratch.join("src"), &scratch.join("dst"));
    fs::remove_dir_all(scratch.join("dst/dir1")).unwrap();
    fs::write(scratch.join("dst/file2"), "other contents").unwrap();
    common::date(&scratch.join("src"), 1_000_000_000);
    common::date(&scratch.join("dst"), 1_000_000_000);
}

/// Says so if files cannot be given away.
fn may_give() -> bool {
    let root = common::is_root();
    if !root {
        println!("SKIP: only root can give files away");
    }
    root
}

#[test]
fn files_are_given_to_whom_rsync_gives_them() {
    if !may_give() {
        return;
    }
    for arguments in [
        &["-ai", "--usermap=1:5,daemon:6"][..],
        &["-ai", "--usermap=0-2:games,3000:7", "--groupmap=:bin"],
        &["-rli", "--usermap=d*:07,[rx]*:8,?in:9"],
        &["-ai", "--groupmap=*:nogroup", "--no-W"],
        &[
            "-ai",
            "--usermap=nosuch:5,5-1:6,-5:7",
            "--groupmap=d\\aemon:5",
        ],
        &["-ai", "--numeric-ids", "--usermap=daemon:5,root:6,:7"],
        &["-ai", "--numeric-ids", "--usermap=d*:5,*:6"],
        &["-ai", "--chown=bin"],
        &["-rlti", "--chown=bin:"],
        &["-rti", "--chown=:65534"],
        &["-ai", "--chown=1:daemon"],
        &["-ai", "--chown=:"],
        &["-ai", "--chown=bin", "--chown=:1"],
        &["-ai", "--chown=bin", "--groupmap=1:2"],
        &["-ai", "--chown=bin:1", "--no-owner"],
        &["-ai", "--no-o", "--chown=bin:1"],
        &["-ai", "--usermap=1:5", "--no-o", "--groupmap=1:5", "-g"],
        &["-ai", "--out-format=%i %U %G %n", "--usermap=*:7"],
        &["-ain", "--chown=1:1"],
        &["-ai", "--inplace", "--chown=1:1"],
        &["-ai", "--chown=1:1", "--link-dest=../src"],
    ] {
        does_as_rsync(prepare, &[arguments, &["src/", "dst"]].concat());
    }
}

/// One part of a map, mostly one that is right and matches something.
fn part(random: &mut Random) -> String {
    let number = |random: &mut Random| random.pick(&IDS).to_string();
    let from = match random.below(6) {
        0 => (*random.pick(&["daemon", "bin", "root", "mail", ""])).to_owned(),
        1 => (*random.pick(&["*", "d*", "?in", "[a-d]*", "*i*"])).to_owned(),
        2 => format!("{}-{}", number(random), number(random)),
        _ => number(random),
    };
    let to = match random.chance(50) {
        true => number(random),
        false => (*random.pick(&["daemon", "bin", "root"])).to_owned(),
    };
    format!("{from}:{to}")
}

#[test]
fn random_maps_do_what_they_do_for_rsync() {
    if !may_give() {
        return;
    }
    let mut random = Random::new(41);
    for round in 0..40 {
        let map = |random: &mut Random| -> String {
            let parts: Vec<_> = (0..1 + random.below(4)).map(|_| part(random)).collect();
            parts.join(",")
        };
        let users = format!("--usermap={}", map(&mut random));
        let groups = format!("--groupmap={}", map(&mut random));
        let backend = BACKENDS[round % BACKENDS.len()];
        does_as_rsync_on(backend, prepare, &["-ai", &users, &groups, "src/", "dst"]);
    }
}

#[test]
fn wrong_maps_are_refused_before_anything_is_done() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    for arguments in [
        &["--usermap="][..],
        &["--usermap=daemon"],
        &["--usermap=daemon:"],
        &["--usermap=1:5,"],
        &["--usermap=1-:5"],
        &["--usermap=1x:5"],
        &["--usermap=1-2-3:5"],
        &["--groupmap=1:99999999999"],
        &["--groupmap=1-4294967296:7"],
        &["--chown=a,b"],
        &["--usermap=1:5", "--usermap=2:6"],
        &["--groupmap=1:5", "--groupmap=2:6"],
        &["--chown=bin", "--usermap=1:2"],
        &["--groupmap=1:2", "--chown=:bin"],
        &["--chown=bin", "--chown=daemon:1"],
    ] {
        let arguments = [&["-a"], arguments, &["src/", "dst"]].concat();
        let mine = flexsync(scratch.path(), "direct", &arguments).expect(1);
        let option = arguments[1].split('=').next().unwrap();
        assert!(
            mine.stderr.contains(option),
            "{arguments:?}: {}",
            mine.stderr
        );
        if let Some(theirs) = rsync(scratch.path(), &arguments) {
            assert_eq!(theirs.status, 1, "{arguments:?}: {}", theirs.stderr);
        }
        assert!(!scratch.join("dst").exists());
    }
}

/// rsync says so and goes on without that part of the map, so that files get owners that nobody asked for.
#[test]
fn names_that_nobody_has_are_refused() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    for (map, problem) in [
        ("--usermap=*:nobody-has-this", "is no user here"),
        ("--usermap=1:-1", "is no user here"),
        ("--groupmap=1:5:6", "\"5:6\" is no group here"),
        ("--chown=1.2", "\"1.2\" is no user here"),
        ("--chown=1:b*", "is no group here"),
    ] {
        let run = flexsync(scratch.path(), "direct", &["-a", map, "src/", "dst"]).expect(1);
        assert!(run.stderr.contains(problem), "{map}: {}", run.stderr);
        assert!(!scratch.join("dst").exists());
    }
}

#[test]
fn who_may_not_give_files_away_keeps_them() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    fs::create_dir(scratch.join("dst")).unwrap();
    if !may_give() {
        return;
    }
    lchown(scratch.join("dst"), Some(NOBODY), Some(NOBODY)).unwrap();
    let Some(run) = as_nobody(&scratch, &["-r", "--chown=1:1", "src/", "dst"]) else {
        return;
    };
    run.expect(0);
    let made = fs::metadata(scratch.join("dst/file")).unwrap();
    assert_eq!((made.uid(), made.gid()), (NOBODY, NOBODY));
}

/// Where groups are not copied, a file gets that of a directory whose set-group-ID bit is set when the file is made.
#[test]
fn a_directory_passes_its_group_on_as_it_is_to_do_at_last() {
    if !may_give() {
        return;
    }
    let prepare = |scratch: &Scratch| {
        for (name, wanted, found) in [
            ("", 0o2755, 0o755),
            ("gets it", 0o2755, 0o755),
            ("loses it", 0o755, 0o2755),
            ("has it", 0o2750, 0o2700),
        ] {
            for inside in ["file", "sub/file", "sub/deep/file"] {
                scratch.write(&format!("src/{name}/{inside}"), "contents");
            }
            let source = scratch.join("src").join(name);
            let destination = scratch.join("dst").join(name);
            fs::create_dir_all(&destination).unwrap();
            lchown(&destination, Some(0), Some(3001)).unwrap();
            for (path, mode) in [(source, wanted), (destination, found)] {
                fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
        }
        let deep = scratch.join("src/has it/sub/deep");
        fs::set_permissions(deep, Permissions::from_mode(0o2755)).unwrap();
        common::date(&scratch.join("src"), 1_000_000_000);
        common::date(&scratch.join("dst"), 1_000_000_000);
    };
    for options in ["-rlpti", "-rlti", "-ai", "-rlptni"] {
        does_as_rsync(prepare, &[options, "src/", "dst"]);
    }
}
