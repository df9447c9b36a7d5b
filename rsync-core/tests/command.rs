// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the command does with its arguments, and what it refuses.

mod common;

use common::{
    BACKENDS, Run, Scratch, Times, assert_same, flexsync, flexsync_under, rsync, snapshot,
};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
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

/// Both programs do the same to copies of `dst`, which may be missing.
fn does_as_rsync(prepare: impl Fn(&Scratch), arguments: &[&str]) {
    let (mine, theirs) = (Scratch::new(), Scratch::new());
    prepare(&mine);
    prepare(&theirs);
    let Some(their_run) = rsync(theirs.path(), arguments) else {
        return;
    };
    let my_run = sync(&mine, arguments);
    let what = format!("{arguments:?}\n{}\n{}", my_run.stderr, their_run.stderr);
    assert_eq!(my_run.status, their_run.status, "{what}");
    assert_same(
        &snapshot(mine.path(), Times::Ignore),
        &snapshot(theirs.path(), Times::Ignore),
        &what,
    );
}

fn two_trees(scratch: &Scratch) {
    scratch.write("a/x", "x of a");
    scratch.write("a/both", "both of a");
    scratch.write("a/dir/one", "1");
    scratch.write("b/both", "both of b");
    scratch.write("b/y", "y of b");
    scratch.write("b/dir/two", "2");
    scratch.write("b/x/now-a-directory", "z");
    scratch.write("single", "single file");
    symlink("b", scratch.join("link-to-b")).unwrap();
}

#[test]
fn every_form_of_source_and_destination_means_what_it_means_to_rsync() {
    let with_destination = |scratch: &Scratch| {
        two_trees(scratch);
        scratch.write("dst/old", "old");
        scratch.write("dst/a/old", "old");
        scratch.write("dst/both", "other");
    };
    let forms: [&[&str]; 22] = [
        &["-a", "a", "dst"],
        &["-a", "a/", "dst"],
        &["-a", "a/.", "dst/"],
        &["-a", "./a", "./dst/"],
        &["-a", "a//", "dst"],
        &["-a", "a", "b", "dst"],
        &["-a", "a/", "b/", "dst"],
        &["-a", "b/", "a/", "dst"],
        &["-a", "a/", "b", "single", "dst"],
        &["-a", "link-to-b", "dst"],
        &["-a", "link-to-b/", "dst"],
        &["-a", "single", "dst"],
        &["-a", "single", "new-name"],
        &["-a", "single", "new-directory/"],
        &["-a", "single", "a/both"],
        &["-a", "a/x", "b/y", "dst"],
        &["-a", "a/x", "a/both", "single"],
        &["-a", "a/", "single"],
        &["-a", "a", "missing/dst"],
        &["-a", "single", "missing/dst"],
        &["-a", "nowhere", "a", "dst"],
        &["a", "single", "dst"],
    ];
    for arguments in forms {
        does_as_rsync(two_trees, arguments);
        does_as_rsync(with_destination, arguments);
    }
}

#[test]
fn deletion_means_what_it_means_to_rsync() {
    let prepare = |scratch: &Scratch| {
        two_trees(scratch);
        scratch.write("dst/old", "old");
        scratch.write("dst/old-directory/deep/er/file", "old");
        scratch.write("dst/a/old", "old");
        scratch.write("dst/a/dir/old", "old");
        scratch.write("dst/a/x/is-in-the-way", "old");
        symlink("nowhere", scratch.join("dst/a/link")).unwrap();
        scratch.write("dst/b/x", "a file where a directory goes");
    };
    let forms: [&[&str]; 8] = [
        &["-a", "--delete", "a", "dst"],
        &["-a", "--delete", "a/", "dst"],
        &["-a", "--delete", "a", "b", "dst"],
        &["-a", "--delete", "a/", "b/", "dst"],
        &["-a", "--delete", "single", "dst"],
        &["-a", "--delete", "a", "nowhere", "dst"],
        &["-a", "a", "b", "dst"],
        &["-an", "--delete", "a/", "dst"],
    ];
    for arguments in forms {
        does_as_rsync(prepare, arguments);
    }
}

#[test]
fn a_dry_run_changes_nothing_and_names_what_would_change() {
    let scratch = tree();
    scratch.write("dst/extra/file", "to be deleted");
    scratch.write("dst/file/in-the-way", "of a file");
    let before = snapshot(scratch.path(), Times::Compare);
    let dry = sync(&scratch, &["-avn", "--delete", "src/", "dst"]).expect(0);
    assert_same(
        &before,
        &snapshot(scratch.path(), Times::Compare),
        "after a dry run",
    );
    let names = |run: &Run| {
        let mut lines: Vec<_> = run.stdout.lines().map(str::to_owned).collect();
        lines.retain(|line| !line.starts_with("sent ") && !line.starts_with("total size"));
        lines.sort();
        lines
    };
    let real = sync(&scratch, &["-av", "--delete", "src/", "dst"]).expect(0);
    assert_eq!(names(&dry), names(&real));
    assert!(
        names(&dry).contains(&"deleting extra/file".to_owned()),
        "{}",
        dry.stdout
    );
    assert!(dry.stdout.contains("(DRY RUN)"));

    sync(&scratch, &["-avn", "src", "new"]).expect(0);
    assert!(!scratch.join("new").exists());
}

#[test]
fn names_that_look_like_something_else_are_only_names() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        let names: [&[u8]; 8] = [
            b"-rf",
            b"a\nb",
            b" lead",
            b"\xff\xfe",
            b"a:b",
            b"$(id)",
            b"..x",
            &[b'n'; 255],
        ];
        fs::create_dir(scratch.join("src")).unwrap();
        for name in names {
            fs::write(
                scratch.join("src").join(OsString::from_vec(name.to_vec())),
                name,
            )
            .unwrap();
        }
        let run = flexsync(scratch.path(), backend, &["-av", "src/", "./dst"]).expect(0);
        assert_same(
            &snapshot(&scratch.join("src"), Times::Compare),
            &snapshot(&scratch.join("dst"), Times::Compare),
            backend,
        );
        assert!(
            run.stdout.contains("a\\#012b\n") && run.stdout.contains("\n\\#377\\#376\n"),
            "{}",
            run.stdout
        );
    }
}

#[test]
fn names_with_a_host_are_refused() {
    let scratch = tree();
    for remote in [
        "host:path",
        "user@host:",
        "host::module",
        "rsync://host/module",
        ":x",
    ] {
        for arguments in [["-a", remote, "dst"], ["-a", "src", remote]] {
            let run = sync(&scratch, &arguments).expect(4);
            assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
            assert!(run.stderr.contains(remote), "{}", run.stderr);
        }
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    scratch.write("with:colon/file", "x");
    sync(&scratch, &["-a", "./with:colon", "./to:here"]).expect(0);
    assert_eq!(
        fs::read(scratch.join("to:here/with:colon/file")).unwrap(),
        b"x"
    );
    let absolute = scratch.join("abs:olute");
    sync(&scratch, &["-a", "src/", absolute.to_str().unwrap()]).expect(0);
    assert!(absolute.join("file").exists());
}

#[test]
fn wrong_usage_is_status_1() {
    let scratch = tree();
    let wrong: [&[&str]; 12] = [
        &[],
        &["-a"],
        &["-a", "--files-from=list", "src"],
        &["-a", "--nonsense", "src", "dst"],
        &["-aB", "0", "src", "dst"],
        &["-a", "-B", "200000", "src", "dst"],
        &["--delete", "src", "dst"],
        &["-a", "", "dst"],
        &["-a", "--max-size=1x", "src", "dst"],
        &["-a", "--min-size=-1", "src", "dst"],
        &["-a", "--max-delete=x", "src", "dst"],
        &["-a", "--modify-window=1.5", "src", "dst"],
    ];
    for arguments in wrong {
        let run = sync(&scratch, arguments).expect(1);
        assert!(!run.stderr.is_empty());
    }
    assert!(!scratch.join("dst").exists());
    assert!(
        sync(&scratch, &["--help"])
            .expect(0)
            .stdout
            .contains("--delete")
    );
    assert!(
        sync(&scratch, &["--version"])
            .expect(0)
            .stdout
            .starts_with("flexsync ")
    );
}

#[test]
fn a_backend_that_is_not_there_is_named() {
    let scratch = tree();
    let run = Command::new(common::FLEXSYNC)
        .current_dir(scratch.path())
        .args(["--backend", "nonsense", "-a", "src", "dst"])
        .output()
        .map(Run::from)
        .unwrap();
    let run = run.expect(1);
    assert!(run.stderr.contains("nonsense"), "{}", run.stderr);
}

#[test]
fn other_kinds_of_files_are_reported_and_skipped() {
    let scratch = tree();
    let _socket = std::os::unix::net::UnixListener::bind(scratch.join("src/socket")).unwrap();
    let status = Command::new("mkfifo")
        .arg(scratch.join("src/fifo"))
        .status()
        .unwrap();
    assert!(status.success());
    let run = sync(&scratch, &["-rt", "src/", "dst"]).expect(0);
    for name in ["socket", "fifo", "link"] {
        assert!(
            run.stdout
                .contains(&format!("skipping non-regular file \"{name}\"\n")),
            "{}",
            run.stdout
        );
        assert!(fs::symlink_metadata(scratch.join("dst").join(name)).is_err());
    }
    assert!(scratch.join("dst/file").exists());
}

#[test]
fn a_tree_is_not_copied_onto_itself() {
    let scratch = tree();
    let before = snapshot(scratch.path(), Times::Compare);
    for arguments in [
        &["-a", "--delete", "src/", "src"][..],
        &["-a", "src/", "src/../src/"],
        &["-a", "--delete", "src/sub/", "src"],
    ] {
        sync(&scratch, arguments).expect(3);
    }
    // An entry that is its own destination is one failure among others.
    sync(&scratch, &["-a", "--delete", "src", "."]).expect(23);
    assert_same(
        &before,
        &snapshot(scratch.path(), Times::Compare),
        "after refusals",
    );
}

/// Sources inside of the destination `dst`, and others.
fn sources_inside() -> Scratch {
    let scratch = Scratch::new();
    for name in [
        "dst/src/src/file",
        "dst/src/old",
        "dst/a/b/file",
        "dst/plain",
        "new/src/file",
        "new/plain/file",
        "file/src",
        "deep/a/b/other",
    ] {
        scratch.write(name, name);
    }
    symlink("dst", scratch.join("link")).unwrap();
    scratch
}

#[test]
fn what_would_delete_a_source_is_refused_before_anything_is_done() {
    let (inside, replaced) = ("--delete would delete it", "goes, which would delete it");
    let cases: [(&[&str], &str); 13] = [
        (&["-a", "--delete", "dst/src/src", "dst"], inside),
        (&["-an", "--delete", "dst/src/src", "dst"], inside),
        (&["-a", "--delete", "dst/src/src/", "dst"], inside),
        (&["-a", "--delete", "link/src/src", "dst/."], inside),
        (&["-a", "--delete", "new/src", "dst/src/src", "dst"], inside),
        (&["-a", "--delete", "new/src", "dst/src/old", "dst"], inside),
        (
            &["-a", "--delete", "file/src", "dst/src/src/", "dst"],
            inside,
        ),
        (&["-a", "--delete", "new/", "dst/a/b", "dst"], inside),
        (&["-a", "--delete", "dst/a", "new/", "dst"], inside),
        (&["-a", "--delete", "new/src", "dst/src", "dst"], replaced),
        (
            &["-a", "--delete", "dst/src", "file/src", "new/src", "dst"],
            replaced,
        ),
        (&["-a", "file/src", "dst/src", "dst"], replaced),
        (&["-a", "new/plain", "dst/plain", "dst"], replaced),
    ];
    let scratch = sources_inside();
    let before = snapshot(scratch.path(), Times::Compare);
    for ((arguments, said), &backend) in cases.iter().zip(BACKENDS.iter().cycle()) {
        let run = flexsync(scratch.path(), backend, arguments).expect(3);
        assert!(run.stderr.contains(said), "{arguments:?}: {}", run.stderr);
        let after = snapshot(scratch.path(), Times::Compare);
        assert_same(&before, &after, &format!("{arguments:?}"));
    }
}

#[test]
fn a_source_inside_of_the_destination_is_copied_if_it_stays() {
    let cases: [(&[&str], &str); 5] = [
        (&["-a", "dst/src/", "dst"], "dst/old"),
        (&["-a", "dst/src/src", "dst"], "dst/src/file"),
        (&["-a", "new/", "dst/a/b", "dst"], "dst/b/file"),
        (&["-a", "--delete", "dst/a/b", "dst"], "dst/b/file"),
        (
            &["-a", "--delete", "new/src", "dst/a/b", "dst"],
            "dst/b/file",
        ),
    ];
    for (arguments, made) in cases {
        let scratch = sources_inside();
        // Nothing is in the way of any of them.
        fs::remove_file(scratch.join("dst/plain")).unwrap();
        sync(&scratch, arguments).expect(0);
        assert!(scratch.join(made).exists(), "{arguments:?}");
        for source in ["dst/a/b/file", "new/src/file"] {
            assert_eq!(fs::read(scratch.join(source)).unwrap(), source.as_bytes());
        }
    }
}

#[test]
fn a_source_that_is_mounted_elsewhere_is_not_deleted() {
    let mount = |scratch: &Scratch, from: &str| {
        let mut command = Command::new("mount");
        command.arg("--bind").arg(scratch.join(from));
        let output = command.arg(scratch.join("mnt")).output();
        output.is_ok_and(|output| output.status.success())
    };
    let cases: [(&str, &[&str], i32, &str); 4] = [
        ("dst/src/src", &["mnt/", "dst"], 23, "is a source itself"),
        ("dst/a/b", &["new/", "mnt", "dst"], 23, "is a source itself"),
        (
            "dst/a/b",
            &["deep/", "mnt", "dst"],
            23,
            "is a source itself",
        ),
        ("dst/src", &["new/src", "mnt/", "dst"], 3, "would delete it"),
    ];
    for (from, paths, status, said) in cases {
        // Of the last one much is deleted.
        let scratch = sources_inside();
        fs::create_dir(scratch.join("mnt")).unwrap();
        if !mount(&scratch, from) {
            println!("SKIP: nothing can be mounted here");
            return;
        }
        let source = || snapshot(&scratch.join(from), Times::Ignore);
        let before = source();
        let run = sync(&scratch, &[&["-a", "--delete"], paths].concat());
        let unmounted = Command::new("umount")
            .arg("-l")
            .arg(scratch.join("mnt"))
            .status();
        assert!(unmounted.unwrap().success());
        assert_same(&before, &source(), &format!("{paths:?}: {}", run.stderr));
        let run = run.expect(status);
        assert!(run.stderr.contains(said), "{paths:?}: {}", run.stderr);
    }
}

#[test]
fn a_destination_inside_the_source_is_left_out() {
    for &backend in BACKENDS.iter() {
        let scratch = tree();
        let run = flexsync(
            scratch.path(),
            backend,
            &["-a", "--delete", "src/", "src/sub/copy"],
        )
        .expect(0);
        assert!(
            run.stdout.contains("it is the destination"),
            "{}",
            run.stdout
        );
        assert!(scratch.join("src/sub/copy/sub/inner").exists());
        assert!(!scratch.join("src/sub/copy/sub/copy").exists());
    }
}

#[test]
fn times_within_the_window_agree() {
    let scratch = tree();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 900_000_000);
    let at = |name: &str, seconds: u64| {
        let file = fs::File::options()
            .write(true)
            .open(scratch.join(name))
            .unwrap();
        file.set_modified(time + std::time::Duration::from_secs(seconds))
            .unwrap();
    };
    at("src/file", 0);
    sync(&scratch, &["-a", "src/", "dst"]).expect(0);
    at("src/file", 2);
    for (window, transferred) in [("2", 0), ("3", 0), ("1", 1)] {
        let run = sync(&scratch, &["-a", "-@", window, "--stats", "src/", "dst"]).expect(0);
        assert_eq!(
            run.figure("Number of regular files transferred"),
            transferred,
            "{window}"
        );
    }
}

#[test]
fn what_is_named_alone_is_listed() {
    let prepare = |scratch: &Scratch| {
        two_trees(scratch);
        common::date(scratch.path(), 1_000_000_000);
    };
    for line in [
        "a",
        "a/",
        "a/x",
        "-r a",
        "-r a/",
        "-a .",
        "-rq a",
        "-dn a",
        "-l link-to-b",
        "-aR a/dir",
        "-a link-to-b/",
        "-r --exclude=dir a",
        "-ri a/",
        "none",
    ] {
        let arguments: Vec<_> = line.split(' ').collect();
        common::does_as_rsync(prepare, &arguments);
    }
    let scratch = Scratch::new();
    prepare(&scratch);
    // Figures differ.
    let first = |run: &Run| run.stdout.lines().next().map(str::to_owned);
    let arguments = ["-rv", "a"];
    if let Some(theirs) = rsync(scratch.path(), &arguments) {
        assert_eq!(first(&sync(&scratch, &arguments)), first(&theirs));
    }
}

/// What they take back is not there to begin with.
#[test]
fn opposites_of_options_that_are_refused_are_accepted() {
    let prepare = |scratch: &Scratch| drop(scratch.write("src/file", "contents"));
    let names = "8-bit-output 8 blocking-io compress z contimeout iconv insecure-links msgs2stderr old-args s protect-args \
                 secluded-args inc-recursive i-r one-file-system x i-d";
    for name in names.split_whitespace() {
        let option = format!("--no-{name}");
        common::does_as_rsync(prepare, &["-aiR", &option, "src/file", "dst"]);
    }
    for option in ["--inc-recursive", "--i-r", "--i-d", "--log-format=%n"] {
        common::does_as_rsync(prepare, &["-aR", option, "src/file", "dst"]);
    }
}

#[test]
fn no_more_is_deleted_than_allowed() {
    let extra = |scratch: &Scratch| {
        let names = common::paths(&scratch.join("dst")).into_iter();
        names.filter(|path| !path.ends_with("file")).count()
    };
    for most in 0..9 {
        let (mine, theirs) = (Scratch::new(), Scratch::new());
        for scratch in [&mine, &theirs] {
            scratch.write("src/file", "x");
            for name in ["a", "b", "d/one", "d/e/two", "f/three"] {
                scratch.write(&format!("dst/{name}"), "x");
            }
        }
        let most = format!("--max-delete={most}");
        let arguments = ["-a", "--delete", &most, "src/", "dst"];
        let my_run = sync(&mine, &arguments);
        if let Some(their_run) = rsync(theirs.path(), &arguments) {
            assert_eq!(my_run.status, their_run.status, "{most}");
            assert_eq!(extra(&mine), extra(&theirs), "{most}: {}", my_run.stderr);
        }
        let limited = extra(&mine) > 0;
        assert_eq!(my_run.status == 25, limited, "{most}: {my_run:?}");
        assert_eq!(my_run.stderr.contains("--max-delete"), limited, "{most}");
    }
}

#[test]
fn other_file_systems_are_neither_entered_nor_deleted() {
    let mount = |dir: &std::path::Path| {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=1m", "flexsync-test"]);
        let output = command.arg(dir).output();
        output.is_ok_and(|output| output.status.success())
    };
    for options in [
        ["-ax", "--delete"],
        ["-axx", "--delete"],
        ["-a", "--delete"],
    ] {
        let (mine, theirs) = (Scratch::new(), Scratch::new());
        let mut seen = Vec::new();
        for (scratch, is_mine) in [(&mine, true), (&theirs, false)] {
            scratch.write("src/file", "x");
            scratch.write("dst/extra", "x");
            scratch.write("dst/mnt/old", "x");
            let mounts = ["src/mnt", "dst/other"].map(|name| scratch.join(name));
            mounts
                .iter()
                .for_each(|dir| fs::create_dir_all(dir).unwrap());
            if !mounts.iter().all(|dir| mount(dir)) {
                mounts
                    .iter()
                    .for_each(|dir| drop(Command::new("umount").arg("-l").arg(dir).output()));
                println!("SKIP: no tmpfs can be mounted here");
                return;
            }
            scratch.write("src/mnt/inner", "x");
            scratch.write("dst/other/kept", "x");
            let arguments = [&options[..], &["src/", "dst"]].concat();
            let run = match is_mine {
                true => Some(sync(scratch, &arguments)),
                false => rsync(scratch.path(), &arguments),
            };
            let names = common::paths(&scratch.join("dst"));
            let root = scratch.join("dst");
            let names: Vec<_> = names
                .iter()
                .map(|path| path.strip_prefix(&root).unwrap().to_owned())
                .collect();
            mounts.iter().for_each(|dir| {
                Command::new("umount").arg("-l").arg(dir).status().unwrap();
            });
            seen.extend(run.map(|_| names));
        }
        if options != ["-a", "--delete"] {
            let kept = std::path::Path::new("other/kept");
            assert!(
                seen[0].iter().any(|name| name == kept),
                "{options:?}: {seen:?}"
            );
            assert!(
                seen[0].iter().all(|name| !name.ends_with("inner")),
                "{options:?}: {seen:?}"
            );
        }
        if let [mine, theirs] = &seen[..] {
            assert_eq!(mine, theirs, "{options:?}");
        }
    }
}

#[test]
fn quick_check_goes_by_size_and_time_and_checksum_by_contents() {
    let scratch = tree();
    sync(&scratch, &["-a", "src/", "dst"]).expect(0);
    let time = fs::metadata(scratch.join("src/file"))
        .unwrap()
        .modified()
        .unwrap();
    let same_size = |contents: &str| {
        fs::write(scratch.join("src/file"), contents).unwrap();
        fs::File::open(scratch.join("src/file"))
            .unwrap()
            .set_modified(time)
            .unwrap();
    };
    same_size("CONTENTS");
    sync(&scratch, &["-a", "src/", "dst"]).expect(0);
    assert_eq!(
        fs::read(scratch.join("dst/file")).unwrap(),
        b"contents",
        "size and time agree"
    );
    sync(&scratch, &["-ac", "src/", "dst"]).expect(0);
    assert_eq!(fs::read(scratch.join("dst/file")).unwrap(), b"CONTENTS");

    let later = time + std::time::Duration::from_nanos(1);
    fs::write(scratch.join("src/file"), "a nanos.").unwrap();
    fs::File::open(scratch.join("src/file"))
        .unwrap()
        .set_modified(later)
        .unwrap();
    sync(&scratch, &["-a", "src/", "dst"]).expect(0);
    assert_eq!(fs::read(scratch.join("dst/file")).unwrap(), b"a nanos.");

    // Equal contents with -c: only the time is set.
    fs::File::open(scratch.join("dst/file"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    let inode = fs::metadata(scratch.join("dst/file")).unwrap().ino();
    let run = sync(&scratch, &["-ac", "--stats", "src/", "dst"]).expect(0);
    assert_eq!(run.figure("Number of regular files transferred"), 0);
    let after = fs::metadata(scratch.join("dst/file")).unwrap();
    assert_eq!((after.modified().unwrap(), after.ino()), (later, inode));
}

#[test]
fn modes_without_perms_follow_the_umask_and_keep_what_is_there() {
    let scratch = tree();
    fs::set_permissions(scratch.join("src/file"), Permissions::from_mode(0o4777)).unwrap();
    fs::set_permissions(scratch.join("src/sub"), Permissions::from_mode(0o577)).unwrap();
    scratch.write("src/old", "new contents");
    scratch.write("dst/old", "old");
    fs::set_permissions(scratch.join("dst/old"), Permissions::from_mode(0o640)).unwrap();
    flexsync_under(scratch.path(), "027", "-rlt src/ dst").expect(0);
    let mode = |name: &str| fs::metadata(scratch.join("dst").join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("file"), mode("old")), (0o750, 0o640));
    assert_eq!(mode("sub"), 0o550);
}

#[test]
fn figures_are_written_as_json() {
    let scratch = tree();
    sync(&scratch, &["-a", "--stats-json", "out.json", "src/", "dst"]).expect(0);
    let json = fs::read_to_string(scratch.join("out.json")).unwrap();
    let start = format!("{{\"backend\":\"{}\",", common::tested("direct"));
    assert!(json.starts_with(&start) && json.ends_with("}\n"), "{json}");
    for part in [
        "\"files\":5,",
        "\"transferred\":2,",
        "\"literal\":22,",
        "\"entries_w\":",
        "\"handed_back\":",
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
}
