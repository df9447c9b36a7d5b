// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--sparse` and `--preallocate`: the same contents, and never more blocks than rsync's.

mod common;

use common::{BACKENDS, Random, Run, Scratch, Times, assert_same, flexsync, rsync, snapshot};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

/// Files with holes, with written zeros, and with both.
fn plant(scratch: &Scratch) {
    let mut random = Random::new(9);
    let holes = File::create(scratch.write("src/holes", "")).unwrap();
    holes.write_all_at(&random.bytes(5000), 0).unwrap();
    holes.write_all_at(&random.bytes(3000), 1_000_001).unwrap();
    holes.set_len(3_000_000).unwrap();
    scratch.write("src/zeros", vec![0; 500_000]);
    scratch.write("src/short zeros", [0; 100]);
    scratch.write("src/empty", "");
    scratch.write("src/none", random.bytes(70_000));
    for name in ["mixed", "mixed too"] {
        let mut contents = Vec::new();
        while contents.len() < 900_000 {
            let length = random.below(100_000);
            contents.extend(random.bytes(length));
            contents.resize(contents.len() + *random.pick(&[1, 700, 5000, 90_000]), 0);
        }
        scratch.write(&format!("src/{name}"), contents);
    }
    common::date(&scratch.join("src"), 1_000_000_000);
}

/// An older version of each file, without any zeros; some are longer and some shorter.
fn plant_older(scratch: &Scratch, root: &str) {
    for (index, path) in common::paths(&scratch.join("src")).iter().enumerate() {
        let mut contents = fs::read(path).unwrap();
        for byte in &mut contents {
            if *byte == 0 {
                *byte = b'q';
            }
        }
        match index % 3 {
            0 => contents.truncate(contents.len() / 2),
            1 => contents.resize(contents.len() + 100_000, b'r'),
            _ => {}
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        scratch.write(&format!("{root}/{name}"), contents);
    }
    common::date(&scratch.join(root), 900_000_000);
}

fn blocks(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks()
}

#[track_caller]
fn same_contents(scratch: &Scratch, root: &str, what: &str) {
    let [source, made] = ["src", root].map(|root| snapshot(&scratch.join(root), Times::Ignore));
    assert_same(&source, &made, what);
}

#[test]
fn zeros_become_holes_wherever_they_do_for_rsync() {
    let scratch = Scratch::new();
    plant(&scratch);
    for (round, options) in [
        &["-aS"][..],
        &["-aS", "--no-W"],
        &["-aS", "--inplace"],
        &["-aS", "--inplace", "--no-W"],
        &["-aS", "--delay-updates"],
        &["-aS", "--no-S"],
        &["-a", "--no-sparse", "--sparse"],
        &["-aS", "--preallocate"],
        &["-aS", "--preallocate", "--inplace"],
        &["-aS", "-b"],
    ]
    .iter()
    .enumerate()
    {
        for older in [false, true] {
            for root in ["mine", "theirs"] {
                let _ = fs::remove_dir_all(scratch.join(root));
                if older {
                    plant_older(&scratch, root);
                }
            }
            let run = |program: &dyn Fn(&[&str]) -> Option<Run>, root| {
                program(&[options, &["src/", root][..]].concat())
            };
            let backend = BACKENDS[round % BACKENDS.len()];
            let what = format!("{backend} {options:?} {older}");
            let Some(theirs) = run(&|arguments| rsync(scratch.path(), arguments), "theirs") else {
                return;
            };
            theirs.expect(0);
            let mine = |arguments: &[&str]| Some(flexsync(scratch.path(), backend, arguments));
            run(&mine, "mine").unwrap().expect(0);
            if options.contains(&"-b") {
                for path in common::paths(&scratch.join("mine")) {
                    if path.to_string_lossy().ends_with('~') {
                        fs::remove_file(path).unwrap();
                    }
                }
            }
            same_contents(&scratch, "mine", &what);
            for path in common::paths(&scratch.join("src")) {
                let name = path.file_name().unwrap();
                let [mine, theirs] =
                    ["mine", "theirs"].map(|root| blocks(&scratch.join(root).join(name)));
                assert!(
                    mine <= theirs,
                    "{what} {name:?}: {mine} blocks, and {theirs} by rsync"
                );
            }
        }
    }
}

#[test]
fn without_the_option_there_are_no_holes() {
    let scratch = Scratch::new();
    plant(&scratch);
    flexsync(scratch.path(), "direct", &["-a", "src/", "dst"]).expect(0);
    assert!(blocks(&scratch.join("dst/holes")) * 512 >= 3_000_000);
    flexsync(scratch.path(), "direct", &["-aS", "src/", "sparse"]).expect(0);
    assert!(blocks(&scratch.join("sparse/holes")) * 512 < 100_000);
}

#[test]
fn what_is_copied_on_the_way_stays_sparse() {
    let scratch = Scratch::new();
    plant(&scratch);
    common::copy(&scratch.join("src"), &scratch.join("other"));
    for options in [&["--copy-dest=../other"][..], &["--temp-dir=../tmp"]] {
        let _ = fs::remove_dir_all(scratch.join("dst"));
        fs::create_dir_all(scratch.join("tmp")).unwrap();
        let arguments = [&["-aS"], options, &["src/", "dst"]].concat();
        flexsync(scratch.path(), "direct", &arguments).expect(0);
        same_contents(&scratch, "dst", &format!("{options:?}"));
        assert!(
            blocks(&scratch.join("dst/holes")) * 512 < 100_000,
            "{options:?}"
        );
    }
}

#[test]
fn appending_keeps_what_is_there_and_leaves_holes_after_it() {
    let scratch = Scratch::new();
    plant(&scratch);
    for form in ["--append", "--append-verify"] {
        let _ = fs::remove_dir_all(scratch.join("dst"));
        let part = &fs::read(scratch.join("src/holes")).unwrap()[..2_000_000];
        let part = scratch.write("dst/holes", part);
        let before = blocks(&part);
        // rsync 3.5.0 fails here (11).
        flexsync(scratch.path(), "direct", &["-aS", form, "src/", "dst"]).expect(0);
        same_contents(&scratch, "dst", form);
        assert_eq!(blocks(&part), before, "{form}");
    }
}

#[test]
fn a_file_has_its_room_before_it_is_written() {
    let scratch = Scratch::new();
    let file = scratch.write("src/file", vec![b'x'; 100_000]);
    for options in [
        &["--preallocate"][..],
        &["--preallocate", "--no-W"],
        &["--preallocate", "--inplace"],
    ] {
        let arguments = [&["-aI"], options, &["src/", "dst"]].concat();
        flexsync(scratch.path(), "direct", &arguments).expect(0);
        let made = fs::metadata(scratch.join("dst/file")).unwrap();
        assert_eq!(made.len(), 100_000);
        assert!(made.blocks() >= fs::metadata(&file).unwrap().blocks());
    }
    // What has no room is not begun.
    let mount = ["-t", "tmpfs", "-o", "size=64k", "flexsync-test"];
    fs::create_dir(scratch.join("small")).unwrap();
    let mut mounted = std::process::Command::new("mount");
    let mounted = mounted.args(mount).arg(scratch.join("small")).status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("SKIP: nothing can be mounted here");
        return;
    }
    let run = flexsync(
        scratch.path(),
        "direct",
        &["-a", "--preallocate", "src/", "small"],
    );
    let left = common::paths(&scratch.join("small"));
    let _ = std::process::Command::new("umount")
        .arg("-l")
        .arg(scratch.join("small"))
        .status();
    let run = run.expect(23);
    assert!(
        run.stderr.contains("have room on the disk for"),
        "{}",
        run.stderr
    );
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
}
