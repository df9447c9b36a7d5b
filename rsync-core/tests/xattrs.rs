// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--xattrs`: the same extended attributes and the same lines as rsync's.

mod common;

use common::child::{NOBODY, as_nobody};
use common::xattr::{self, set, supported};
use common::{
    BACKENDS, Random, Scratch, change, copy, does_as_rsync, does_as_rsync_on, flexsync, grow,
    make_special, rsync,
};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{SFlag, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

/// A tree with attributes of each kind, and an older version of it.
fn prepare(scratch: &Scratch) {
    for name in ["changed", "same", "gone", "new", "long", "dir/inner"] {
        scratch.write(&format!("src/{name}"), "contents");
    }
    symlink("same", scratch.join("src/link")).unwrap();
    symlink("old", scratch.join("src/other link")).unwrap();
    make_special(&scratch.join("src/pipe"), SFlag::S_IFIFO, 0o644, 0);
    for name in ["", "changed", "same", "gone", "dir", "dir/inner"] {
        set(&scratch.join("src").join(name), "user.a", name.as_bytes());
    }
    for name in ["same", "link", "other link", "pipe"] {
        set(&scratch.join("src").join(name), "trusted.a", b"t");
        set(&scratch.join("src").join(name), "security.a", b"s");
    }
    common::date(&scratch.join("src"), 1_000_000_000);
    copy(&scratch.join("src"), &scratch.join("dst"));
    let (src, dst) = (scratch.join("src"), scratch.join("dst"));
    set(&src.join("changed"), "user.a", b"now");
    set(&dst.join("gone"), "user.more", b"not in the source");
    set(&dst.join("dir"), "user.more", b"not in the source");
    set(&dst.join("link"), "trusted.a", b"u");
    fs::remove_file(dst.join("other link")).unwrap();
    symlink("new", dst.join("other link")).unwrap();
    set(&dst.join("other link"), "trusted.a", b"v");
    fs::remove_file(dst.join("new")).unwrap();
    set(&src.join("new"), "user.long", &[b'l'; 60_000]);
    set(&src.join("long"), "user.long", &[b'l'; 2000]);
    set(
        &dst.join("long"),
        "user.long",
        &[[b'l'; 1999].as_slice(), b"m"].concat(),
    );
    fs::write(dst.join("same"), "other contents").unwrap();
    fs::write(dst.join("dir/inner"), "other contents").unwrap();
    set(&dst.join("dir/inner"), "user.a", b"other");
    common::date(&dst, 1_000_000_000);
}

#[test]
fn attributes_are_kept_as_rsync_keeps_them() {
    if !supported(&Scratch::new()) {
        return;
    }
    for options in [
        &["-aiX"][..],
        &["-aiiX"],
        &["-aiXn"],
        &["-ai"],
        &["-aiX", "--no-X"],
        &["-ai", "--no-xattrs", "-X"],
        &["-rliX"],
        &["-aiX", "--no-W"],
        &["-aiX", "--inplace"],
        &["-aiX", "--inplace", "--no-W", "-b"],
        &["-aiX", "-b"],
        &["-aiX", "-b", "--backup-dir=old"],
        &["-aiX", "--delay-updates"],
        &["-aiX", "-u", "--size-only"],
        &["-aiXc"],
        &["-aiXm", "--delete"],
        &["-aiX", "--existing"],
        &["-aiX", "--ignore-existing"],
        &["-aiX", "--chown=1:1"],
    ] {
        does_as_rsync(prepare, &[options, &["src/", "dst"]].concat());
    }
    does_as_rsync(prepare, &["-aiX", "src/", "new"]);
    does_as_rsync(prepare, &["-iX", "src/changed", "src/new", "dst"]);
    does_as_rsync(prepare, &["-iX", "src/changed", "dst/called otherwise"]);
    does_as_rsync(prepare, &["-aiXR", "src/./dir/inner", "dst"]);
    // Not shown where nothing else changes.
    does_as_rsync(
        prepare,
        &["-aX", "--info=name2", "src/changed", "src/new", "dst"],
    );
}

#[test]
fn other_trees_are_compared_by_their_attributes_too() {
    if !supported(&Scratch::new()) {
        return;
    }
    let prepare = |scratch: &Scratch| {
        prepare(scratch);
        // Neither is looked for elsewhere, and of links only what is the same.
        for tree in ["src", "dst"] {
            for name in ["pipe", "link", "other link"] {
                fs::remove_file(scratch.join(tree).join(name)).unwrap();
            }
            common::date(&scratch.join(tree), 1_000_000_000);
        }
    };
    for option in [
        "--link-dest=../dst",
        "--copy-dest=../dst",
        "--compare-dest=../dst",
    ] {
        for form in ["-aiX", "-aX"] {
            does_as_rsync(prepare, &[form, option, "src/", "new"]);
        }
    }
}

#[test]
fn what_rsync_keeps_in_attributes_is_sent_only_when_asked_for() {
    if !supported(&Scratch::new()) {
        return;
    }
    let prepare = |scratch: &Scratch| {
        let src = scratch.write("src/file", "contents");
        let dst = scratch.write("dst/file", "contents");
        set(&src, "user.rsync.%stat", b"100644 0,0 0:0");
        set(&src, "user.rsync.plain", b"plain");
        set(&dst, "user.rsync.%other", b"of an older run");
        common::date(scratch.path(), 1_000_000_000);
    };
    for options in [
        &["-aiX"][..],
        &["-aiXX"],
        &["-aiX", "-X"],
        &["-aiXX", "--no-X", "-X"],
    ] {
        does_as_rsync(prepare, &[options, &["src/", "dst"]].concat());
    }
}

/// Gives all symbolic links, which nobody has dated, one time.
fn date_links(root: &Path) {
    for path in common::paths(root) {
        if fs::symlink_metadata(&path).unwrap().is_symlink() {
            let time = TimeSpec::new(1_000_000_000, 0);
            let flags = UtimensatFlags::NoFollowSymlink;
            utimensat(AT_FDCWD, &path, &time, &time, flags).unwrap();
        }
    }
}

/// rsync reads those of the link.
#[test]
fn rules_for_attributes_say_which_take_part() {
    if !supported(&Scratch::new()) {
        return;
    }
    for rules in [
        &["-f-x user.a"][..],
        &["-f-x! user.*"],
        &["-f-xr *"],
        &["-f-xs user.*"],
        &["-f+x user.a", "-f-x *", "-f- gone"],
        &["-f-x user.a", "-f!"],
        &["-f-x *.more", "-f-x trusted.*", "--delete"],
        &["-f-x system.*", "-XX"],
    ] {
        let arguments = [&["-aiX"], rules, &["src/", "dst"]].concat();
        does_as_rsync(prepare, &arguments);
    }
    let scratch = Scratch::new();
    scratch.write("src/.rules", "-x user.a\n");
    let arguments = ["-aX", "-f: .rules", "src/", "dst"];
    let run = flexsync(scratch.path(), "direct", &arguments).expect(23);
    assert!(
        run.stderr.contains("extended attributes (x)"),
        "{}",
        run.stderr
    );
}

#[test]
fn where_links_are_followed_the_attributes_are_those_of_what_they_point_to() {
    let scratch = Scratch::new();
    if !supported(&scratch) {
        return;
    }
    let file = scratch.write("src/file", "contents");
    scratch.write("src/dir/inner", "contents");
    set(&file, "user.a", b"of the file");
    set(&scratch.join("src/dir"), "user.a", b"of the directory");
    symlink("file", scratch.join("src/link")).unwrap();
    symlink("dir", scratch.join("src/other")).unwrap();
    set(&scratch.join("src/link"), "trusted.a", b"of the link");
    flexsync(scratch.path(), "direct", &["-aXL", "src/", "dst"]).expect(0);
    for (to, of) in [("link", "file"), ("other", "dir")] {
        let made = xattr::read(&scratch.join("dst").join(to));
        assert_eq!(made, xattr::read(&scratch.join("src").join(of)), "{to}");
    }
}

#[test]
fn random_trees_become_what_they_become_for_rsync() {
    if !supported(&Scratch::new()) {
        return;
    }
    for seed in 0..12 {
        let backend = BACKENDS[seed % BACKENDS.len()];
        let prepare = |scratch: &Scratch| {
            let mut random = Random::new(seed as u64 + 7000);
            let (src, dst) = (scratch.join("src"), scratch.join("dst"));
            grow(&src, &mut random, 40);
            xattr::change(&src, &mut random);
            copy(&src, &dst);
            change(&dst, &mut random);
            xattr::change(&src, &mut random);
            xattr::change(&dst, &mut random);
            common::whole_seconds(&src);
            common::whole_seconds(&dst);
            date_links(&src);
            date_links(&dst);
        };
        let options = [
            &["-aiX", "--delete"][..],
            &["-aiXX", "--delete"],
            &["-rlpiX", "--no-W", "--delete"],
            &["-aiXc", "--delete"],
        ][seed % 4];
        does_as_rsync_on(backend, prepare, &[options, &["src/", "dst"]].concat());
    }
}

/// Capabilities are lost by a change of owner and by writing.
#[test]
fn capabilities_survive_what_takes_them_away() {
    const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    if !common::is_root() || !supported(&Scratch::new()) {
        println!("SKIP: only root can give capabilities to files");
        return;
    }
    let prepare = |scratch: &Scratch| {
        for (root, owner) in [("src", 1), ("dst", 2)] {
            for name in ["same", "longer", "mode"] {
                let path = scratch.write(&format!("{root}/{name}"), "contents");
                chown(&path, Some(owner), Some(owner)).unwrap();
                set(&path, "security.capability", &CAPABILITY);
            }
        }
        let longer = scratch.write("src/longer", "longer contents");
        set(&longer, "security.capability", &CAPABILITY);
        let mode = Permissions::from_mode(0o711);
        fs::set_permissions(scratch.join("src/mode"), mode).unwrap();
        common::date(scratch.path(), 1_000_000_000);
    };
    for options in [
        &["-aiX"][..],
        &["-aiX", "--inplace"],
        &["-aiX", "--inplace", "--no-W"],
    ] {
        does_as_rsync(prepare, &[options, &["src/", "dst"]].concat());
    }
    // Nothing is written, so that only the change of owner takes them away.
    let scratch = Scratch::new();
    prepare(&scratch);
    let arguments = ["-aXI", "--inplace", "--no-W", "src/", "dst"];
    flexsync(scratch.path(), "direct", &arguments).expect(0);
    for name in ["same", "longer", "mode"] {
        let xattrs = xattr::read(&scratch.join("dst").join(name));
        assert_eq!(
            xattrs.get("security.capability").map(Vec::len),
            Some(CAPABILITY.len()),
            "{name}"
        );
    }
}

fn give(path: &Path) {
    for path in common::paths(path).into_iter().chain([path.to_owned()]) {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

#[test]
fn others_than_the_superuser_keep_attributes_of_users_also_of_files_they_may_not_write() {
    if !common::is_root() || !supported(&Scratch::new()) {
        return;
    }
    let scratch = Scratch::new();
    for name in ["new", "there"] {
        let path = scratch.write(&format!("src/{name}"), "contents");
        fs::set_permissions(path, Permissions::from_mode(0o444)).unwrap();
    }
    copy(&scratch.join("src/there"), &scratch.join("dst"));
    fs::remove_file(scratch.join("dst")).unwrap();
    fs::create_dir(scratch.join("dst")).unwrap();
    copy(&scratch.join("src/there"), &scratch.join("dst/there"));
    for name in ["src/new", "src/there"] {
        set(&scratch.join(name), "user.a", b"1");
        set(&scratch.join(name), "trusted.a", b"2");
        set(&scratch.join(name), "security.a", b"3");
    }
    set(&scratch.join("dst/there"), "user.b", b"4");
    set(&scratch.join("dst/there"), "security.b", b"5");
    give(&scratch.join("dst"));
    for arguments in [["-rptX", "src/", "dst"], ["-rtX", "src/", "dst"]] {
        let run = as_nobody(&scratch, &arguments).unwrap();
        assert_eq!((run.status, &run.stderr[..]), (0, ""));
        for (name, security) in [("new", None), ("there", Some(&b"5"[..]))] {
            let path = scratch.join("dst").join(name);
            let xattrs = xattr::read(&path);
            assert_eq!(
                xattrs.get("user.a").map(Vec::as_slice),
                Some(&b"1"[..]),
                "{name}"
            );
            assert_eq!(
                xattrs.get("security.b").map(Vec::as_slice),
                security,
                "{name}"
            );
            assert_eq!(xattrs.len(), 1 + usize::from(security.is_some()), "{name}");
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o444, "{name}");
        }
        fs::remove_file(scratch.join("dst/new")).unwrap();
        set(&scratch.join("dst/there"), "user.b", b"4");
    }
}

#[test]
fn an_attribute_that_cannot_be_kept_is_reported_and_the_file_is_copied() {
    let scratch = Scratch::new();
    if !supported(&scratch) {
        return;
    }
    let file = scratch.write("src/file", "contents");
    set(&file, "user.a", b"1");
    fs::create_dir(scratch.join("dst")).unwrap();
    // ramfs has no attributes of users.
    let mount = ["-t", "ramfs", "flexsync-test"];
    let mut mounted = std::process::Command::new("mount");
    let mounted = mounted.args(mount).arg(scratch.join("dst")).status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("SKIP: nothing can be mounted here");
        return;
    }
    let arguments = ["-aX", "src/", "dst"];
    let runs = (
        flexsync(scratch.path(), "direct", &arguments),
        rsync(scratch.path(), &arguments),
    );
    let contents = fs::read(scratch.join("dst/file"));
    let _ = std::process::Command::new("umount")
        .arg("-l")
        .arg(scratch.join("dst"))
        .status();
    let run = runs.0.expect(23);
    let said = "cannot set the extended attributes of";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    assert_eq!(contents.unwrap(), b"contents");
    if let Some(theirs) = runs.1 {
        assert_eq!(theirs.status, 23);
    }
}
