// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the command does when something goes wrong, and what it never does.

mod common;

use common::child::{NOBODY, as_nobody};
use common::{
    BACKENDS, Random, Run, Scratch, Times, assert_same, flexsync, leftovers, snapshot, tested,
};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

/// A scratch directory with a small tree called `src`.
fn tree() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    scratch.write("src/sub/inner", "inner contents");
    symlink("file", scratch.join("src/link")).unwrap();
    scratch
}

fn sync(scratch: &Scratch, arguments: &[&str]) -> Run {
    flexsync(scratch.path(), "direct", arguments)
}

#[test]
fn a_source_whose_length_is_wrong_is_tried_twice_and_then_reported() {
    // The kernel says that this file is empty, and gives bytes when it is read.
    for &backend in BACKENDS.iter() {
        let scratch = tree();
        let run = flexsync(
            scratch.path(),
            backend,
            &["-a", "/proc/version", "src/file", "dst/"],
        )
        .expect(23);
        assert!(
            run.stderr.contains("changed while it was read"),
            "{}",
            run.stderr
        );
        assert!(!scratch.join("dst/version").exists());
        assert!(scratch.join("dst/file").exists());
        assert!(leftovers(&scratch.join("dst")).is_empty());
    }
}

/// Two blocks of 64 bytes that differ, but not in rolling checksum nor in the first two bytes of their strong checksum.
fn colliding_blocks() -> (Vec<u8>, Vec<u8>) {
    use rsync_core::rolling::Rolling;
    use rsync_core::strong::{BlockSum, Digest};
    let mut random = Random::new(1);
    // Room to add and subtract in signed bytes.
    let first: Vec<u8> = random.bytes(64).iter().map(|byte| 32 + byte % 64).collect();
    let start = |digest: Digest| [digest.as_bytes()[0], digest.as_bytes()[1]];
    let wanted = start(BlockSum::default().of(&first));
    let mut second = first.clone();
    loop {
        // +1 -2 +1 at equal distances leaves both sums as they are, and so does -1 +2 -1.
        let distance = 1 + random.below(20);
        let at = random.below(64 - 2 * distance);
        let sign = if random.chance(50) { 1 } else { -1 };
        let changed = [
            (at, sign),
            (at + distance, -2 * sign),
            (at + 2 * distance, sign),
        ];
        let changed = changed.map(|(at, change)| (at, second[at].wrapping_add_signed(change)));
        if changed.iter().any(|(_, byte)| !(16..112).contains(byte)) {
            continue;
        }
        for (at, byte) in changed {
            second[at] = byte;
        }
        if start(BlockSum::default().of(&second)) == wanted && second != first {
            assert_eq!(Rolling::of(&first).value(), Rolling::of(&second).value());
            return (first, second);
        }
    }
}

#[test]
fn a_false_match_fails_the_whole_file_checksum_and_is_redone() {
    let (old, new) = colliding_blocks();
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        scratch.write("src/file", [&b"start"[..], &new, b"the end"].concat());
        scratch.write("dst/file", [&old[..], b"whatever"].concat());
        let run = flexsync(
            scratch.path(),
            backend,
            &["-a", "--no-W", "-B64", "--stats", "src/", "dst"],
        )
        .expect(0);
        assert_eq!(
            fs::read(scratch.join("dst/file")).unwrap(),
            fs::read(scratch.join("src/file")).unwrap()
        );
        assert_eq!(run.figure("Files transferred twice"), 1, "{}", run.stdout);
        assert!(leftovers(&scratch.join("dst")).is_empty());
    }
}

#[test]
fn a_shifted_file_is_mostly_matched() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        let old = Random::new(7).bytes(3_000_000);
        scratch.write("dst/file", &old);
        scratch.write(
            "src/file",
            [&b"37 bytes that were put before the rest"[..], &old].concat(),
        );
        let run = flexsync(
            scratch.path(),
            backend,
            &["-a", "--no-W", "--stats", "src/", "dst"],
        )
        .expect(0);
        assert_eq!(
            fs::read(scratch.join("dst/file")).unwrap(),
            fs::read(scratch.join("src/file")).unwrap()
        );
        assert!(run.figure("Matched data") > 2_900_000, "{}", run.stdout);
        assert_eq!(
            run.figure("Literal data") + run.figure("Matched data"),
            run.figure("Total file size")
        );
    }
}

fn give_to_nobody(path: &Path) {
    if common::is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

#[test]
fn an_unreadable_file_is_named_and_the_others_are_copied() {
    let scratch = tree();
    scratch.write("src/secret", "nobody may read this");
    fs::set_permissions(scratch.join("src/secret"), Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(scratch.join("dst")).unwrap();
    give_to_nobody(&scratch.join("dst"));
    let Some(run) = as_nobody(&scratch, &["-a", "src/", "dst"]) else {
        return;
    };
    let run = run.expect(23);
    assert!(
        run.stderr.contains("cannot open \"src/secret\": EACCES"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("check its permissions"),
        "{}",
        run.stderr
    );
    assert_eq!(
        fs::read(scratch.join("dst/sub/inner")).unwrap(),
        b"inner contents"
    );
    assert!(!scratch.join("dst/secret").exists());
    assert!(leftovers(&scratch.join("dst")).is_empty());
}

/// Each way of deletion that waits for the whole list spares what a source without `closed` does not have.
#[track_caller]
fn nothing_is_deleted(scratch: &Scratch, closed: &str, extra: &str) {
    for when in [
        "--delete",
        "--delete-before",
        "--delete-delay",
        "--delete-after",
    ] {
        let Some(run) = as_nobody(scratch, &["-rlt", when, "src/", "dst"]) else {
            return;
        };
        let run = run.expect(23);
        assert!(
            run.stderr.contains(closed) && run.stderr.contains("nothing is deleted"),
            "{when} {}",
            run.stderr
        );
        assert!(scratch.join(extra).exists(), "{when}");
        assert!(scratch.join("dst/file").exists(), "{when}");
    }
}

#[test]
fn an_unreadable_directory_suppresses_all_deletion() {
    let scratch = tree();
    scratch.write("src/closed/file", "x");
    fs::set_permissions(scratch.join("src/closed"), Permissions::from_mode(0o700)).unwrap();
    scratch.write("dst/extra", "not in the source");
    give_to_nobody(&scratch.join("dst"));
    give_to_nobody(&scratch.join("dst/extra"));
    nothing_is_deleted(&scratch, "src/closed", "dst/extra");
}

#[test]
fn a_source_that_cannot_be_entered_suppresses_all_deletion_and_stops_no_other() {
    let scratch = tree();
    scratch.write("other/file too", "x");
    scratch.write("closed/file", "x");
    // It can be listed.
    fs::set_permissions(scratch.join("closed"), Permissions::from_mode(0o744)).unwrap();
    scratch.write("dst/extra", "not in any source");
    give_to_nobody(&scratch.join("dst"));
    let arguments = ["-r", "--delete", "closed/", "other/", "dst"];
    let Some(run) = as_nobody(&scratch, &arguments) else {
        return;
    };
    let run = run.expect(23);
    assert!(run.stderr.contains("\"closed/\": EACCES"), "{run:?}");
    for name in ["dst/extra", "dst/file too"] {
        assert!(scratch.join(name).exists(), "{name}");
    }
    // Where errors are ignored it is to be known what may be hit.
    let arguments = [&["--ignore-errors"], &arguments[..]].concat();
    as_nobody(&scratch, &arguments).unwrap().expect(3);
    assert!(scratch.join("dst/extra").exists());
}

#[test]
fn a_source_that_cannot_be_entered_makes_no_destination_and_one_that_cannot_be_read_does() {
    for (mode, made) in [(0o000, false), (0o744, false), (0o711, true)] {
        let scratch = tree();
        fs::set_permissions(scratch.join("src"), Permissions::from_mode(mode)).unwrap();
        fs::create_dir(scratch.join("to")).unwrap();
        give_to_nobody(&scratch.join("to"));
        for option in ["-r", "-d"] {
            let Some(run) = as_nobody(&scratch, &[option, "src/", "to/dst"]) else {
                return;
            };
            let run = run.expect(23);
            assert!(run.stderr.contains("\"src/\": EACCES"), "{mode:o} {run:?}");
            let dst = scratch.join("to/dst");
            assert_eq!(dst.exists(), made, "{mode:o} {option}");
            let _ = fs::remove_dir(dst);
        }
    }
}

#[test]
fn one_that_comes_thousands_of_files_later_suppresses_all_deletion_too() {
    let scratch = tree();
    scratch.write("src/a/file", "x");
    scratch.write("dst/a/extra", "not in the source");
    for number in 0..2500 {
        scratch.write(&format!("src/m/{number}"), "");
    }
    scratch.write("src/z/file", "x");
    fs::set_permissions(scratch.join("src/z"), Permissions::from_mode(0o700)).unwrap();
    for name in ["dst", "dst/a"] {
        give_to_nobody(&scratch.join(name));
    }
    nothing_is_deleted(&scratch, "src/z", "dst/a/extra");
}

#[test]
fn a_directory_without_rights_is_filled_and_gets_its_mode_in_the_end() {
    let scratch = tree();
    for name in ["src", "src/sub", "src/sub/inner", "src/file"] {
        give_to_nobody(&scratch.join(name));
    }
    fs::set_permissions(scratch.join("src/sub"), Permissions::from_mode(0o555)).unwrap();
    fs::create_dir(scratch.join("dst")).unwrap();
    give_to_nobody(&scratch.join("dst"));
    let Some(run) = as_nobody(&scratch, &["-a", "src/", "dst"]) else {
        return;
    };
    run.expect(0);
    fs::set_permissions(scratch.join("src/sub"), Permissions::from_mode(0o755)).unwrap();
    scratch.write("src/sub/more", "more");
    give_to_nobody(&scratch.join("src/sub/more"));
    fs::set_permissions(scratch.join("src/sub"), Permissions::from_mode(0o555)).unwrap();
    as_nobody(&scratch, &["-a", "src/", "dst"])
        .unwrap()
        .expect(0);
    assert_eq!(fs::read(scratch.join("dst/sub/more")).unwrap(), b"more");
    assert_eq!(
        fs::metadata(scratch.join("dst/sub")).unwrap().mode() & 0o7777,
        0o555
    );
}

#[test]
fn a_full_disk_is_reported_and_nothing_is_left_behind() {
    let scratch = tree();
    scratch.write("src/big", vec![1; 3 << 20]);
    fs::create_dir(scratch.join("dst")).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "flexsync-test"]);
    let mounted = mount.arg(scratch.join("dst")).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("SKIP: no tmpfs can be mounted here");
        return;
    }
    let run = sync(&scratch, &["-a", "src/", "dst"]);
    let seen = (
        leftovers(&scratch.join("dst")),
        scratch.join("dst/big").exists(),
        scratch.join("dst/file").exists(),
    );
    let _ = Command::new("umount")
        .arg("-l")
        .arg(scratch.join("dst"))
        .status();
    let run = run.expect(23);
    assert!(
        run.stderr.contains("cannot write \"dst/big\": ENOSPC"),
        "{}",
        run.stderr
    );
    assert_eq!(seen, (Vec::new(), false, true));
}

#[test]
fn an_old_file_stays_until_the_new_one_is_complete() {
    // The reader of the old file sees all of it, since the new one is another file.
    let scratch = tree();
    scratch.write("dst/file", "old");
    let old = fs::File::open(scratch.join("dst/file")).unwrap();
    sync(&scratch, &["-a", "--no-W", "src/", "dst"]).expect(0);
    assert_eq!(std::io::read_to_string(old).unwrap(), "old");
    assert_eq!(fs::read(scratch.join("dst/file")).unwrap(), b"contents");
}

#[test]
fn a_symlink_in_the_destination_is_replaced_and_never_followed() {
    for &backend in BACKENDS.iter() {
        let scratch = tree();
        scratch.write("outside/file", "outside");
        scratch.write("outside/inner", "outside");
        fs::create_dir(scratch.join("dst")).unwrap();
        symlink("../outside", scratch.join("dst/sub")).unwrap();
        symlink("../outside/file", scratch.join("dst/file")).unwrap();
        let before = snapshot(&scratch.join("outside"), Times::Compare);
        flexsync(scratch.path(), backend, &["-a", "--delete", "src/", "dst"]).expect(0);
        assert_same(
            &before,
            &snapshot(&scratch.join("outside"), Times::Compare),
            backend,
        );
        assert_same(
            &snapshot(&scratch.join("src"), Times::Compare),
            &snapshot(&scratch.join("dst"), Times::Compare),
            backend,
        );
    }
}

#[test]
fn deep_and_wide_trees_need_few_open_files() {
    let scratch = Scratch::new();
    let mut path = scratch.join("src");
    for level in 0..300 {
        path = path.join("d");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(format!("file{level}")), "x").unwrap();
        fs::create_dir(path.join("e")).unwrap();
    }
    for number in 0..1500 {
        fs::create_dir_all(scratch.join(format!("src/wide/{number}"))).unwrap();
    }
    let limited = |limit: u32, arguments: &str| {
        let script = format!("ulimit -n {limit} && exec {} {arguments}", common::FLEXSYNC);
        let mut command = Command::new("sh");
        command.current_dir(scratch.path()).args(["-c", &script]);
        Run::from(command.output().unwrap()).expect(0);
    };
    // Whoever posts has many files open at a time.
    let files = |backend| if backend == "direct" { 64 } else { 1024 };
    for &backend in BACKENDS.iter() {
        limited(
            files(backend),
            &format!("--backend {backend} -a src/ {backend}"),
        );
        assert_same(
            &snapshot(&scratch.join("src"), Times::Compare),
            &snapshot(&scratch.join(backend), Times::Compare),
            backend,
        );
    }
    fs::remove_dir_all(scratch.join("src/d")).unwrap();
    fs::remove_dir_all(scratch.join("src/wide")).unwrap();
    let backend = tested("direct");
    limited(
        files(backend),
        &format!("--backend {backend} -a --delete src/ {backend}"),
    );
    assert_eq!(fs::read_dir(scratch.join(backend)).unwrap().count(), 0);
}
