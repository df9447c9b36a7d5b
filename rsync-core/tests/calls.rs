// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each system call of a run, one after the other: the run is killed before it, or the call fails. Whatever happens,
//! under each name is the old file or the new one, and the next run completes.
//!
//! Of the calls of one number it is the first and each third one, elsewhere in each set of options; each one with
//! `FLEXSYNC_TEST_EVERY=1`.

#![cfg(target_arch = "x86_64")]

mod common;

use common::watched::{Fate, Watched, watched};
use common::{
    Random, Scratch, Times, assert_same, copy, flexsync, leftovers, make_special, snapshot,
};
use common::{acl, xattr};
use nix::errno::Errno;
use nix::sys::stat::SFlag;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// A source, and a destination in which each kind of change is to be made.
fn trees() -> Scratch {
    let scratch = Scratch::new();
    let mut random = Random::new(5);
    let long = random.bytes(30_000);
    // Of which nothing is written before something differs.
    let longer = random.bytes(300_000);
    for (name, contents) in [
        ("src/new/file", &b"new"[..]),
        ("src/same", b"same"),
        ("src/changed", b"the new contents"),
        (
            "src/long",
            &[&long[..9000], b"put in", &long[9000..]].concat(),
        ),
        ("src/touched", &longer),
        ("src/edited", &[&longer[..299_999], b"x"].concat()),
        ("old/touched", &longer),
        ("old/edited", &longer),
        ("old/changed", b"old"),
        ("old/long", &long),
        ("old/gone/with all", b"deleted"),
        ("old/way/inside", b"in the way"),
    ] {
        scratch.write(name, contents);
    }
    fs::write(scratch.join("src/way"), "a file where a directory was").unwrap();
    std::os::unix::fs::symlink("same", scratch.join("src/link")).unwrap();
    std::os::unix::fs::symlink("elsewhere", scratch.join("old/link")).unwrap();
    make_special(&scratch.join("src/new/socket"), SFlag::S_IFSOCK, 0o640, 0);
    make_special(&scratch.join("src/pipe"), SFlag::S_IFIFO, 0o604, 0);
    make_special(&scratch.join("old/pipe"), SFlag::S_IFSOCK, 0o600, 0);
    // Other names of files that are new, that change and that stay.
    for (file, name) in [
        ("src/new/file", "src/new/other"),
        ("src/changed", "src/changed too"),
        ("old/changed", "old/changed too"),
        ("src/long", "src/new/long too"),
    ] {
        fs::hard_link(scratch.join(file), scratch.join(name)).unwrap();
    }
    scratch.write("old/new/long too", "another file");
    copy(&scratch.join("src/same"), &scratch.join("old/same"));
    scratch
}

/// The destination as it was.
fn restore(scratch: &Scratch) {
    let _ = fs::remove_dir_all(scratch.join("dst"));
    copy(&scratch.join("old"), &scratch.join("dst"));
}

fn contents(root: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let paths = common::paths(root).into_iter();
    paths
        .filter(|path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()))
        .map(|path| {
            (
                path.strip_prefix(root).unwrap().to_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect()
}

/// Under each name that flexsync has not made up is the old file or the new one, and none that is to stay is missing.
#[track_caller]
fn old_or_new(scratch: &Scratch, what: &str) {
    let [source, old, now] = ["src", "old", "dst"].map(|name| contents(&scratch.join(name)));
    for (path, bytes) in &now {
        let shown = path.to_string_lossy();
        if shown.contains(".flexsync.") || shown.contains(".~tmp~") {
            continue;
        }
        let whole = [&source, &old]
            .iter()
            .any(|tree| tree.get(path) == Some(bytes));
        assert!(whole, "{what}: {} is neither old nor new", path.display());
    }
    for path in source.keys().filter(|path| old.contains_key(*path)) {
        let there = now.contains_key(path);
        assert!(there, "{what}: {} is missing", path.display());
    }
}

#[track_caller]
fn next_run_completes(scratch: &Scratch, options: &[&str], what: &str) {
    let arguments = [options, &["src/", "dst"]].concat();
    let run = flexsync(scratch.path(), "direct", &arguments);
    assert_eq!(run.status, 0, "{what}: {run:?}");
    same(scratch, what);
}

#[track_caller]
fn same(scratch: &Scratch, what: &str) {
    let [source, destination] =
        ["src", "dst"].map(|name| snapshot(&scratch.join(name), Times::Compare));
    assert_same(&source, &destination, what);
    assert_eq!(
        leftovers(&scratch.join("dst")),
        Vec::<std::path::PathBuf>::new(),
        "{what}"
    );
}

const FORMS: [&[&str]; 3] = [
    &["-aH", "--delete"],
    &["-ay", "--delete", "--no-W", "-B700", "--fsync"],
    &["-aH", "--delete", "--delay-updates", "--no-W"],
];

/// Which of these calls are killed or fail in this turn, and their numbers.
fn chosen(calls: &[i64], every: usize, turn: usize) -> impl Iterator<Item = (usize, i64)> {
    let mut seen = BTreeMap::new();
    calls.iter().copied().enumerate().filter(move |(_, call)| {
        let seen = seen.entry(*call).or_insert(0);
        *seen += 1;
        *seen == 1 || (*seen + turn) % every == 0
    })
}

fn every() -> usize {
    let wanted = std::env::var("FLEXSYNC_TEST_EVERY").ok();
    wanted.map_or(3, |number| number.parse().expect("FLEXSYNC_TEST_EVERY"))
}

/// Kills runs with so many threads before some of their calls.
fn killed(jobs: u32, every: usize) {
    for (turn, options) in FORMS.into_iter().enumerate() {
        let scratch = trees();
        let arguments = [options, &["src/", "dst"]].concat();
        restore(&scratch);
        let Some(whole) = watched(scratch.path(), jobs, &arguments, None) else {
            return;
        };
        assert_eq!(whole.run.status, 0, "{:?}", whole.run);
        let elsewhere = whole.apart.contains(&libc::SYS_renameat2);
        assert_eq!(elsewhere, jobs > 1, "who has written: {:?}", whole.apart);
        same(&scratch, "nobody was killed");
        let (mut left, mut kills) = (0, 0);
        for (at, _) in chosen(&whole.calls, every, turn) {
            let what = format!("{options:?}, {jobs} threads, killed before call {at}");
            restore(&scratch);
            let Some(run) = watched(scratch.path(), jobs, &arguments, Some(Fate::Kill(at))) else {
                return;
            };
            // The calls of a run differ a little from time to time.
            assert!(run.killed || run.calls.len() <= at, "{what}: {:?}", run.run);
            old_or_new(&scratch, &what);
            left += leftovers(&scratch.join("dst")).len();
            kills += 1;
            next_run_completes(&scratch, options, &what);
        }
        println!(
            "{jobs} threads killed before {kills} of {} calls, which left {left} temporary files",
            whole.calls.len()
        );
        assert!(left > 0, "no temporary file was met");
    }
}

#[test]
fn a_run_that_is_killed_before_any_of_its_calls_has_lost_nothing() {
    killed(1, every());
}

#[test]
fn two_threads_that_are_killed_at_once_have_lost_nothing() {
    killed(2, 3 * every());
}

/// What has a name stands for the old file or for the new one.
#[test]
fn a_file_gets_its_name_when_it_stands_for_what_it_is_to_be() {
    let scratch = Scratch::new();
    if !xattr::supported(&scratch) {
        return;
    }
    for (name, target) in [("new", "target"), ("changed", "here")] {
        std::os::unix::fs::symlink(target, scratch.join(name)).unwrap();
    }
    fs::create_dir(scratch.join("src")).unwrap();
    for name in ["new", "changed"] {
        fs::rename(scratch.join(name), scratch.join("src").join(name)).unwrap();
    }
    make_special(&scratch.join("src/pipe"), SFlag::S_IFIFO, 0o4604, 0);
    let file = scratch.write("src/file", "contents");
    fs::set_permissions(file, Permissions::from_mode(0o4755)).unwrap();
    let old = scratch.write("old/changed", "there");
    xattr::set(&old, "user.rsync.%stat", b"120777 0,0 7:7");
    let arguments = ["-a", "--fake-super", "src/", "dst"];
    restore(&scratch);
    let Some(whole) = watched(scratch.path(), 1, &arguments, None) else {
        return;
    };
    assert_eq!(whole.run.status, 0, "{:?}", whole.run);
    let seen = |name: &str| {
        let mut tree = snapshot(&scratch.join(name), Times::Ignore);
        tree.retain(|path, _| {
            let shown = path.to_string_lossy();
            !shown.is_empty() && !shown.contains(".flexsync.")
        });
        tree
    };
    let (old, new) = (seen("old"), seen("dst"));
    for (at, _) in chosen(&whole.calls, every(), 0) {
        let what = format!("killed before call {at}");
        restore(&scratch);
        let Some(run) = watched(scratch.path(), 1, &arguments, Some(Fate::Kill(at))) else {
            return;
        };
        assert!(run.killed || run.calls.len() <= at, "{what}: {:?}", run.run);
        for (path, file) in seen("dst") {
            let known = [old.get(&path), new.get(&path)];
            let shown = path.display();
            assert!(known.contains(&Some(&file)), "{what}: {shown}: {file:?}");
        }
        flexsync(scratch.path(), "direct", &arguments).expect(0);
        assert_same(&seen("dst"), &new, &what);
        assert!(leftovers(&scratch.join("dst")).is_empty(), "{what}");
    }
}

/// Whether the owning group, user 2 or any other may do anything with a file.
fn is_open_to_others(path: &Path) -> bool {
    let mode = fs::symlink_metadata(path).unwrap().mode();
    let Some(list) = acl::access(path) else {
        return mode & 0o077 != 0;
    };
    let entries = list[4..].chunks(8);
    let may = |entry: &[u8], tag| entry[0] == tag && entry[2] & (mode >> 3) as u8 & 7 != 0;
    let open = |entry: &[u8]| may(entry, 4) || may(entry, 2) && entry[4..] == [2, 0, 0, 0];
    mode & 0o007 != 0 || entries.into_iter().any(open)
}

/// The group bits of a mode are what named users may do, and a directory's default list is for all that is made in it.
#[test]
fn whom_the_list_of_a_file_shuts_out_is_never_let_in_on_the_way() {
    if !acl::supported() {
        return;
    }
    let scratch = Scratch::new();
    for name in ["file", "dir/file", "plain", "dir/pipe"] {
        let path = scratch.write(&format!("src/{name}"), vec![b'x'; 3000]);
        if name == "dir/pipe" {
            fs::remove_file(&path).unwrap();
            make_special(&path, SFlag::S_IFIFO, 0o600, 0);
        }
        match name {
            "plain" => fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap(),
            _ => assert!(acl::set(&path, "u:6,U:1:6,g:0,m:6,o:0")),
        }
    }
    acl::set(&scratch.join("src/dir"), "u:7,U:1:7,g:0,m:7,o:0");
    fs::create_dir(scratch.join("old")).unwrap();
    acl::set_default(&scratch.join("old"), "u:7,U:2:7,g:7,m:7,o:7");
    let forms = [
        &["-aA"][..],
        &["-aA", "--no-W", "--partial"],
        &["-aA", "--inplace"],
        &["-aA", "--copy-dest=../src"],
    ];
    for (turn, options) in forms.into_iter().enumerate() {
        let arguments = [options, &["src/", "dst"]].concat();
        restore(&scratch);
        let Some(whole) = watched(scratch.path(), 1, &arguments, None) else {
            return;
        };
        same(&scratch, "nobody was killed");
        for (at, _) in chosen(&whole.calls, every(), turn) {
            restore(&scratch);
            if watched(scratch.path(), 1, &arguments, Some(Fate::Kill(at))).is_none() {
                return;
            }
            for path in common::paths(&scratch.join("dst")) {
                let shown = path.display();
                assert!(!is_open_to_others(&path), "{options:?}, call {at}: {shown}");
            }
        }
    }
}

/// How a call fails that nothing is wrong with, as its manual page has it.
fn errnos(call: i64) -> &'static [Errno] {
    use Errno::*;
    match call {
        libc::SYS_openat | libc::SYS_openat2 => &[EACCES, EMFILE, ENOENT, EINTR, EIO, ENOSPC],
        libc::SYS_statx | libc::SYS_newfstatat | libc::SYS_fstat => &[EACCES, EIO],
        libc::SYS_getdents64 => &[EIO, ENOENT],
        libc::SYS_read | libc::SYS_pread64 => &[EIO, EINTR],
        libc::SYS_write | libc::SYS_pwrite64 => &[ENOSPC, EDQUOT, EFBIG, EIO, EINTR],
        libc::SYS_copy_file_range => {
            &[EXDEV, EOPNOTSUPP, EINVAL, EIO, EINTR, ENOSPC, EDQUOT, EFBIG]
        }
        libc::SYS_close => &[EIO, EINTR],
        libc::SYS_fsync => &[EIO, ENOSPC, EDQUOT],
        libc::SYS_mkdirat | libc::SYS_symlinkat | libc::SYS_mknodat => {
            &[EACCES, ENOSPC, EDQUOT, EMLINK, EROFS]
        }
        libc::SYS_linkat => &[EMLINK, EXDEV, EACCES, ENOSPC, EIO],
        libc::SYS_renameat2 | libc::SYS_renameat => &[EACCES, ENOSPC, EIO, EROFS],
        libc::SYS_unlinkat => &[EACCES, EBUSY, EIO, EPERM],
        libc::SYS_readlinkat => &[EACCES, EIO],
        libc::SYS_fchmod
        | libc::SYS_fchmodat
        | libc::SYS_fchown
        | libc::SYS_fchownat
        | libc::SYS_utimensat => &[EPERM, EIO, EROFS],
        libc::SYS_fcntl => &[ENOLCK],
        _ => &[],
    }
}

#[test]
fn a_call_that_fails_is_reported_and_loses_nothing() {
    let mut reached = BTreeMap::new();
    let mut tolerated = BTreeSet::new();
    for (turn, options) in FORMS.into_iter().enumerate() {
        let scratch = trees();
        let arguments = [options, &["src/", "dst"]].concat();
        restore(&scratch);
        let Some(whole) = watched(scratch.path(), 1, &arguments, None) else {
            return;
        };
        for (at, call) in chosen(&whole.calls, every(), turn) {
            for &errno in errnos(call) {
                let what = format!("{options:?}, call {at}, number {call}, fails with {errno:?}");
                restore(&scratch);
                let fate = Some(Fate::Fail(at, errno));
                let Some(Watched { run, calls, .. }) = watched(scratch.path(), 1, &arguments, fate)
                else {
                    return;
                };
                if calls.get(at) != Some(&call) {
                    continue;
                }
                old_or_new(&scratch, &what);
                if call == libc::SYS_linkat && errno == Errno::EMLINK {
                    assert_eq!(
                        run.status, 0,
                        "what cannot be linked is copied: {what}: {run:?}"
                    );
                }
                let (exdev, other) = (errno == Errno::EXDEV, errno == Errno::EOPNOTSUPP);
                if call == libc::SYS_copy_file_range && (exdev || other) {
                    assert_eq!(run.status, 0, "it is read and written: {what}: {run:?}");
                }
                match run.status {
                    0 => {
                        // It was of no account.
                        same(&scratch, &what);
                        tolerated.insert((call, errno as i32));
                    }
                    // A panic has 101, a signal -1.
                    3 | 11 | 23 | 24 => {
                        assert!(run.stderr.contains("flexsync: "), "{what}: {run:?}");
                    }
                    _ => panic!("{what}: {run:?}"),
                }
                *reached.entry(call).or_insert(0) += 1;
                next_run_completes(&scratch, options, &what);
            }
        }
    }
    println!("failures by call: {reached:?}; of no account: {tolerated:?}");
    for call in [
        libc::SYS_read,
        libc::SYS_copy_file_range,
        libc::SYS_getdents64,
        libc::SYS_unlinkat,
        libc::SYS_mknodat,
        libc::SYS_linkat,
        libc::SYS_fsync,
        libc::SYS_close,
    ] {
        assert!(
            reached.contains_key(&call),
            "no call of number {call} has failed"
        );
    }
}

#[test]
fn a_directory_is_listed_once_for_all_files_that_are_missing_in_it() {
    let count = |new: usize| -> Option<[usize; 2]> {
        let scratch = Scratch::new();
        for number in 0..new {
            scratch.write(&format!("src/new{number}"), format!("contents {number}"));
        }
        for number in 0..30 {
            scratch.write(
                &format!("dst/old{number}"),
                format!("other contents {number}"),
            );
        }
        let arguments = ["-a", "--no-W", "-y", "src/", "dst"];
        let watched = watched(scratch.path(), 1, &arguments, None)?;
        assert_eq!(watched.run.status, 0, "{:?}", watched.run);
        let calls = [libc::SYS_getdents64, libc::SYS_statx];
        let of = |call| watched.calls.iter().filter(|made| **made == call).count();
        Some(calls.map(of))
    };
    let (Some([listed_for_one, one]), Some([listed, many])) = (count(1), count(40)) else {
        return;
    };
    assert_eq!(listed, listed_for_one);
    // Those of the list's own entries, in source and destination, and of the files when they are sent.
    assert!(many - one <= 39 * 3, "{many} instead of {one}");
}

/// Who has opened it to put a file into it could not do so any more.
#[test]
fn a_holding_directory_is_removed_once_for_all_that_was_in_it() {
    let scratch = Scratch::new();
    for number in 0..20 {
        scratch.write(&format!("src/{number}"), format!("contents {number}"));
        scratch.write(&format!("dst/.~tmp~/{number}"), "left by a run before");
    }
    // What was held of a file that is there is removed while others come.
    copy(&scratch.join("src/7"), &scratch.join("dst/7"));
    let arguments = ["-a", "--delay-updates", "--no-W", "src/", "dst"];
    let Some(watched) = watched(scratch.path(), 1, &arguments, None) else {
        return;
    };
    assert_eq!(watched.run.status, 0, "{:?}", watched.run);
    same(&scratch, "after a run with --delay-updates");
    let calls = watched.calls.iter();
    let removals = calls.filter(|call| **call == libc::SYS_unlinkat).count();
    assert_eq!(removals, 2, "the file, then the directory");
}

#[test]
fn the_kernel_copies_unless_it_is_told_not_to() {
    for (when, copied) in [("auto", true), ("never", false)] {
        let scratch = Scratch::new();
        scratch.write("src/file", vec![1; 300_000]);
        let option = format!("--reflink={when}");
        let arguments = ["-a", &option, "src/", "dst"];
        let Some(watched) = watched(scratch.path(), 1, &arguments, None) else {
            return;
        };
        same(&scratch, when);
        let made = watched.calls.contains(&libc::SYS_copy_file_range);
        assert_eq!(made, copied, "{when}");
        assert!(!watched.calls.contains(&libc::SYS_ioctl), "{when}");
    }
}

/// Whole files, all of which are requested before one is copied.
fn whole_files() -> Scratch {
    let scratch = Scratch::new();
    for name in ["a", "b", "c"] {
        scratch.write(&format!("src/{name}"), vec![1; 300_000]);
    }
    scratch
}

/// A run whose first `copy_file_range` meets a fate, and how many more of them it has made than one that meets none.
fn first_copy(fate: impl Fn(usize) -> Fate) -> Option<(Watched, usize)> {
    let arguments = ["-a", "--stats", "src/", "dst"];
    let is_copy = |call: &&i64| **call == libc::SYS_copy_file_range;
    let untouched = watched(whole_files().path(), 1, &arguments, None)?;
    let first = untouched.calls.iter().position(|call| is_copy(&call));
    let scratch = whole_files();
    let met = watched(scratch.path(), 1, &arguments, Some(fate(first.unwrap())))?;
    assert_eq!(met.run.status, 0, "{:?}", met.run);
    same(&scratch, "the first copy has met its fate");
    let [before, now] =
        [&untouched, &met].map(|watched| watched.calls.iter().filter(is_copy).count());
    Some((met, now - before))
}

#[test]
fn what_is_requested_again_is_copied_by_the_kernel_too() {
    let no_room = |first| Fate::Fail(first, Errno::ENOSPC);
    let Some((met, more)) = first_copy(no_room) else {
        return;
    };
    assert_eq!(met.run.figure("Files transferred twice"), 1);
    assert_eq!(more, 1);
}

/// Some file systems have no bytes for it, but for who reads them.
#[test]
fn a_kernel_that_has_nothing_to_copy_is_not_believed() {
    let Some((met, more)) = first_copy(Fate::Nothing) else {
        return;
    };
    assert_eq!(met.run.figure("Files transferred twice"), 0);
    assert_eq!(more, 0);
}

/// Files that are being written may have had its room.
#[test]
fn a_directory_that_finds_no_room_is_tried_once_more() {
    let tree = || {
        let scratch = whole_files();
        scratch.write("src/sub/file", "of a directory");
        scratch.write("dst/other", "so that the destination is there");
        scratch
    };
    let arguments = ["-a", "src/", "dst"];
    let (mut at, mut seen) = (None, 0);
    for _ in 0..2 {
        let scratch = tree();
        let fate = at.map(|at| Fate::Fail(at, Errno::ENOSPC));
        let Some(watched) = watched(scratch.path(), 1, &arguments, fate) else {
            return;
        };
        assert_eq!(watched.run.status, 0, "{:?}", watched.run);
        let made = |call: &i64| *call == libc::SYS_mkdirat;
        at = watched.calls.iter().position(made);
        seen += watched.calls.iter().filter(|call| made(call)).count();
        let file = fs::read(scratch.join("dst/sub/file")).unwrap();
        assert_eq!(file, b"of a directory");
    }
    assert_eq!(seen, 1 + 2, "once in vain");
}
