// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--atimes` and `--open-noatime`: the same times of last access and the same lines as rsync's.

mod common;

use common::child::as_nobody;
use common::{BACKENDS, Scratch, flexsync, make_special, rsync};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{SFlag, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

/// Long enough ago that reading a file changes it, also on a file system that is mounted with relatime.
const USED: i64 = 1_000_000_000;
const CHANGED: i64 = 1_100_000_000;
const LATER: i64 = 1_200_000_000;

fn set_times(path: &Path, atime: i64, mtime: i64) {
    let (atime, mtime) = (TimeSpec::new(atime, 500), TimeSpec::new(mtime, 0));
    let flags = UtimensatFlags::NoFollowSymlink;
    utimensat(AT_FDCWD, path, &atime, &mtime, flags).unwrap();
}

/// A tree whose files were last used before they were changed.
fn plant(scratch: &Scratch, root: &str, used: i64) {
    for (name, contents) in [("used", "one"), ("empty", ""), ("dir/inner", "two")] {
        scratch.write(&format!("{root}/{name}"), contents);
    }
    symlink("used", scratch.join(format!("{root}/link"))).unwrap();
    let pipe = scratch.join(format!("{root}/pipe"));
    make_special(&pipe, SFlag::S_IFIFO, 0o644, 0);
    for path in common::paths(&scratch.join(root)).into_iter().rev() {
        set_times(&path, used, CHANGED);
    }
    set_times(&scratch.join(root), used, CHANGED);
}

/// The times of last access in a tree, of all that have one which is kept; those that are not of this test's making are 0.
fn used(root: &Path) -> BTreeMap<PathBuf, i64> {
    let known = |atime: i64| [USED, LATER].contains(&atime);
    let mut table = BTreeMap::new();
    let paths = root.exists().then(|| common::paths(root));
    for path in paths.into_iter().flatten() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if !metadata.is_dir() && !metadata.is_symlink() {
            let atime = metadata.atime();
            let name = path.strip_prefix(root).unwrap().to_owned();
            table.insert(name, if known(atime) { atime } else { 0 });
        }
    }
    table
}

/// What a program says, and the times of last access in both trees after it.
type Outcome = (Vec<String>, i32, [BTreeMap<PathBuf, i64>; 2]);

/// What one program makes of it.
fn outcome(
    prepare: &dyn Fn(&Scratch),
    run: &dyn Fn(&Scratch) -> Option<common::Run>,
) -> Option<Outcome> {
    let scratch = Scratch::new();
    prepare(&scratch);
    let run = run(&scratch)?;
    let used = ["src", "dst"].map(|root| used(&scratch.join(root)));
    Some((common::lines(&run), run.status, used))
}

fn does_as_rsync(prepare: &dyn Fn(&Scratch), arguments: &[&str]) {
    let arguments = [arguments, &["src/", "dst"]].concat();
    let Some(theirs) = outcome(prepare, &|scratch| rsync(scratch.path(), &arguments)) else {
        return;
    };
    for backend in BACKENDS.iter() {
        let run = |scratch: &Scratch| Some(flexsync(scratch.path(), backend, &arguments));
        let mine = outcome(prepare, &run).unwrap();
        assert_eq!(mine, theirs, "{backend} {arguments:?}");
    }
}

#[test]
fn times_of_access_are_kept_as_rsync_keeps_them() {
    let new = |scratch: &Scratch| plant(scratch, "src", USED);
    let there = |scratch: &Scratch| {
        plant(scratch, "src", USED);
        plant(scratch, "dst", LATER);
        set_times(&scratch.join("dst/empty"), USED, CHANGED);
    };
    let changed = |scratch: &Scratch| {
        there(scratch);
        scratch.write("src/used", "longer than before");
        set_times(&scratch.join("src/used"), USED, LATER);
        set_times(&scratch.join("src/empty"), USED, LATER);
    };
    let trees: [&dyn Fn(&Scratch); 3] = [&new, &there, &changed];
    for prepare in trees {
        for options in [
            &["-aiU"][..],
            &["-aiUU"],
            &["-ai", "--open-noatime"],
            &["-aiUn"],
            &["-rliU", "--specials"],
            &["-aiUU", "--no-U"],
            &["-aiUU", "--no-open-noatime"],
            &["-ai", "--no-atimes", "-U", "-O", "-J"],
            &["-aiU", "--modify-window=200000000"],
            &["-aiU", "-@", "-1"],
            &["-aiU", "--size-only"],
            &["-aiUc", "--open-noatime"],
            &["-aiUU", "--no-W"],
            &["-aiUU", "--inplace"],
        ] {
            does_as_rsync(prepare, options);
        }
    }
}

#[test]
fn files_of_other_trees_are_as_wanted_whenever_they_were_used() {
    let prepare = |scratch: &Scratch| {
        plant(scratch, "src", USED);
        plant(scratch, "other", LATER);
        // Only regular files and symbolic links are looked for elsewhere.
        fs::remove_file(scratch.join("src/pipe")).unwrap();
        set_times(&scratch.join("src"), USED, CHANGED);
        fs::create_dir(scratch.join("dst")).unwrap();
    };
    does_as_rsync(&prepare, &["-aiUU", "--compare-dest=../other"]);
    does_as_rsync(&prepare, &["-aiUU", "--copy-dest=../other"]);
    // rsync sets the time of what it has linked, and of the other tree's file with it.
    let scratch = Scratch::new();
    prepare(&scratch);
    let arguments = ["-aiUU", "--link-dest=../other", "src/", "dst"];
    let run = flexsync(scratch.path(), "direct", &arguments).expect(0);
    assert_eq!(common::lines(&run), [".d..t...... ./"]);
    let linked = fs::metadata(scratch.join("dst/used")).unwrap();
    assert_eq!((linked.nlink(), linked.atime()), (2, LATER));
}

#[test]
fn a_list_has_times_of_access() {
    for options in [&["-rU"][..], &["-dUU"]] {
        let arguments = [&["--list-only"], options, &["src/"]].concat();
        // To read a link is to use it.
        let (mine, theirs) = (Scratch::new(), Scratch::new());
        plant(&mine, "src", USED);
        plant(&theirs, "src", USED);
        let Some(their_run) = rsync(theirs.path(), &arguments) else {
            return;
        };
        let my_run = flexsync(mine.path(), "direct", &arguments);
        common::same_lines(&my_run, &their_run, &format!("{arguments:?}"));
    }
}

#[test]
fn times_of_creation_are_refused() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    for (options, status) in [
        (&["-aN"][..], 1),
        (&["-a", "--crtimes"], 1),
        (&["-a", "--no-N"], 0),
    ] {
        let arguments = [options, &["src/", "dst"]].concat();
        let mine = flexsync(scratch.path(), "direct", &arguments);
        assert_eq!(mine.status, status, "{arguments:?} {mine:?}");
        if let Some(theirs) = rsync(scratch.path(), &arguments) {
            assert_eq!(theirs.status, status, "{arguments:?} {theirs:?}");
        }
    }
}

/// rsync fails there, since nobody but the owner may read so.
#[test]
fn what_others_own_is_read_all_the_same() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    scratch.write("src/dir/inner", "contents");
    fs::create_dir(scratch.join("dst")).unwrap();
    if !common::is_root() {
        println!("SKIP: only root can run the command as somebody else");
        return;
    }
    std::os::unix::fs::chown(scratch.join("dst"), Some(65534), Some(65534)).unwrap();
    let arguments = ["-rt", "--open-noatime", "src/", "dst"];
    let run = as_nobody(&scratch, &arguments).unwrap();
    run.expect(0);
    assert_eq!(
        fs::read(scratch.join("dst/dir/inner")).unwrap(),
        b"contents"
    );
}

/// Reading where it points to would change it.
#[test]
fn a_link_is_listed_with_the_time_of_its_last_use_before_it_was_read() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        plant(&scratch, "src", USED);
        let listed = flexsync(scratch.path(), backend, &["-aU", "--list-only", "src/"]).expect(0);
        let mut lines = listed.stdout.lines();
        let line = lines.find(|line| line.ends_with("link -> used"));
        let line = line.unwrap_or_else(|| panic!("{backend}: {listed:?}"));
        assert!(line.contains(" 2001/09/09 "), "{backend}: {line}");
    }
}
