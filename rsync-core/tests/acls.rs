// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--acls`: the same access control lists and the same lines as rsync's.

mod common;

use common::acl::{self, set, set_default, supported, value};
use common::child::{NOBODY, as_nobody};
use common::mount::{mount, mount_plain, unmount};
use common::{
    BACKENDS, Random, Scratch, change, copy, does_as_rsync, does_as_rsync_on, flexsync,
    flexsync_under, grow, make_special, rsync,
};
use nix::sys::stat::SFlag;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

/// Access control lists that differ in one thing or another, mode bits among them.
const LISTS: [&str; 13] = [
    "u:6,g:4,o:4",
    "u:6,g:6,o:4",
    "u:6,g:4,m:4,o:4",
    "u:6,g:4,m:6,o:4",
    "u:6,g:6,m:4,o:4",
    "u:6,U:1:4,g:4,m:4,o:4",
    "u:6,U:1:4,g:4,m:6,o:4",
    "u:6,U:1:4,g:6,m:6,o:4",
    "u:7,U:1:4,g:4,m:4,o:4",
    "u:6,U:1:4,g:4,m:4,o:0",
    "u:6,U:1:6,g:4,m:4,o:4",
    "u:6,g:4,G:1:4,m:4,o:4",
    "u:6,U:1:0,g:4,G:1:4,m:5,o:4",
];

/// Default ones, the first of which is none.
const DEFAULTS: [&str; 5] = [
    "",
    "u:7,g:5,o:5",
    "u:7,U:1:7,g:5,m:7,o:5",
    "u:7,U:1:7,g:5,m:5,o:5",
    "u:7,g:7,m:5,o:0",
];

/// Files and directories with each of the lists where the destination has each, and none, and those of others kinds.
fn prepare(scratch: &Scratch) {
    for (i, want) in LISTS.iter().enumerate() {
        for (j, found) in LISTS.iter().enumerate() {
            set(&scratch.write(&format!("src/{i} {j}"), "same"), want);
            set(&scratch.write(&format!("dst/{i} {j}"), "same"), found);
        }
        set(&scratch.write(&format!("src/new {i}"), "new"), want);
        set(&scratch.write(&format!("src/now {i}"), "contents"), want);
        set(&scratch.write(&format!("dst/now {i}"), "old"), LISTS[5]);
        fs::create_dir_all(scratch.join(format!("src/dir/new {i}"))).unwrap();
        for tree in ["src", "dst"] {
            fs::create_dir_all(scratch.join(format!("{tree}/dir/{i}"))).unwrap();
        }
        set(&scratch.join(format!("src/dir/{i}")), want);
        set(&scratch.join(format!("src/dir/new {i}")), want);
    }
    for (i, want) in DEFAULTS.iter().enumerate() {
        for (j, found) in DEFAULTS.iter().enumerate() {
            for (tree, text) in [("src", want), ("dst", found)] {
                let dir = scratch.join(format!("{tree}/default/{i} {j}"));
                fs::create_dir_all(&dir).unwrap();
                if !text.is_empty() {
                    set_default(&dir, text);
                }
            }
            for (name, mode) in [("file", 0o640), ("other", 0o666)] {
                let file = scratch.write(&format!("src/default/{i} {j}/{name}"), "new");
                fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
            }
            fs::create_dir(scratch.join(format!("src/default/{i} {j}/new"))).unwrap();
        }
    }
    for (name, kind) in [("pipe", SFlag::S_IFIFO), ("socket", SFlag::S_IFSOCK)] {
        for (i, list) in LISTS.iter().enumerate() {
            let path = scratch.join(format!("src/{name} {i}"));
            make_special(&path, kind, 0o644, 0);
            set(&path, list);
            if i > 7 {
                let path = scratch.join(format!("dst/{name} {i}"));
                make_special(&path, kind, 0o600, 0);
            }
        }
    }
    symlink("0 0", scratch.join("src/link")).unwrap();
    common::date(scratch.path(), 1_000_000_000);
}

#[test]
fn lists_are_kept_as_rsync_keeps_them() {
    if !supported() {
        return;
    }
    for options in [
        &["-aiA"][..],
        &["-aiiA"],
        &["-aiAn"],
        &["-ai"],
        &["-ai", "--no-acls", "-A"],
        &["-ri", "--no-p", "--acls"],
        &["-aiA", "--no-W"],
        &["-aiA", "--inplace"],
        &["-aiA", "--inplace", "--no-W"],
        &["-aiA", "-b"],
        &["-aiA", "--delay-updates"],
        &["-aiAc"],
        &["-aiAm", "--delete"],
        &["-aiA", "--chmod=g-w"],
        &["-aiA", "--chmod=g="],
        &["-aiA", "--chmod=Fg+x,Do-rx", "-n"],
        &["-aiAX"],
    ] {
        let backend = BACKENDS[options.len() % BACKENDS.len()];
        does_as_rsync_on(backend, prepare, &[options, &["src/", "dst"]].concat());
    }
    does_as_rsync(prepare, &["-aiA", "src/", "new"]);
    does_as_rsync(prepare, &["-iA", "src/5 5", "src/new 5", "dst"]);
    does_as_rsync(prepare, &["-iA", "src/5 0", "dst/called otherwise"]);
    does_as_rsync(prepare, &["-aiAR", "src/./default/2 2/new", "dst"]);
}

#[test]
fn other_trees_are_compared_by_their_lists_too() {
    if !supported() {
        return;
    }
    let prepare = |scratch: &Scratch| {
        prepare(scratch);
        // Neither is looked for elsewhere.
        for tree in ["src", "dst"] {
            for (i, _) in LISTS.iter().enumerate() {
                for name in ["pipe", "socket"] {
                    let _ = fs::remove_file(scratch.join(format!("{tree}/{name} {i}")));
                }
            }
            common::date(&scratch.join(tree), 1_000_000_000);
        }
    };
    for option in [
        "--link-dest=../dst",
        "--copy-dest=../dst",
        "--compare-dest=../dst",
    ] {
        for (form, backend) in ["-aiA", "-aA"].into_iter().zip(BACKENDS.iter().rev()) {
            does_as_rsync_on(backend, prepare, &[form, option, "src/", "new"]);
        }
    }
}

#[test]
fn names_of_one_file_have_one_list() {
    if !supported() {
        return;
    }
    let prepare = |scratch: &Scratch| {
        for tree in ["src", "dst"] {
            scratch.write(&format!("{tree}/a"), "contents");
            fs::hard_link(
                scratch.join(format!("{tree}/a")),
                scratch.join(format!("{tree}/b")),
            )
            .unwrap();
        }
        set(&scratch.join("src/a"), LISTS[5]);
        common::date(scratch.path(), 1_000_000_000);
    };
    for options in ["-aiAH", "-aiAHn"] {
        does_as_rsync(prepare, &[options, "src/", "dst"]);
    }
}

#[test]
fn a_file_gets_the_rights_of_the_source_whatever_its_directory_and_the_umask_would_give() {
    if !supported() {
        return;
    }
    for umask in ["000", "027", "077"] {
        let scratch = Scratch::new();
        for (i, list) in LISTS.iter().enumerate() {
            // More than one, since the first tells what the others are made with.
            for turn in 0..3 {
                set(&scratch.write(&format!("src/{i} {turn}"), "contents"), list);
            }
        }
        fs::create_dir(scratch.join("dst")).unwrap();
        set_default(&scratch.join("dst"), "u:7,U:1:7,g:7,m:7,o:7");
        flexsync_under(scratch.path(), umask, "-aA --existing src/ dst").expect(0);
        set_default(&scratch.join("dst"), "u:7,U:1:7,g:7,m:7,o:7");
        flexsync_under(scratch.path(), umask, "-aA src/ dst").expect(0);
        for (i, _) in LISTS.iter().enumerate() {
            for turn in 0..3 {
                let [from, to] =
                    ["src", "dst"].map(|tree| scratch.join(tree).join(format!("{i} {turn}")));
                assert_eq!(acl::access(&from), acl::access(&to), "{umask} {i}");
                let mode = |path| fs::metadata(path).unwrap().mode();
                assert_eq!(mode(&from), mode(&to), "{umask} {i}");
            }
        }
    }
}

/// rsync forgets to sort them, so that they differ in each run.
#[test]
fn users_and_groups_in_lists_are_mapped_as_owners_are() {
    if !supported() || !common::is_root() {
        return;
    }
    let prepare = |scratch: &Scratch| {
        let list = "u:6,U:0:1,U:1:4,U:2:5,U:5001:6,g:4,G:1:2,G:5001:1,m:4,o:4";
        set(&scratch.write("src/file", "contents"), list);
        fs::create_dir(scratch.join("src/dir")).unwrap();
        set_default(&scratch.join("src/dir"), list);
        fs::create_dir(scratch.join("dst")).unwrap();
        common::date(scratch.path(), 1_000_000_000);
    };
    for map in [
        &["--numeric-ids"][..],
        &["--usermap=1:7,5001:8,0:9", "--groupmap=1:7"],
        &["--usermap=*:7"],
        &["--chown=9:9"],
        &["--no-o", "--no-g", "--usermap=1:7"],
        &["--usermap=daemon:7", "--numeric-ids"],
        &["--usermap=daemon:7"],
        &["--usermap=:7", "--groupmap=:9"],
    ] {
        does_as_rsync(prepare, &[&["-aiA"], map, &["src/", "dst"]].concat());
        let scratch = Scratch::new();
        prepare(&scratch);
        let arguments = [&["-aiA"], map, &["src/", "dst"]].concat();
        flexsync(scratch.path(), "direct", &arguments).expect(0);
        let again = flexsync(scratch.path(), "direct", &arguments).expect(0);
        assert_eq!(again.stdout, "", "{map:?}");
    }
}

#[test]
fn random_trees_become_what_they_become_for_rsync() {
    if !supported() {
        return;
    }
    for seed in 0..16 {
        let backend = BACKENDS[seed % BACKENDS.len()];
        let prepare = |scratch: &Scratch| {
            let mut random = Random::new(seed as u64 + 9000);
            let (src, dst) = (scratch.join("src"), scratch.join("dst"));
            grow(&src, &mut random, 40);
            acl::change(&src, &mut random);
            copy(&src, &dst);
            change(&dst, &mut random);
            acl::change(&src, &mut random);
            acl::change(&dst, &mut random);
            acl::without_set_id(&dst);
            common::whole_seconds(&src);
            common::whole_seconds(&dst);
        };
        let options = [
            &["-aiA", "--delete"][..],
            &["-aiAX", "--delete"],
            &["-rliA", "--no-W", "--delete", "--chmod=g-w"],
            &["-aiAcn", "--delete"],
        ][seed % 4];
        does_as_rsync_on(backend, prepare, &[options, &["src/", "dst"]].concat());
    }
}

#[test]
fn where_there_are_no_lists_the_group_gets_what_the_list_gave_it() {
    let scratch = Scratch::new();
    if !supported() {
        return;
    }
    set(
        &scratch.write("src/file", "contents"),
        "u:6,U:1:6,g:0,m:6,o:0",
    );
    set(&scratch.write("src/plain", "contents"), "u:6,g:6,o:4");
    fs::create_dir_all(scratch.join("src/dir/inner")).unwrap();
    set_default(&scratch.join("src/dir/inner"), "u:7,U:1:7,g:5,m:7,o:5");
    set(&scratch.join("src/dir"), "u:7,U:1:7,g:1,m:7,o:0");
    fs::create_dir(scratch.join("dst")).unwrap();
    if !mount_plain(&scratch.join("dst")) {
        return;
    }
    let arguments = ["-aA", "src/", "dst"];
    let sync = || flexsync(scratch.path(), "direct", &arguments);
    let runs = [sync(), sync()];
    let mode = |name: &str| fs::metadata(scratch.join("dst").join(name)).unwrap().mode() & 0o7777;
    let modes = ["file", "plain", "dir"].map(mode);
    // It gives the group what the mask says, and that is taken away again.
    let theirs = rsync(scratch.path(), &arguments);
    let last = sync();
    assert_eq!(modes, ["file", "plain", "dir"].map(mode));
    unmount(&scratch.join("dst"));
    for run in runs.into_iter().chain([last]) {
        let run = run.expect(23);
        for name in ["file", "dir", "dir/inner"] {
            let line = format!("cannot set the ACLs of \"dst/{name}\": ");
            assert!(run.stderr.contains(&line), "{}", run.stderr);
        }
        assert!(run.stderr.contains("--no-acls"), "{}", run.stderr);
        assert!(!run.stderr.contains("plain"), "{}", run.stderr);
    }
    assert_eq!(modes, [0o600, 0o664, 0o710]);
    if let Some(theirs) = theirs {
        assert_eq!(theirs.status, 23);
    }
}

#[test]
fn a_source_without_lists_is_one_that_has_none() {
    let scratch = Scratch::new();
    if !supported() {
        return;
    }
    fs::create_dir(scratch.join("src")).unwrap();
    set(&scratch.write("dst/file", "contents"), LISTS[5]);
    if !mount_plain(&scratch.join("src")) {
        return;
    }
    scratch.write("src/file", "contents");
    let run = flexsync(
        scratch.path(),
        "direct",
        &["-riA", "--size-only", "src/", "dst"],
    );
    unmount(&scratch.join("src"));
    assert_eq!(run.expect(0).stdout, ".f.......a. file\n");
    assert_eq!(acl::access(&scratch.join("dst/file")), None);
}

#[test]
fn a_part_of_a_file_that_is_kept_gives_the_group_what_the_list_gives_it() {
    let scratch = Scratch::new();
    if !supported() {
        return;
    }
    let file = scratch.write("src/file", vec![b'x'; 2 << 20]);
    set(&file, "u:6,U:1:6,g:0,m:6,o:0");
    fs::create_dir(scratch.join("dst")).unwrap();
    if !mount("tmpfs", "size=1m", &scratch.join("dst")) {
        return;
    }
    let arguments = ["-aA", "--partial", "src/", "dst"];
    let run = flexsync(scratch.path(), "direct", &arguments);
    let kept = fs::metadata(scratch.join("dst/file"));
    unmount(&scratch.join("dst"));
    assert_ne!(run.status, 0);
    let kept = kept.unwrap();
    assert!(kept.len() > 0);
    assert_eq!(kept.mode() & 0o7777, 0o600);
}

#[test]
fn a_list_that_may_not_be_set_is_reported_and_the_others_are() {
    if !common::is_root() || !supported() {
        return;
    }
    let scratch = Scratch::new();
    for name in ["theirs", "ours", "new"] {
        set(
            &scratch.write(&format!("src/{name}"), "contents"),
            "u:6,U:1:6,g:0,m:6,o:4",
        );
    }
    for name in ["theirs", "ours"] {
        scratch.write(&format!("dst/{name}"), "contents");
    }
    for name in ["dst", "dst/ours"] {
        chown(scratch.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    common::date(&scratch.join("src"), 1_000_000_000);
    common::date(&scratch.join("dst"), 1_000_000_000);
    let run = as_nobody(&scratch, &["-rtA", "src/", "dst"]).unwrap();
    let run = run.expect(23);
    let line = "cannot set the ACLs of \"dst/theirs\": ";
    assert!(run.stderr.contains(line), "{}", run.stderr);
    assert!(!run.stderr.contains("ours"), "{}", run.stderr);
    assert_eq!(acl::access(&scratch.join("dst/theirs")), None);
    for name in ["ours", "new"] {
        let list = acl::access(&scratch.join("dst").join(name));
        assert_eq!(list, Some(value("u:6,U:1:6,g:0,m:6,o:4")), "{name}");
    }
}

#[test]
fn a_directory_is_filled_whatever_its_default_list_keeps_from_its_owner() {
    if !common::is_root() || !supported() {
        return;
    }
    for bits in ["u:5,g:7,o:7", "u:3,g:7,o:7", "u:0,g:7,o:7"] {
        let scratch = Scratch::new();
        scratch.write("src/dir/file", "contents");
        scratch.write("src/narrow/dir/file", "contents");
        let narrow = Permissions::from_mode(0o577);
        fs::set_permissions(scratch.join("src/narrow"), narrow).unwrap();
        fs::create_dir(scratch.join("dst")).unwrap();
        chown(scratch.join("dst"), Some(NOBODY), Some(NOBODY)).unwrap();
        set_default(&scratch.join("dst"), bits);
        as_nobody(&scratch, &["-r", "src/", "dst"])
            .unwrap()
            .expect(0);
        for (name, and) in [("dir", 0o755), ("narrow", 0o577), ("narrow/dir", 0o755)] {
            let path = scratch.join("dst").join(name);
            let mode = fs::metadata(&path).unwrap().mode() & 0o777;
            let owners = u32::from(bits.as_bytes()[2] - b'0') << 6 | 0o077;
            assert_eq!(
                format!("{mode:o}"),
                format!("{:o}", owners & and),
                "{bits} {name}"
            );
            if name != "narrow" {
                assert!(path.join("file").exists(), "{bits} {name}");
            }
        }
    }
}

#[test]
fn backups_keep_their_lists() {
    if !supported() {
        return;
    }
    let prepare = |scratch: &Scratch| {
        scratch.write("src/dir/file", "new contents");
        let old = scratch.write("dst/dir/file", "old");
        set(&old, "u:6,U:1:6,g:0,m:6,o:4");
        set(&scratch.join("dst/dir"), "u:7,U:1:7,g:0,m:7,o:5");
        set_default(&scratch.join("dst/dir"), "u:7,U:2:7,g:0,m:7,o:5");
    };
    does_as_rsync(prepare, &["-rAb", "src/", "dst"]);
    // rsync's copies have none, nor have its directories for backups, and the group may do what the mask says.
    for (options, file) in [
        (&["--inplace"][..], "dir/file~"),
        (&["--backup-dir=old"], "old/dir/file"),
        (&["--backup-dir=old", "--inplace"], "old/dir/file"),
    ] {
        let scratch = Scratch::new();
        prepare(&scratch);
        let [file, old] = [file, "dir/file"].map(|name| scratch.join("dst").join(name));
        let list = |path: &Path| [path, path.parent().unwrap()].map(common::xattr::read);
        let before = list(&old);
        let arguments = [&["-rAb", "--usermap=1:7"], options, &["src/", "dst"]].concat();
        flexsync(scratch.path(), "direct", &arguments).expect(0);
        let [kept, dir] = list(&file);
        assert_eq!(kept, before[0], "{options:?}");
        if file.parent() != old.parent() {
            assert_eq!(dir, before[1], "{options:?}");
        }
    }
}

#[test]
fn programs_and_users_are_told_that_attributes_differ() {
    if !supported() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.write("src/file", "contents");
    set(&file, LISTS[5]);
    common::xattr::set(&file, "user.a", b"1");
    scratch.write("dst/file", "contents");
    common::date(scratch.path(), 1_000_000_000);
    let arguments = |more| ["-aAXn", more, "src/", "dst"];
    let run = flexsync(scratch.path(), "direct", &arguments("--json")).expect(0);
    let said = r#""differences":["acl","xattrs"]"#;
    assert!(run.stdout.contains(said), "{}", run.stdout);
    let run = flexsync(scratch.path(), "direct", &arguments("--explain=file")).expect(0);
    let said = "its ACL differs, its extended attributes differ";
    assert!(run.stdout.contains(said), "{}", run.stdout);
}

#[test]
fn lists_without_permissions_are_refused() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    let run = flexsync(scratch.path(), "direct", &["-rA", "--no-p", "src/", "dst"]);
    let said = run.expect(1).stderr;
    assert!(
        said.contains("--acls") && said.contains("--no-perms"),
        "{said}"
    );
    assert!(!scratch.join("dst").exists());
}

/// Nobody can use it; what a run leaves is as rsync leaves it.
#[test]
fn a_holding_directory_inherits_the_set_group_id_bit_that_its_directory_is_to_have() {
    if !common::is_root() || !supported() {
        return;
    }
    for options in ["-rp", "-rpg"] {
        let scratch = Scratch::new();
        scratch.write("src/dir/file", "contents");
        for path in ["src", "src/dir", "dst"] {
            let path = scratch.join(path);
            fs::create_dir_all(&path).unwrap();
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let bit = Permissions::from_mode(0o2755);
        fs::set_permissions(scratch.join("src/dir"), bit).unwrap();
        set_default(&scratch.join("dst"), "u:6,g:5,o:5");
        let arguments = [options, "--delay-updates", "src/", "dst"];
        as_nobody(&scratch, &arguments).unwrap().expect(23);
        let held = fs::metadata(scratch.join("dst/dir/.~tmp~")).unwrap();
        assert_eq!(format!("{:o}", held.mode()), "42600", "{options}");
    }
}
