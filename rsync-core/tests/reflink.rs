// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copies that share blocks with their sources: `--reflink`. rsync has no such option.

mod common;

use common::{BACKENDS, Random, Scratch, Times, assert_same, flexsync, is_root, snapshot};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A file system of a kind in a file, mounted below a scratch directory.
struct Mounted {
    scratch: Scratch,
}

impl Mounted {
    /// `None`, which is said, where that cannot be had.
    fn new(kind: &str) -> Option<Self> {
        let scratch = Scratch::new();
        let skip = |why: &str| println!("SKIP: no {kind} for --reflink: {why}");
        if !is_root() {
            skip("only the superuser mounts");
            return None;
        }
        let (image, at) = (scratch.join("image"), scratch.join("at"));
        let file = fs::File::create(&image).unwrap();
        file.set_len(400 << 20).unwrap();
        fs::create_dir(&at).unwrap();
        let done = |command: &mut Command| match command.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        };
        let made = done(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
        let mut mount = Command::new("mount");
        mount.args(["-t", kind, "-o", "loop"]).args([&image, &at]);
        match made.and_then(|()| done(&mut mount)) {
            Ok(()) => Some(Self { scratch }),
            Err(error) => {
                skip(&error);
                None
            }
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.scratch.join("at")
    }

    /// Bytes that are in use.
    fn used(&self) -> u64 {
        let synced = Command::new("sync").arg("-f").arg(self.path()).status();
        assert!(synced.unwrap().success());
        let found = rustix::fs::statvfs(self.path()).unwrap();
        (found.f_blocks - found.f_bfree) * found.f_frsize
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

const SIZE: usize = 40 << 20;

/// A long file, a short one, an empty one, and an old version of one of them.
fn grow(root: &Path) {
    fs::create_dir_all(root.join("src/sub")).unwrap();
    fs::create_dir(root.join("dst")).unwrap();
    fs::write(root.join("src/long"), Random::new(8).bytes(SIZE)).unwrap();
    fs::write(root.join("src/sub/short"), "contents").unwrap();
    fs::write(root.join("src/empty"), "").unwrap();
    fs::write(root.join("dst/long"), "the old version").unwrap();
}

#[test]
fn blocks_are_shared_as_far_as_it_is_asked_for() {
    for kind in ["btrfs", "xfs"] {
        let Some(mounted) = Mounted::new(kind) else {
            continue;
        };
        let root = mounted.path();
        grow(&root);
        for (when, shared) in [("auto", true), ("always", true), ("never", false)] {
            for &backend in BACKENDS.iter() {
                // Nothing is removed: some file systems take their time to free what was in use.
                let before = mounted.used();
                let (option, to) = (format!("--reflink={when}"), format!("{when}-{backend}"));
                flexsync(&root, backend, &["-a", &option, "src/", &to]).expect(0);
                let more = mounted.used().saturating_sub(before);
                assert_eq!(more < SIZE as u64 / 2, shared, "{kind} {to}: {more}");
                assert_same(
                    &snapshot(&root.join("src"), Times::Compare),
                    &snapshot(&root.join(&to), Times::Compare),
                    &format!("{kind} {to}"),
                );
            }
        }
    }
}

#[test]
fn a_copy_of_another_tree_shares_its_blocks_if_it_has_to() {
    let Some(mounted) = Mounted::new("btrfs") else {
        return;
    };
    let root = mounted.path();
    grow(&root);
    common::copy(&root.join("src"), &root.join("other"));
    let before = mounted.used();
    let arguments = [
        "-a",
        "--reflink=always",
        "--copy-dest=../other",
        "--stats",
        "src/",
        "new",
    ];
    let run = flexsync(&root, "direct", &arguments).expect(0);
    assert_eq!(run.figure("Number of regular files transferred"), 0);
    assert!(mounted.used().saturating_sub(before) < SIZE as u64 / 2);
    assert!(fs::read(root.join("src/long")).unwrap() == fs::read(root.join("new/long")).unwrap());
}

#[test]
fn a_file_that_has_to_share_blocks_and_cannot_is_a_failure() {
    // Neither ext4 nor tmpfs can.
    let scratch = Scratch::new();
    grow(scratch.path());
    let probe = scratch.join("probe");
    let can = Command::new("cp")
        .arg("--reflink=always")
        .args([&scratch.join("src/long"), &probe])
        .output();
    if can.is_ok_and(|output| output.status.success()) {
        println!("SKIP: this file system shares blocks");
        return;
    }
    for &backend in BACKENDS.iter() {
        let run = flexsync(
            scratch.path(),
            backend,
            &["-a", "--reflink=always", "src/", "dst"],
        );
        let said = &run.stderr;
        assert!(
            said.contains("cannot share the blocks of the source with \"dst/long\""),
            "{said}"
        );
        assert!(said.contains("leave out --reflink=always"), "{said}");
        run.expect(23);
        assert_eq!(
            fs::read(scratch.join("dst/long")).unwrap(),
            b"the old version"
        );
        assert!(!scratch.join("dst/sub/short").exists());
        assert!(scratch.join("dst/empty").exists(), "it has no blocks");
        assert!(common::leftovers(&scratch.join("dst")).is_empty());
    }
}

#[test]
fn what_cannot_be_cloned_is_not_asked_to_be() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    for option in ["--no-W", "--inplace", "--append", "--out-format=%C"] {
        let arguments = ["-a", "--reflink=always", option, "src/", "dst"];
        let run = flexsync(scratch.path(), "direct", &arguments).expect(1);
        assert!(run.stderr.contains("--reflink=always"), "{run:?}");
        assert!(!scratch.join("dst").exists());
    }
    flexsync(
        scratch.path(),
        "direct",
        &["-a", "--reflink=perhaps", "src/", "dst"],
    )
    .expect(1);
}
