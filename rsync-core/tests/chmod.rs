// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--chmod`: the same trees and lines as rsync's.

mod common;

use common::{Random, Scratch, does_as_rsync_on, flexsync, make_special, rsync};
use nix::sys::stat::SFlag;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// Files and directories of all sorts of modes.
fn prepare(scratch: &Scratch) {
    for mode in [0o0, 0o644, 0o777, 0o4640, 0o2755, 0o1604, 0o7777, 0o6111] {
        let name = format!("src/dir{mode:o}");
        fs::create_dir_all(scratch.join(&name)).unwrap();
        let file = scratch.write(&format!("src/file{mode:o}"), "contents");
        make_special(
            &scratch.join(format!("src/pipe{mode:o}")),
            SFlag::S_IFIFO,
            mode,
            0,
        );
        for path in [scratch.join(name), file] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    }
    symlink("file644", scratch.join("src/link")).unwrap();
}

/// One change, mostly one that means something.
fn change(random: &mut Random) -> String {
    let pick = |random: &mut Random, letters: &[&'static str]| *random.pick(letters);
    let mut text = pick(random, &["", "", "D", "F"]).to_owned();
    if random.chance(15) {
        return text + pick(random, &["0", "7", "644", "755", "2750", "07777", "1777"]);
    }
    text += pick(random, &["", "u", "g", "o", "a", "ug", "go", "uo"]);
    text += pick(random, &["+", "-", "="]);
    if random.chance(20) {
        return text + pick(random, &["u", "g", "o"]);
    }
    for _ in 0..random.below(4) {
        text += pick(random, &["r", "w", "x", "X", "s", "t"]);
    }
    text
}

#[test]
fn random_changes_of_modes_do_what_they_do_for_rsync() {
    if !common::is_root() {
        println!("SKIP: only root can read files of all modes");
        return;
    }
    let mut random = Random::new(77);
    for round in 0..60 {
        let changes: Vec<_> = (0..1 + random.below(3))
            .map(|_| change(&mut random))
            .collect();
        let chmod = format!("--chmod={}", changes.join(","));
        let options = *random.pick(&["-ai", "-ai", "-aii", "-rli", "-rliED"]);
        let backend = common::BACKENDS[round % common::BACKENDS.len()];
        does_as_rsync_on(backend, prepare, &[options, &chmod, "src/", "dst"]);
    }
}

#[test]
fn changes_may_be_given_several_times_and_are_listed() {
    let scratch = Scratch::new();
    prepare(&scratch);
    common::whole_seconds(&scratch.join("src"));
    for arguments in [
        &[
            "--list-only",
            "-r",
            "--chmod=F600",
            "--chmod=D711,Fo+t",
            "src",
        ][..],
        &[
            "-rn",
            "--out-format=%B %n",
            "--chmod=go=",
            "--chmod=g=u",
            "src/",
            "dst",
        ],
        &[
            "-n",
            "--out-format=%B %n",
            "--chmod=go=",
            "src/file7777",
            "dst",
        ],
    ] {
        let Some(theirs) = rsync(scratch.path(), arguments) else {
            return;
        };
        let mine = flexsync(scratch.path(), "direct", arguments);
        common::same_lines(&mine, &theirs, &format!("{arguments:?}"));
    }
}

#[test]
fn what_is_no_change_of_modes_is_refused() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    for wrong in ["", "u+x,", "DF+x", "888", "u+r-w"] {
        let run = flexsync(
            scratch.path(),
            "direct",
            &["-a", "--chmod", wrong, "src/", "dst"],
        )
        .expect(1);
        assert!(run.stderr.contains("--chmod: "), "{wrong}: {}", run.stderr);
        assert!(!scratch.join("dst").exists());
    }
}
