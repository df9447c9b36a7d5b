// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--super` and `--no-super`: who may do what is only tried, or not even that, as by rsync.

mod common;

use common::child::{NOBODY, as_nobody};
use common::xattr::set;
use common::{Scratch, does_as_rsync, make_special};
use nix::sys::stat::{SFlag, makedev};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

/// What only the superuser may make.
fn prepare(scratch: &Scratch) {
    for (name, owner) in [("file", 1), ("other", 3000)] {
        let path = scratch.write(&format!("src/{name}"), "contents");
        chown(&path, Some(owner), Some(owner)).unwrap();
        for attribute in ["user.a", "trusted.a", "security.a"] {
            set(&path, attribute, b"1");
        }
    }
    make_special(&scratch.join("src/pipe"), SFlag::S_IFIFO, 0o644, 0);
    let device = scratch.join("src/device");
    make_special(&device, SFlag::S_IFCHR, 0o644, makedev(1, 3));
    common::date(&scratch.join("src"), 1_000_000_000);
    common::copy(&scratch.join("src"), &scratch.join("there"));
    chown(scratch.join("there/file"), Some(2), Some(2)).unwrap();
    common::date(&scratch.join("there"), 1_000_000_000);
}

#[test]
fn the_superuser_may_do_as_others_do() {
    if !common::is_root() {
        println!("SKIP: only root can do as others do");
        return;
    }
    for options in [
        &["-aiX", "--no-super"][..],
        &["-aiX", "--super"],
        &["-aiX", "--super", "--no-super"],
        &["-aiX", "--no-super", "--super"],
        &["-ai", "--no-super", "--chown=1:5"],
        &["-aib", "--no-super", "--inplace", "-I"],
    ] {
        for to in ["new", "there"] {
            does_as_rsync(prepare, &[options, &["src/", to]].concat());
        }
    }
}

#[test]
fn others_fail_at_what_they_try_and_keep_the_files() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    fs::create_dir(scratch.join("dst")).unwrap();
    if !common::is_root() {
        println!("SKIP: only root can run the command as somebody else");
        return;
    }
    chown(scratch.join("dst"), Some(NOBODY), Some(NOBODY)).unwrap();
    let run = as_nobody(&scratch, &["-rto", "--super", "src/", "dst"]).unwrap();
    let run = run.expect(23);
    let said = "cannot set the owner of";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    assert_eq!(fs::read(scratch.join("dst/file")).unwrap(), b"contents");
    let run = as_nobody(&scratch, &["-rto", "--super", "--no-super", "src/", "dst"]);
    run.unwrap().expect(0);
    assert_eq!(
        fs::metadata(scratch.join("dst/file")).unwrap().uid(),
        NOBODY
    );
}

/// rsync sets nothing else then.
#[test]
fn who_cannot_be_made_the_owner_is_acted_for_by_nobody() {
    if !common::is_root() {
        println!("SKIP: only root can run the command as somebody else");
        return;
    }
    let scratch = Scratch::new();
    fs::create_dir(scratch.join("dst")).unwrap();
    chown(scratch.join("dst"), Some(NOBODY), Some(NOBODY)).unwrap();
    for (name, mode) in [("user", 0o4755), ("group", 0o2755), ("dir", 0o2755)] {
        let path = scratch.join("src").join(name);
        match name {
            "dir" => fs::create_dir(path).unwrap(),
            _ => drop(scratch.write(&format!("src/{name}"), "contents")),
        }
        let path = scratch.join("src").join(name);
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    common::date(&scratch.join("src"), 1_000_000_000);
    let Some(run) = as_nobody(&scratch, &["-a", "--super", "src/", "dst"]) else {
        return;
    };
    let run = run.expect(23);
    assert!(run.stderr.contains("owner"), "{}", run.stderr);
    for name in ["user", "group", "dir"] {
        let made = fs::metadata(scratch.join("dst").join(name)).unwrap();
        assert_eq!(
            (made.uid(), made.mode() & 0o7777),
            (NOBODY, 0o755),
            "{name}"
        );
        assert_eq!(made.mtime(), 1_000_000_000, "{name}");
    }
}
