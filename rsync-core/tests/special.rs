// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices, named pipes and sockets: the same trees, lines and figures as rsync's. Exceptions:
//!
//! - rsync takes a character device and a block device of one number for the same.
//! - Without `--perms`, rsync gives what takes the place of a symbolic link that link's mode, which is 0777.

mod common;

use common::{
    BACKENDS, Random, Run, Scratch, Times, assert_same, change, copy, does_as_rsync, flexsync,
    grow, grow_specials, leftovers, make_special, may_make_devices, numbers, rsync, same_lines,
    snapshot, whole_seconds,
};
use nix::sys::stat::{SFlag, makedev};
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::process::Command;

/// Both programs on copies of the same trees.
fn as_rsync(backend: &str, seed: u64, options: &[&str]) {
    let what = format!("backend {backend}, seed {seed}, {options:?}");
    let scratch = Scratch::new();
    let mut random = Random::new(seed);
    for side in ["mine", "theirs"] {
        fs::create_dir(scratch.join(side)).unwrap();
    }
    let tree = scratch.join("mine/src");
    grow(&tree, &mut random, 30);
    grow_specials(&tree, &mut random, 30);
    whole_seconds(&tree);
    let old = scratch.join("mine/dst");
    copy(&tree, &old);
    change(&old, &mut random);
    grow_specials(&old, &mut random, 15);
    whole_seconds(&old);
    copy(&tree, &scratch.join("theirs/src"));
    copy(&old, &scratch.join("theirs/dst"));
    for (round, dst) in ["dst", "dst", "new"].into_iter().enumerate() {
        let what = format!("{what}, run {round} to {dst}");
        let arguments = [&["-vi", "--stats"], options, &["src/", dst]].concat();
        let Some(theirs) = rsync(&scratch.join("theirs"), &arguments) else {
            return;
        };
        let mine = flexsync(&scratch.join("mine"), backend, &arguments);
        assert_eq!(
            numbers(&mine),
            numbers(&theirs),
            "{what}\n{mine:?}\n{theirs:?}"
        );
        same_lines(&mine.files(), &theirs.files(), &what);
        if options[0].contains('a') {
            // Beside backups, and with -O, the times of directories are left alone.
            let times = match options.contains(&"--no-t") || options[0].contains(['b', 'O']) {
                true => Times::Ignore,
                false => Times::Seconds,
            };
            for tree in ["src", dst] {
                let seen = |side: &str| {
                    let tree = scratch.join(side).join(tree);
                    tree.exists().then(|| snapshot(&tree, times))
                };
                let (mine, theirs) = (seen("mine"), seen("theirs"));
                assert_same(
                    &mine.unwrap_or_default(),
                    &theirs.unwrap_or_default(),
                    &what,
                );
            }
        }
    }
}

#[test]
fn random_trees_become_what_rsync_makes_of_them() {
    const OPTIONS: [&[&str]; 16] = [
        &["-a"],
        &["-aii"],
        &["-a", "--delete"],
        &["-an", "--delete"],
        &["-aicI", "--no-t"],
        &["-rltD"],
        &["-r", "--devices"],
        &["-rlt", "--specials", "--delete"],
        &["-a", "--no-D"],
        &["-a", "--no-devices"],
        &["-a", "--no-specials"],
        &["-aD", "--no-devices", "--devices"],
        &["-au", "--force"],
        &["-ab", "--suffix=.old", "--exclude=nnn*"],
        &["-a", "--existing"],
        &["-aO", "--max-size=1", "--remove-source-files"],
    ];
    for (index, options) in OPTIONS.iter().enumerate() {
        let backend = BACKENDS[index % BACKENDS.len()];
        as_rsync(backend, 9000 + index as u64, options);
    }
}

#[test]
fn what_is_listed_has_its_letter() {
    let scratch = Scratch::new();
    let tree = scratch.join("src");
    grow(&tree, &mut Random::new(3), 10);
    grow_specials(&tree, &mut Random::new(4), 30);
    whole_seconds(&tree);
    for options in ["-a", "-r", "-rD"] {
        let arguments = ["--list-only", options, "src"];
        let Some(theirs) = rsync(scratch.path(), &arguments) else {
            return;
        };
        let mine = flexsync(scratch.path(), "direct", &arguments);
        assert_eq!(mine.stdout, theirs.stdout, "{options}");
    }
}

#[test]
fn single_ones_are_made_under_another_name() {
    let prepare = |scratch: &Scratch| {
        make_special(&scratch.join("pipe"), SFlag::S_IFIFO, 0o640, 0);
        make_special(&scratch.join("null"), SFlag::S_IFCHR, 0o666, makedev(1, 3));
        scratch.write("other", "in the way");
    };
    for arguments in [
        &["-ai", "pipe", "new"][..],
        &["-ai", "pipe", "other"],
        &["-ai", "pipe", "null", "dir/"],
        &["-aiR", "./pipe", "dir/"],
        &["-ai", "--ignore-existing", "pipe", "other"],
        &["-ai", "--ignore-existing", "null", "pipe", "."],
    ] {
        does_as_rsync(prepare, arguments);
    }
}

#[test]
fn a_device_of_the_other_kind_is_made_anew() {
    let scratch = Scratch::new();
    if !may_make_devices(&scratch) {
        return;
    }
    for dir in ["src", "dst"] {
        fs::create_dir(scratch.join(dir)).unwrap();
    }
    let device = makedev(7, 99);
    make_special(&scratch.join("src/x"), SFlag::S_IFBLK, 0o600, device);
    make_special(&scratch.join("dst/x"), SFlag::S_IFCHR, 0o600, device);
    let run = flexsync(scratch.path(), "direct", &["-ai", "src/", "dst"]).expect(0);
    assert!(run.stdout.contains("cDc"), "{}", run.stdout);
    let made = fs::symlink_metadata(scratch.join("dst/x")).unwrap();
    assert!(made.file_type().is_block_device() && made.rdev() == device);
    assert!(leftovers(&scratch.join("dst")).is_empty());
}

#[test]
fn a_mode_is_never_set_through_a_link() {
    let scratch = Scratch::new();
    for dir in ["src", "dst"] {
        fs::create_dir(scratch.join(dir)).unwrap();
    }
    let outside = scratch.write("outside", "x");
    let mode = fs::metadata(&outside).unwrap().mode();
    for name in ["pipe", "socket"] {
        let kind = if name == "pipe" {
            SFlag::S_IFIFO
        } else {
            SFlag::S_IFSOCK
        };
        make_special(&scratch.join("src").join(name), kind, 0o606, 0);
        symlink("../outside", scratch.join("dst").join(name)).unwrap();
    }
    flexsync(scratch.path(), "direct", &["-a", "src/", "dst"]).expect(0);
    assert_eq!(fs::metadata(&outside).unwrap().mode(), mode);
    assert_same(
        &snapshot(&scratch.join("src"), Times::Compare),
        &snapshot(&scratch.join("dst"), Times::Compare),
        "links in the way",
    );
}

#[test]
fn a_device_that_may_not_be_made_is_named_and_the_others_are_copied() {
    let scratch = Scratch::new();
    if !may_make_devices(&scratch) {
        return;
    }
    scratch.write("src/zz", "contents");
    make_special(
        &scratch.join("src/null"),
        SFlag::S_IFCHR,
        0o666,
        makedev(1, 3),
    );
    make_special(&scratch.join("src/pipe"), SFlag::S_IFIFO, 0o666, 0);
    // The superuser of a user namespace of its own has no such right.
    let mut command = Command::new("unshare");
    command.current_dir(scratch.path());
    command.args([
        "-r",
        common::FLEXSYNC,
        "--backend",
        common::tested("direct"),
        "-a",
        "src/",
        "dst",
    ]);
    let run = Run::from(command.output().unwrap());
    if run.stderr.starts_with("unshare: ") {
        println!("SKIP: no user namespace can be made here: {}", run.stderr);
        return;
    }
    let run = run.expect(23);
    let told = "cannot make device \"dst/null\": EPERM";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    assert!(run.stderr.contains("--no-devices"), "{}", run.stderr);
    let made = fs::symlink_metadata(scratch.join("dst/pipe")).unwrap();
    assert!(made.file_type().is_fifo());
    assert_eq!(fs::read(scratch.join("dst/zz")).unwrap(), b"contents");
    assert!(!scratch.join("dst/null").exists());
}

#[test]
fn what_is_not_copied_is_told_of_where_it_would_be_made_or_changed() {
    let scratch = Scratch::new();
    for name in ["new", "there", "dir"] {
        scratch.write("src/file", "");
        make_special(
            &scratch.join(format!("src/{name}")),
            SFlag::S_IFIFO,
            0o644,
            0,
        );
    }
    scratch.write("dst/there", "");
    fs::create_dir(scratch.join("dst/dir")).unwrap();
    for options in ["--existing", "--ignore-existing", "-n"] {
        let arguments = ["-r", "-n", options, "src/", "dst"];
        let Some(theirs) = rsync(scratch.path(), &arguments) else {
            return;
        };
        let mine = flexsync(scratch.path(), "direct", &arguments);
        same_lines(&mine, &theirs, options);
    }
}

#[test]
fn set_id_bits_stay_with_a_change_of_owner() {
    if !common::is_root() {
        return println!("SKIP: only root can give files away");
    }
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        for (root, owner) in [("src", 3001), ("dst", 3002)] {
            fs::create_dir(scratch.join(root)).unwrap();
            let path = scratch.join(root).join("pipe");
            make_special(&path, SFlag::S_IFIFO, 0o600, 0);
            lchown(&path, Some(owner), None).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o4711)).unwrap();
        }
        flexsync(scratch.path(), backend, &["-a", "src/", "dst"]).expect(0);
        let pipe = fs::metadata(scratch.join("dst/pipe")).unwrap();
        let seen = (pipe.uid(), pipe.mode() & 0o7777);
        assert_eq!(seen, (3001, 0o4711), "{backend}");
    }
}
