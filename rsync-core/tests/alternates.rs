// SPDX-License-Identifier: MIT OR Apache-2.0

//! Other trees that files are looked for in: rsync(1), `--link-dest`, `--copy-dest`, `--compare-dest`. Exception: what a link
//! replaces, or what is left to another tree, is backed up if that is wanted; rsync keeps nothing.

mod common;

use common::child::{NOBODY, as_nobody};
use common::{
    BACKENDS, Random, Scratch, Seen, Times, assert_same, change, copy, date, does_as_rsync,
    flexsync, grow, is_root, make_special, rsync, same_lines, snapshot, whole_seconds,
};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{SFlag, UtimensatFlags, makedev, utimensat};
use nix::sys::time::TimeSpec;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const KINDS: [&str; 3] = ["link", "copy", "compare"];

fn set_time(path: &Path, seconds: i64) {
    let time = TimeSpec::new(seconds, 0);
    utimensat(
        AT_FDCWD,
        path,
        &time,
        &time,
        UtimensatFlags::NoFollowSymlink,
    )
    .unwrap();
}

/// A tree as a table, with whether each file is one of another tree, too.
fn seen(root: &Path) -> BTreeMap<PathBuf, (Seen, u64)> {
    let table = snapshot(root, Times::Seconds).into_iter();
    table
        .map(|(path, seen)| {
            let links = match fs::symlink_metadata(root.join(&path)).unwrap() {
                found if found.is_dir() => 0,
                found => found.nlink(),
            };
            (path, (seen, links))
        })
        .collect()
}

/// A source, two trees that have some of it, and a destination that has some, each in another way.
fn trees(scratch: &Scratch) {
    for name in [
        "exact",
        "mode",
        "time",
        "contents",
        "owner",
        "shorter",
        "there",
        "there older",
        "there exact",
        "in second",
        "in both",
        "sub/exact",
        "sub/deep/mode",
        "kind",
        "into kind",
        "brand new",
    ] {
        scratch.write(&format!("src/{name}"), format!("the contents of {name}"));
    }
    for link in [
        "link",
        "link elsewhere",
        "link time",
        "link there",
        "link new",
    ] {
        symlink("to", scratch.join("src").join(link)).unwrap();
    }
    fs::create_dir_all(scratch.join("src/directory/empty")).unwrap();
    let all = common::paths(&scratch.join("src"));
    for path in all.iter().chain([&scratch.join("src")]) {
        set_time(path, 1_000_000_000);
    }
    copy(&scratch.join("src"), &scratch.join("other"));
    let other = |name: &str| scratch.join("other").join(name);
    for name in [
        "brand new",
        "in second",
        "link new",
        "link elsewhere",
        "kind",
    ] {
        fs::remove_file(other(name)).unwrap();
    }
    fs::create_dir(other("kind")).unwrap();
    symlink("elsewhere", other("link elsewhere")).unwrap();
    fs::write(other("contents"), "other contents ts").unwrap();
    fs::write(other("shorter"), "the contents").unwrap();
    for name in ["mode", "sub/deep/mode", "in both"] {
        fs::set_permissions(other(name), Permissions::from_mode(0o600)).unwrap();
    }
    fs::set_permissions(other("sub/deep"), Permissions::from_mode(0o700)).unwrap();
    if is_root() {
        lchown(other("owner"), Some(3001), Some(3002)).unwrap();
    }
    for name in [
        "contents",
        "shorter",
        "time",
        "link time",
        "link elsewhere",
        "directory",
    ] {
        set_time(&other(name), 900_000_000);
    }
    for name in ["", "sub", "sub/deep", "kind"] {
        set_time(&other(name), 1_000_000_000);
    }
    for name in ["in second", "in both"] {
        fs::create_dir_all(scratch.join("second")).unwrap();
        let from = scratch.join("src").join(name);
        copy(&from, &scratch.join("second").join(name));
    }
    let there = |name: &str| scratch.join("dst").join(name);
    fs::create_dir_all(there("into kind")).unwrap();
    fs::write(there("there"), "something else").unwrap();
    copy(&scratch.join("src/there exact"), &there("there exact"));
    copy(&scratch.join("src/there older"), &there("there older"));
    fs::write(there("extra"), "in no other tree").unwrap();
    symlink("to somewhere", there("link there")).unwrap();
    for name in [
        "there",
        "there older",
        "link there",
        "extra",
        "into kind",
        "",
    ] {
        set_time(&there(name), 800_000_000);
    }
}

/// Both programs do and show the same, twice.
fn as_rsync(backend: &str, prepare: &dyn Fn(&Scratch), arguments: &[&str]) {
    let (mine, theirs) = (Scratch::new(), Scratch::new());
    prepare(&mine);
    for entry in fs::read_dir(mine.path()).unwrap() {
        copy(&entry.unwrap().path(), theirs.path());
    }
    for round in 0..2 {
        let Some(their_run) = rsync(theirs.path(), arguments) else {
            return;
        };
        let my_run = flexsync(mine.path(), backend, arguments);
        let what = format!("{backend} {arguments:?}, round {round}");
        same_lines(&my_run, &their_run, &what);
        let (my, their) = (seen(mine.path()), seen(theirs.path()));
        let part = |tree: &BTreeMap<PathBuf, (Seen, u64)>| -> BTreeMap<PathBuf, Seen> {
            let tree = tree.iter();
            tree.map(|(path, (seen, _))| (path.clone(), seen.clone()))
                .collect()
        };
        // The times of directories that neither program sets are the runs' own.
        let still = |mut tree: BTreeMap<PathBuf, Seen>| {
            tree.remove(Path::new(""));
            if !arguments[0].contains(['a', 't']) {
                tree.values_mut().for_each(|seen| seen.mtime = (0, 0));
            }
            tree
        };
        assert_same(&still(part(&my)), &still(part(&their)), &what);
        let links = |tree: &BTreeMap<PathBuf, (Seen, u64)>| -> Vec<(PathBuf, u64)> {
            let tree = tree.iter();
            tree.map(|(path, (_, links))| (path.clone(), *links))
                .collect()
        };
        assert_eq!(links(&my), links(&their), "{what}");
    }
}

#[test]
fn files_of_other_trees_are_used_as_by_rsync() {
    const FORMS: [&[&str]; 12] = [
        &["-ai"],
        &["-aii"],
        &["-aiin"],
        &["-avv"],
        &["-aiic"],
        &["-aiiI"],
        &["-aiiu", "--delete"],
        &["-aii", "--no-W"],
        &["-aii", "--size-only"],
        &["-aii", "--existing"],
        &["-aii", "--ignore-existing"],
        &["-rtii"],
    ];
    for (index, form) in FORMS.iter().enumerate() {
        for kind in KINDS {
            let backend = BACKENDS[index % BACKENDS.len()];
            let (first, second) = (
                format!("--{kind}-dest=../other"),
                format!("--{kind}-dest=../second"),
            );
            let arguments = [*form, &[&first, &second, "src/", "dst"]].concat();
            as_rsync(backend, &trees, &arguments);
        }
    }
}

/// Named pipes and sockets, and devices where they may be made, that are in another tree as they are wanted, or nearly.
fn specials(scratch: &Scratch) {
    let (pipe, socket) = ((SFlag::S_IFIFO, 0), (SFlag::S_IFSOCK, 0));
    let device = |number| (SFlag::S_IFCHR, makedev(1, number));
    let all = [
        ("pipe", pipe, pipe, 0o644),
        ("socket", socket, socket, 0o644),
        ("kind", pipe, socket, 0o644),
        ("mode", pipe, pipe, 0o600),
        ("time", socket, socket, 0o644),
        ("there", pipe, pipe, 0o644),
        ("device", device(3), device(3), 0o644),
        ("number", device(3), device(5), 0o644),
    ];
    fs::create_dir_all(scratch.join("src")).unwrap();
    fs::create_dir_all(scratch.join("dst")).unwrap();
    fs::create_dir_all(scratch.join("other")).unwrap();
    for (name, wanted, found, mode) in all {
        let (src, other) = (
            scratch.join("src").join(name),
            scratch.join("other").join(name),
        );
        if make_special(&src, wanted.0, 0o644, wanted.1) {
            make_special(&other, found.0, mode, found.1);
        }
    }
    make_special(&scratch.join("dst/there"), SFlag::S_IFIFO, 0o600, 0);
    date(scratch.path(), 1_000_000_000);
    set_time(&scratch.join("other/time"), 1_100_000_000);
}

#[test]
fn devices_pipes_and_sockets_of_other_trees_are_used_as_by_rsync() {
    let forms = [
        "-ai",
        "-aii",
        "-aiin",
        "-rDpi",
        "-ai --no-devices",
        "-aiH",
        "-ai -b",
    ];
    for form in forms {
        for kind in KINDS {
            let arguments = format!("{form} --{kind}-dest=../other src/ dst");
            let arguments: Vec<_> = arguments.split(' ').collect();
            does_as_rsync(specials, &arguments);
        }
    }
    let scratch = Scratch::new();
    specials(&scratch);
    let arguments = ["-a", "--link-dest=../other", "src/", "dst"];
    flexsync(scratch.path(), "direct", &arguments).expect(0);
    let inode = |path: &str| fs::symlink_metadata(scratch.join(path)).unwrap().ino();
    for (name, linked) in [
        ("pipe", true),
        ("socket", true),
        ("mode", false),
        ("time", false),
    ] {
        let (made, other) = (
            inode(&format!("dst/{name}")),
            inode(&format!("other/{name}")),
        );
        assert_eq!(made == other, linked, "{name}");
    }
}

#[test]
fn a_new_destination_is_made_of_other_trees_as_by_rsync() {
    for kind in KINDS {
        // In a dry run there is no directory that a path could be relative to.
        for form in ["-aii", "-rii"] {
            let prepare = |scratch: &Scratch| {
                trees(scratch);
                fs::remove_dir_all(scratch.join("dst")).unwrap();
            };
            let other = format!("--{kind}-dest=../other");
            as_rsync("direct", &prepare, &[form, &other, "src/", "dst"]);
        }
    }
}

#[test]
fn random_trees_become_what_rsync_makes_of_them() {
    for (index, kind) in KINDS.iter().cycle().take(9).enumerate() {
        let prepare = |scratch: &Scratch| {
            let mut random = Random::new(9000 + index as u64);
            grow(&scratch.join("src"), &mut random, 60);
            copy(&scratch.join("src"), &scratch.join("other"));
            change(&scratch.join("other"), &mut random);
            copy(&scratch.join("src"), &scratch.join("second"));
            change(&scratch.join("second"), &mut random);
            match index % 2 {
                0 => fs::create_dir(scratch.join("dst")).unwrap(),
                _ => copy(&scratch.join("second"), &scratch.join("dst")),
            }
            whole_seconds(scratch.path());
        };
        let (first, second) = (
            format!("--{kind}-dest=../other"),
            format!("--{kind}-dest=../second"),
        );
        let arguments = ["-aii", &first, &second, "--delete", "--no-W", "src/", "dst"];
        as_rsync(BACKENDS[index % BACKENDS.len()], &prepare, &arguments);
    }
}

#[test]
fn a_basis_of_another_tree_is_used_for_differences() {
    for kind in KINDS {
        let scratch = Scratch::new();
        let bytes = Random::new(4).bytes(100_000);
        scratch.write("src/file", &bytes);
        scratch.write("other/file", &bytes[50_000..]);
        let other = format!("--{kind}-dest=../other");
        let arguments = ["-a", "--no-W", "--stats", &other, "src/", "dst"];
        let run = flexsync(scratch.path(), "direct", &arguments).expect(0);
        assert!(run.figure("Matched data") > 40_000, "{}", run.stdout);
        assert_eq!(fs::read(scratch.join("dst/file")).unwrap(), bytes);
    }
}

#[test]
fn a_basis_of_another_tree_is_not_taken_for_what_is_written_in_place() {
    for (kind, &backend) in KINDS.iter().zip(BACKENDS.iter().cycle()) {
        let scratch = Scratch::new();
        let bytes = Random::new(4).bytes(100_000);
        scratch.write("src/same place", &bytes);
        scratch.write("src/behind", &bytes);
        scratch.write("other/same place", [&bytes[..60_000], b"else"].concat());
        scratch.write(
            "other/behind",
            [&bytes[50_000..], &bytes[..40_000]].concat(),
        );
        let other = format!("--{kind}-dest=../other");
        let arguments = [
            "-a",
            "--inplace",
            "--no-W",
            "--stats",
            &other,
            "src/",
            "dst",
        ];
        let run = flexsync(scratch.path(), backend, &arguments).expect(0);
        for name in ["same place", "behind"] {
            assert!(
                fs::read(scratch.join("dst").join(name)).unwrap() == bytes,
                "{name}"
            );
        }
        // No block is gone by the time that it is wanted.
        assert!(run.figure("Matched data") > 145_000, "{}", run.stdout);
    }
}

#[test]
fn what_another_tree_replaces_is_backed_up() {
    for kind in ["link", "compare"] {
        let scratch = Scratch::new();
        scratch.write("src/file", "contents");
        copy(&scratch.join("src"), &scratch.join("other"));
        scratch.write("dst/file", "something else");
        let other = format!("--{kind}-dest=../other");
        flexsync(scratch.path(), "direct", &["-ab", &other, "src/", "dst"]).expect(0);
        let kept = fs::read(scratch.join("dst/file~")).unwrap();
        assert_eq!(kept, b"something else", "{kind}");
        let links = fs::metadata(scratch.join("other/file")).unwrap().nlink();
        let linked = kind == "link";
        assert_eq!(scratch.join("dst/file").exists(), linked, "{kind}");
        assert_eq!(links, if linked { 2 } else { 1 }, "{kind}");
    }
}

#[test]
fn a_symlink_that_a_copy_replaces_is_backed_up_as_by_rsync() {
    let prepare = |scratch: &Scratch| {
        scratch.write("src/file", "contents");
        set_time(&scratch.join("src/file"), 1_000_000_000);
        copy(&scratch.join("src"), &scratch.join("other"));
        fs::create_dir(scratch.join("dst")).unwrap();
        symlink("elsewhere", scratch.join("dst/file")).unwrap();
    };
    for options in [&["-b"][..], &["-b", "--backup-dir=../kept"]] {
        let others = &["--copy-dest=../other", "src/", "dst"];
        as_rsync("direct", &prepare, &[&["-rpi"], options, others].concat());
    }
}

/// A copy of the source on another file system, and the option that names it; `None` if there is none to write to.
fn on_another(scratch: &Scratch) -> Option<(Elsewhere, String)> {
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    let Some(other) = [Path::new("/dev/shm"), Path::new("/var/tmp")]
        .into_iter()
        .find(|path| device(path).is_some() && device(path) != device(scratch.path()))
    else {
        println!("SKIP: there is no second file system to write to");
        return None;
    };
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("flexsync-test-{}-alternate-{number}", std::process::id());
    let tree = other.join(name);
    copy(&scratch.join("src"), &tree);
    let option = format!("--link-dest={}", tree.display());
    Some((Elsewhere(tree), option))
}

/// A directory that goes when this is dropped.
struct Elsewhere(PathBuf);

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_that_cannot_be_linked_is_copied() {
    let scratch = Scratch::new();
    let mut random = Random::new(19);
    grow(&scratch.join("src"), &mut random, 40);
    let Some((_other, option)) = on_another(&scratch) else {
        return;
    };
    let run = flexsync(scratch.path(), "direct", &["-a", &option, "src/", "dst"]);
    run.expect(0);
    assert_same(
        &snapshot(&scratch.join("src"), Times::Compare),
        &snapshot(&scratch.join("dst"), Times::Compare),
        &option,
    );
}

#[test]
fn one_that_cannot_be_linked_is_told_of_as_a_copy() {
    let scratch = Scratch::new();
    for name in ["like it", "with another mode"] {
        set_time(&scratch.write(&format!("src/{name}"), name), 1_000_000_000);
    }
    let Some((other, option)) = on_another(&scratch) else {
        return;
    };
    let path = other.0.join("with another mode");
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    for form in ["-rpii", "-rtpii", "-rtpi", "-rtpiin"] {
        fs::create_dir(scratch.join("dst")).unwrap();
        let arguments = [form, "-O", &option, "src/", "dst"];
        let Some(theirs) = rsync(scratch.path(), &arguments) else {
            return;
        };
        fs::remove_dir_all(scratch.join("dst")).unwrap();
        fs::create_dir(scratch.join("dst")).unwrap();
        let mine = flexsync(scratch.path(), "direct", &arguments);
        same_lines(&mine, &theirs, form);
        fs::remove_dir_all(scratch.join("dst")).unwrap();
    }
}

#[test]
fn a_dry_run_looks_there_also_where_the_destination_is_missing() {
    let prepare = |scratch: &Scratch| {
        for tree in ["src", "other"] {
            for name in ["file", "dir/file", "older"] {
                scratch.write(&format!("{tree}/{name}"), "contents");
            }
            common::date(&scratch.join(tree), 1_500_000_000);
        }
        set_time(&scratch.join("other/older"), 1_000_000_000);
    };
    for kind in KINDS {
        let option = format!("--{kind}-dest=../other");
        for form in ["-aii", "-aHii"] {
            for destination in ["dst", "dst/"] {
                let arguments = [form, "-n", &option, "src/", destination];
                common::does_as_rsync(prepare, &arguments);
            }
        }
    }
}

#[test]
fn a_symlink_below_another_tree_is_not_followed() {
    for kind in KINDS {
        let scratch = Scratch::new();
        scratch.write("src/sub/file", "contents");
        copy(&scratch.join("src/sub"), &scratch.join("elsewhere"));
        fs::create_dir(scratch.join("other")).unwrap();
        symlink("../elsewhere", scratch.join("other/sub")).unwrap();
        let other = format!("--{kind}-dest=../other");
        let run = flexsync(scratch.path(), "direct", &["-ai", &other, "src/", "dst"]).expect(0);
        assert!(run.stdout.contains(">f+++++++++ sub/file"), "{run:?}");
    }
}

#[test]
fn another_tree_that_is_missing_is_told_of() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    let run = flexsync(
        scratch.path(),
        "direct",
        &["-a", "--link-dest=none", "src/", "dst"],
    );
    assert!(run.stderr.contains("\"none\""), "{run:?}");
    run.expect(0);
    assert!(scratch.join("dst/file").exists());
}

#[test]
fn trees_of_two_kinds_or_too_many_are_refused() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    let many = ["--link-dest=other"; 21];
    let forms: [&[&str]; 2] = [&["--link-dest=a", "--copy-dest=b"], &many];
    for form in forms {
        let arguments = [form, &["-a", "src/", "dst"]].concat();
        let Some(theirs) = rsync(scratch.path(), &arguments) else {
            return;
        };
        theirs.expect(1);
        flexsync(scratch.path(), "direct", &arguments).expect(1);
        assert!(!scratch.join("dst").exists());
    }
}

#[test]
fn what_cannot_be_read_in_another_tree_is_transferred() {
    for kind in ["link", "copy"] {
        let scratch = Scratch::new();
        for name in ["src/file", "other/file"] {
            set_time(&scratch.write(name, "contents"), 1_000_000_000);
        }
        fs::set_permissions(scratch.join("other/file"), Permissions::from_mode(0o600)).unwrap();
        // Nobody may link to it, where the kernel protects links.
        for dir in ["src", "dst"] {
            fs::create_dir_all(scratch.join(dir)).unwrap();
            lchown(scratch.join(dir), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let other = format!("--{kind}-dest=../other");
        let Some(run) = as_nobody(&scratch, &["-rt", &other, "src/", "dst"]) else {
            return;
        };
        let run = run.expect(23);
        assert!(
            run.stderr.contains("cannot read the old version"),
            "{run:?}"
        );
        assert_eq!(
            fs::read(scratch.join("dst/file")).unwrap(),
            b"contents",
            "{kind}"
        );
    }
}
