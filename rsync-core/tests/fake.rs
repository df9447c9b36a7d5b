// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--fake-super`: the same files with the same attributes as rsync keeps, and each brings back what the other has kept.
//! Exceptions, in all of which rsync loses what was kept:
//!
//! - Without `--owner` or `--group`, rsync keeps an owner or group of a file in a subdirectory that is any number, and forgets those
//!   that were kept of a file that is there.
//! - Without `--perms`, rsync forgets the mode that was kept of a file that is transferred anew.
//! - When a mode changes, rsync leaves an access control list as it was kept whose owning group had what the old mode said.
//! - In a list that rsync keeps, the mask may be that of another file; the mode has it, and that counts.
//!
//! - With `--acls` and `--xattrs`, rsync forgets the list of a directory or special file that has other attributes.
//!
//! Of a file that loses its access control list rsync keeps an empty one.

mod common;

use common::child::{NOBODY, as_nobody_over};
use common::mount::{mount_plain, unmount};
use common::xattr::{self, set, supported};
use common::{
    BACKENDS, Random, Run, Scratch, Seen, Times, acl, assert_same, change, copy, date,
    does_as_rsync, flexsync, grow, grow_specials, is_root, leftovers, make_special, numbers, rsync,
    same_lines, snapshot, tested, whole_seconds,
};
use nix::sys::stat::{SFlag, makedev};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const STAT: &str = "user.rsync.%stat";

/// A tree with files of all kinds that all can read, as far as this user may make them.
fn all_kinds(root: &Path) {
    let file = |name: &str, mode: u32| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, name).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    for (name, mode) in [
        ("plain", 0o644),
        ("read only", 0o444),
        ("set-user-ID", 0o4755),
        ("set-group-ID", 0o2754),
        ("sticky", 0o1666),
        ("owned", 0o604),
        ("owned and set-user-ID", 0o6755),
        ("inner/file", 0o644),
        ("inner/owned", 0o644),
    ] {
        file(name, mode);
    }
    symlink("plain", root.join("link")).unwrap();
    symlink("/nowhere/\u{e4}\n", root.join("inner/owned link")).unwrap();
    make_special(&root.join("pipe"), SFlag::S_IFIFO, 0o666, 0);
    make_special(&root.join("socket"), SFlag::S_IFSOCK, 0o1750, 0);
    let (null, disk) = (makedev(1, 3), makedev(300, 70000));
    make_special(&root.join("null"), SFlag::S_IFCHR, 0o666, null);
    make_special(&root.join("owned disk"), SFlag::S_IFBLK, 0o640, disk);
    for (name, mode) in [("narrow", 0o555), ("shared", 0o2775), ("tmp", 0o1777)] {
        fs::create_dir(root.join(name)).unwrap();
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    for path in common::paths(root) {
        if is_root() && path.to_string_lossy().contains("owned") {
            let mode = fs::symlink_metadata(&path).unwrap().mode();
            lchown(&path, Some(1000), Some(2000)).unwrap();
            if mode & 0o6000 != 0 {
                fs::set_permissions(path, Permissions::from_mode(mode & 0o7777)).unwrap();
            }
        }
    }
    date(root, 1_000_000_000);
}

fn prepare(scratch: &Scratch) {
    all_kinds(&scratch.join("src"));
}

/// A tree as it is, but for times that nobody has set, and for what of access control lists does not count.
fn seen(root: &Path, times: Times) -> BTreeMap<PathBuf, Seen> {
    const NONE: [u8; 16] = [0x80, 0, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0];
    // Times that are set are long past. Those of directories that something was made in or removed from are not.
    const PAST: i64 = 1_700_000_000;
    let mut tree = snapshot(root, times);
    for file in tree.values_mut() {
        file.mtime = file.mtime.min((PAST, 0));
        // The group that a file itself has may be that of its directory.
        if file.xattrs.contains_key(STAT) {
            file.owner.1 = 0;
        }
        if let Some(list) = file.xattrs.get_mut("user.rsync.%aacl") {
            match **list == NONE {
                true => drop(file.xattrs.remove("user.rsync.%aacl")),
                false => list[8..12].fill(0),
            }
        }
    }
    // When runs were is nobody's business.
    tree.remove(Path::new(""));
    tree
}

/// Both programs go through the same steps: options and paths, divided by blanks.
fn steps(backend: &str, prepare: impl Fn(&Scratch), user: Option<u32>, steps: &[&str]) {
    let (mine, theirs) = (Scratch::new(), Scratch::new());
    prepare(&mine);
    for entry in fs::read_dir(mine.path()).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &theirs.join(entry.file_name()));
    }
    // Then, times of directories or links are left alone.
    let times = match steps[0].split(' ').next() {
        Some(options) if options.contains(['b', 'J', 'O']) => Times::Ignore,
        _ => Times::Seconds,
    };
    for scratch in [&mine, &theirs] {
        if let Some(user) = user {
            lchown(scratch.path(), Some(user), Some(user)).unwrap();
        }
    }
    for (number, step) in steps.iter().enumerate() {
        let arguments: Vec<_> = step.split(' ').collect();
        let their_run = match user {
            None => rsync(theirs.path(), &arguments),
            Some(user) => {
                let mut command = Command::new("rsync");
                let command = command.current_dir(theirs.path()).args(&arguments);
                command.uid(user).gid(user).output().ok().map(Run::from)
            }
        };
        let Some(their_run) = their_run else { return };
        let my_run = match user {
            None => flexsync(mine.path(), backend, &arguments),
            Some(_) => as_nobody_over(&mine, tested(backend), &arguments).unwrap(),
        };
        let _ = fs::remove_file(mine.join("flexsync"));
        let what = format!("{backend}, {number}. {step}, of {steps:?}");
        same_lines(&my_run.files(), &their_run.files(), &what);
        let seen = [&mine, &theirs].map(|scratch| seen(scratch.path(), times));
        assert_same(&seen[0], &seen[1], &what);
        assert!(leftovers(mine.path()).is_empty(), "{what}");
    }
}

/// To a tree that stands for another one, again, from there to one that does so too, to a real one, and as it is.
fn all_ways(options: &str) -> Vec<String> {
    let fake = format!("{options} --fake-super");
    vec![
        format!("{options} -M--fake-super src/ dst"),
        format!("{fake} src/ dst"),
        format!("{fake} dst/ copy"),
        format!("{fake} -M--super dst/ real"),
        format!("{options} dst/ plain"),
    ]
}

fn refs(steps: &[String]) -> Vec<&str> {
    steps.iter().map(String::as_str).collect()
}

#[test]
fn files_of_all_kinds_are_kept_and_brought_back_as_by_rsync() {
    if !supported(&Scratch::new()) {
        return;
    }
    const OPTIONS: [&str; 13] = [
        "-ai",
        "-aii",
        "-aic",
        "-aiH --no-W",
        "-aiI --inplace",
        "-ai --delay-updates",
        "-aib --delete",
        "-aiJ",
        "-aiO --chmod=F2640,D1700",
        "-ai --chown=5:6",
        "-ai --usermap=1000:7 --groupmap=0:9",
        "-ai --safe-links",
        "-aiX",
    ];
    for (index, options) in OPTIONS.iter().enumerate() {
        let backend = BACKENDS[index % BACKENDS.len()];
        steps(backend, prepare, None, &refs(&all_ways(options)));
    }
    for backend in BACKENDS.iter() {
        let dry = ["-ain --fake-super src/ dst", "-a -M--fake-super src/ dst"];
        let dry = [&dry[..], &["-ain --fake-super -M--super dst/ real"]].concat();
        steps(backend, prepare, None, &dry);
    }
}

#[test]
fn others_than_the_superuser_keep_and_bring_back_as_by_rsync() {
    if !is_root() {
        println!("SKIP: only root can run the command as somebody else");
        return;
    }
    if !supported(&Scratch::new()) {
        return;
    }
    for (backend, options) in BACKENDS
        .iter()
        .zip(["-ai", "-aiH --no-W", "-aiXI --inplace"])
    {
        let mut all = all_ways(options);
        // They cannot make all that real.
        all[3] = format!("{options} --fake-super -M--no-super dst/ real");
        steps(backend, prepare, Some(NOBODY), &refs(&all));
    }
}

#[test]
fn each_program_brings_back_what_the_other_has_kept() {
    let scratch = Scratch::new();
    if !supported(&scratch) || !is_root() {
        return;
    }
    prepare(&scratch);
    let Some(run) = rsync(scratch.path(), &["-a", "-M--fake-super", "src/", "theirs"]) else {
        return;
    };
    run.expect(0);
    flexsync(
        scratch.path(),
        "direct",
        &["-a", "-M--fake-super", "src/", "mine"],
    )
    .expect(0);
    let arguments = ["-ai", "--fake-super", "-M--super", "theirs/", "back"];
    flexsync(scratch.path(), "direct", &arguments).expect(0);
    let arguments = ["-ai", "--fake-super", "-M--super", "mine/", "again"];
    rsync(scratch.path(), &arguments).unwrap().expect(0);
    let source = snapshot(&scratch.join("src"), Times::Compare);
    for name in ["back", "again"] {
        assert_same(
            &snapshot(&scratch.join(name), Times::Compare),
            &source,
            name,
        );
    }
}

#[test]
fn random_trees_become_what_rsync_makes_of_them() {
    const OPTIONS: [&str; 6] = [
        "-aii",
        "-ai --delete",
        "-aic --no-W --delete",
        "-aiI --inplace",
        "-aib --suffix=.old",
        "-aiu --force",
    ];
    if !supported(&Scratch::new()) {
        return;
    }
    for (seed, options) in (7000..).zip(OPTIONS) {
        let prepare = |scratch: &Scratch| {
            let mut random = Random::new(seed);
            let (source, old) = (scratch.join("src"), scratch.join("dst"));
            grow(&source, &mut random, 30);
            grow_specials(&source, &mut random, 20);
            whole_seconds(&source);
            // Some of it really is what it should stand for.
            copy(&source, &old);
            change(&old, &mut random);
            for path in common::paths(&old) {
                let kind = fs::symlink_metadata(&path).unwrap();
                // rsync cannot keep anything of one of those either.
                if !kind.is_file() && !kind.is_dir() && !kind.is_symlink() {
                    fs::remove_file(path).unwrap();
                } else if kind.is_dir() {
                    // When a directory loses that bit says which group files have.
                    let mode = Permissions::from_mode(kind.mode() & 0o1777);
                    fs::set_permissions(path, mode).unwrap();
                }
            }
            whole_seconds(&old);
        };
        let backend = BACKENDS[seed as usize % BACKENDS.len()];
        steps(backend, prepare, None, &refs(&all_ways(options)));
    }
}

#[test]
fn figures_count_what_files_stand_for() {
    let scratch = Scratch::new();
    if !supported(&scratch) {
        return;
    }
    let both = |arguments: &[&str]| {
        let runs = [("mine", false), ("theirs", true)].map(|(side, real)| {
            let dir = scratch.join(side);
            match real {
                true => rsync(&dir, arguments),
                false => Some(flexsync(&dir, "direct", arguments)),
            }
        });
        let [Some(mine), Some(theirs)] = runs else {
            return;
        };
        assert_eq!(numbers(&mine), numbers(&theirs), "{arguments:?}");
    };
    for side in ["mine", "theirs"] {
        fs::create_dir_all(scratch.join(side).join("empty")).unwrap();
        all_kinds(&scratch.join(side).join("src"));
    }
    both(&["-a", "--stats", "-M--fake-super", "src/", "dst"]);
    both(&["-a", "--stats", "--fake-super", "-M--super", "dst/", "real"]);
    both(&["-a", "--stats", "--fake-super", "--delete", "empty/", "dst"]);
    assert_eq!(fs::read_dir(scratch.join("mine/dst")).unwrap().count(), 0);
}

#[test]
fn the_last_of_options_that_exclude_each_other_counts() {
    if !supported(&Scratch::new()) {
        return;
    }
    for options in [
        "--super --fake-super",
        "--fake-super --super",
        "--no-super --fake-super",
        "--fake-super --no-super",
        "--fake-super -M--no-super",
        "-M--fake-super -M--super",
        "-M--super -M --fake-super",
        "--no-super --remote-option=--fake-super",
        "--fake-super -X -X",
    ] {
        let arguments: Vec<_> = options.split(' ').collect();
        let arguments = [&["-ai"], &arguments[..], &["src/", "dst"]].concat();
        does_as_rsync(prepare, &arguments);
    }
    let scratch = Scratch::new();
    prepare(&scratch);
    let run = flexsync(
        scratch.path(),
        "direct",
        &["-a", "-M--log-file=x", "src/", "dst"],
    );
    let run = run.expect(4);
    assert!(run.stderr.contains("\"--log-file=x\""), "{}", run.stderr);
    assert!(!scratch.join("dst").exists());
}

#[test]
fn a_file_that_stands_for_a_link_is_sent_as_one_and_never_followed() {
    if !supported(&Scratch::new()) {
        return;
    }
    let prepare = |scratch: &Scratch| {
        let link = |name: &str, target: &str| {
            let path = scratch.write(&format!("src/{name}"), target);
            set(&path, STAT, b"120777 0,0 0:0");
        };
        scratch.write("src/file", "contents");
        scratch.write("src/dir/inner", "contents");
        scratch.write("outside/file", "contents");
        for (name, target) in [
            ("to file", "file"),
            ("to dir", "dir"),
            ("out", "../outside"),
        ] {
            link(name, target);
            symlink(target, scratch.join("src").join(format!("really {name}"))).unwrap();
        }
        symlink("to file", scratch.join("src/to link")).unwrap();
        date(&scratch.join("src"), 1_000_000_000);
    };
    for options in [
        "-ai",
        "-aiL",
        "-aik",
        "-ai --safe-links",
        "-ai --copy-unsafe-links",
        "-rti",
    ] {
        let all = [
            format!("{options} --fake-super -M--super src/ dst"),
            format!("{options} --fake-super -M--super src/dir/ dst"),
        ];
        steps("direct", prepare, None, &refs(&all));
    }
    let list = [
        "--list-only -a --fake-super src",
        "--list-only -aR --fake-super src/./dir src/out",
    ];
    steps("direct", prepare, None, &list);
    let all = ["-aiR --fake-super -M--super src/./dir src/out dst"];
    steps("direct", prepare, None, &all);
    let all = ["-ai --fake-super -M--super --remove-source-files src/ dst"];
    steps("direct", prepare, None, &all);
}

#[test]
fn attributes_and_access_control_lists_are_kept_as_by_rsync() {
    if !acl::supported() || !is_root() || !supported(&Scratch::new()) {
        return;
    }
    let prepare = |scratch: &Scratch| {
        prepare(scratch);
        let path = |name: &str| scratch.join("src").join(name);
        for name in ["plain", "link", "socket", "shared", "owned"] {
            for attribute in ["user.a", "trusted.a", "security.b"] {
                set(&path(name), attribute, name.as_bytes());
            }
        }
        set(&path("plain"), STAT, b"20644 1,3 5:5");
        for (name, list) in [
            ("plain", "u:6,U:1:4,U:7:5,g:4,G:3:1,m:5,o:0"),
            ("owned", "u:6,g:4,m:5,o:0"),
            ("read only", "u:4,g:4,G:0:7,m:4,o:4"),
            ("set-user-ID", "u:7,U:2:4,g:5,m:5,o:5"),
            ("pipe", "u:6,U:3:4,g:4,m:7,o:0"),
            ("narrow", "u:5,U:1:4,g:4,m:5,o:5"),
        ] {
            assert!(acl::set(&path(name), list));
        }
        acl::set_default(&path("narrow"), "u:7,g:4,o:0");
        acl::set_default(&path("inner"), "u:7,U:1:4,g:4,m:4,o:0");
        date(&scratch.join("src"), 1_000_000_000);
    };
    for (index, options) in ["-aiA", "-aiX", "-aiAX", "-aiAXH --no-W", "-aiAXn"]
        .iter()
        .enumerate()
    {
        let backend = BACKENDS[index % BACKENDS.len()];
        let mut all = all_ways(options);
        all.push("-ai --fake-super dst/ less".to_owned());
        steps(backend, prepare, None, &refs(&all));
    }
}

#[test]
fn what_is_kept_goes_with_what_it_was_kept_for() {
    let scratch = Scratch::new();
    if !acl::supported() || !supported(&scratch) {
        return;
    }
    let file = scratch.write("src/file", "contents");
    set(&file, "trusted.a", b"1");
    acl::set(&file, "u:6,U:1:4,g:4,m:5,o:0");
    fs::set_permissions(&file, Permissions::from_mode(0o4654)).unwrap();
    let arguments = ["-aiAX", "-M--fake-super", "src/", "dst"];
    flexsync(scratch.path(), "direct", &arguments).expect(0);
    assert!(xattr::read(&scratch.join("dst/file")).contains_key(STAT));
    for name in xattr::read(&file).into_keys() {
        rustix::fs::lremovexattr(&file, &name[..]).unwrap();
    }
    fs::set_permissions(&file, Permissions::from_mode(0o654)).unwrap();
    let run = flexsync(scratch.path(), "direct", &arguments).expect(0);
    assert!(run.stdout.contains(".f...p...ax file"), "{}", run.stdout);
    assert_eq!(xattr::read(&scratch.join("dst/file")), BTreeMap::new());
    assert_eq!(
        flexsync(scratch.path(), "direct", &arguments)
            .expect(0)
            .stdout,
        ""
    );
}

#[test]
fn what_was_kept_and_makes_no_sense_is_named_and_left_alone() {
    let scratch = Scratch::new();
    if !supported(&scratch) {
        return;
    }
    for (name, value) in [
        ("syntax", "100644 0,0"),
        ("mode", "644 0,0 0:0"),
        ("dir", "40755 0,0 0:0"),
        ("empty link", "120777 0,0 0:0"),
    ] {
        let contents = if name == "empty link" { "" } else { "old" };
        for side in ["wrong", "right"] {
            scratch.write(&format!("{side}/{name}"), contents);
        }
        set(&scratch.join("wrong").join(name), STAT, value.as_bytes());
    }
    fs::create_dir(scratch.join("wrong/inner")).unwrap();
    fs::create_dir(scratch.join("right/inner")).unwrap();
    scratch.write("right/inner/good", "good");
    scratch.write("wrong/inner/good", "good");
    set(&scratch.join("wrong/inner"), STAT, b"100644 0,0 0:0");
    for backend in BACKENDS.iter() {
        let arguments = ["-a", "--fake-super", "-M--super", "wrong/", "new"];
        let sent = flexsync(scratch.path(), backend, &arguments).expect(23);
        let arguments = ["-ai", "-M--fake-super", "right/", "wrong"];
        let received = flexsync(scratch.path(), backend, &arguments).expect(23);
        for name in ["syntax", "mode", "dir", "inner"] {
            for run in [&sent, &received] {
                let told = format!(
                    "cannot read the attributes that --fake-super has kept of \"wrong/{name}\""
                );
                assert!(run.stderr.contains(&told), "{name}: {}", run.stderr);
                assert!(run.stderr.contains("setfattr -x"), "{}", run.stderr);
            }
            assert!(!scratch.join("new").join(name).exists());
            let kept = xattr::read(&scratch.join("wrong").join(name));
            assert!(kept.contains_key(STAT), "{name}");
        }
        let told = "cannot read symbolic link \"wrong/empty link\"";
        assert!(sent.stderr.contains(told), "{}", sent.stderr);
        fs::remove_dir_all(scratch.join("new")).unwrap();
        // What there stands for a link is not what the source has.
        let link = scratch.join("wrong/empty link");
        assert!(!xattr::read(&link).contains_key(STAT));
        set(&link, STAT, b"120777 0,0 0:0");
    }
}

#[test]
fn a_list_that_was_kept_and_makes_no_sense_is_named() {
    let scratch = Scratch::new();
    if !supported(&scratch) {
        return;
    }
    let file = scratch.write("src/file", "contents");
    set(&file, "user.rsync.%aacl", b"\x80\0\0\0");
    let arguments = ["-aA", "--fake-super", "src/", "dst"];
    let run = flexsync(scratch.path(), "direct", &arguments).expect(23);
    let told = "cannot read the attributes that --fake-super has kept of \"src/file\": its ACL is no valid one";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    assert!(run.stderr.contains("setfattr -x"), "{}", run.stderr);
    // Its copy's are left alone.
    assert_eq!(fs::read(scratch.join("dst/file")).unwrap(), b"contents");
}

#[test]
fn a_file_system_without_attributes_is_named_and_has_no_file_that_stands_for_nothing() {
    let scratch = Scratch::new();
    prepare(&scratch);
    fs::create_dir(scratch.join("dst")).unwrap();
    if !mount_plain(&scratch.join("dst")) {
        return;
    }
    let run = flexsync(
        scratch.path(),
        "direct",
        &["-a", "--fake-super", "src/", "dst"],
    );
    let kinds =
        ["plain", "link", "pipe", "null"].map(|name| scratch.join("dst").join(name).exists());
    let left = leftovers(&scratch.join("dst"));
    unmount(&scratch.join("dst"));
    let run = run.expect(23);
    assert_eq!(kinds, [true, false, false, false]);
    assert!(left.is_empty(), "{left:?}");
    for name in ["link", "pipe", "set-user-ID"] {
        let told =
            format!("cannot keep the attributes for --fake-super of \"dst/{name}\": EOPNOTSUPP");
        assert!(run.stderr.contains(&told), "{}", run.stderr);
    }
    assert!(
        run.stderr
            .contains("choose another one, or leave --fake-super out")
    );
    assert!(!run.stderr.contains("dst/plain"), "{}", run.stderr);
}

#[test]
fn nothing_is_kept_or_made_through_a_link() {
    let scratch = Scratch::new();
    if !supported(&scratch) {
        return;
    }
    prepare(&scratch);
    let outside = scratch.write("outside", "x");
    fs::set_permissions(&outside, Permissions::from_mode(0o640)).unwrap();
    fs::create_dir(scratch.join("dst")).unwrap();
    for name in ["plain", "pipe", "link", "set-user-ID"] {
        symlink("../outside", scratch.join("dst").join(name)).unwrap();
    }
    for options in ["-a", "-aI"] {
        let arguments = [options, "--fake-super", "src/", "dst"];
        flexsync(scratch.path(), "direct", &arguments).expect(0);
    }
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read(&outside).unwrap(), b"x");
    assert_eq!(xattr::read(&outside), BTreeMap::new());
    assert_eq!(fs::read(scratch.join("dst/link")).unwrap(), b"plain");
}

#[test]
fn without_owner_and_group_what_was_kept_of_them_stays() {
    let scratch = Scratch::new();
    if !supported(&scratch) {
        return;
    }
    let file = scratch.write("src/inner/file", "contents");
    let owner = fs::metadata(&file).unwrap();
    let kept = scratch.write("dst/inner/kept", "contents");
    copy(&kept, &scratch.join("src/inner/kept"));
    set(&kept, STAT, b"100644 0,0 7:8");
    flexsync(
        scratch.path(),
        "direct",
        &["-rlpt", "--fake-super", "src/", "dst"],
    )
    .expect(0);
    assert_eq!(xattr::read(&kept)[STAT], b"100644 0,0 7:8");
    let new = scratch.join("dst/inner/file");
    assert_eq!(xattr::read(&new), BTreeMap::new());
    assert_eq!(fs::metadata(new).unwrap().uid(), owner.uid());
}
