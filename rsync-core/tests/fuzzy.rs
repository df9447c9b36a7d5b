// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that stand in for missing ones: rsync(1), `--fuzzy`. Exceptions: whole files are not looked for; what is deleted while files
//! are transferred still stands in for others; of names that are equally similar rsync may take another; with `--append` rsync leaves
//! a file out for which another one stands in; rsync tells of files that it cannot read; of a file with several new names rsync shows
//! another one.

mod common;

use common::{
    BACKENDS, Random, Scratch, Times, assert_same, change, copy, date, flexsync, grow, is_root,
    rsync, snapshot, whole_seconds,
};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;

/// A new file of the source, and what the destination has instead: files of that many of its bytes.
fn one(name: &str, others: &[(&str, usize)]) -> Scratch {
    let scratch = Scratch::new();
    let bytes = Random::new(31).bytes(20_000);
    scratch.write(&format!("src/sub/{name}"), &bytes);
    date(&scratch.join("src"), 1_000_000_000);
    fs::create_dir_all(scratch.join("dst/sub")).unwrap();
    for (other, length) in others {
        scratch.write(&format!("dst/sub/{other}"), &bytes[..*length]);
    }
    date(&scratch.join("dst"), 900_000_000);
    scratch
}

/// The lines and figures that both programs have to have in common.
fn told(
    scratch: &Scratch,
    backend: Option<&str>,
    arguments: &[&str],
) -> Option<(Vec<String>, u64, u64)> {
    let arguments = [arguments, &["-i", "--stats", "src/", "dst"]].concat();
    let run = match backend {
        Some(backend) => flexsync(scratch.path(), backend, &arguments),
        None => rsync(scratch.path(), &arguments)?,
    };
    let run = run.expect(0);
    let is_told = |line: &&str| {
        line.starts_with("fuzzy ") && !line.starts_with("fuzzy distance") || line.starts_with('>')
    };
    let lines = run.stdout.lines().filter(is_told).map(str::to_owned);
    Some((
        lines.collect(),
        run.figure("Literal data"),
        run.figure("Matched data"),
    ))
}

fn as_rsync(what: &str, prepare: impl Fn() -> Scratch, arguments: &[&str]) {
    let theirs = prepare();
    let Some(expected) = told(&theirs, None, arguments) else {
        return;
    };
    for &backend in BACKENDS.iter() {
        let mine = prepare();
        let told = told(&mine, Some(backend), arguments).unwrap();
        assert_eq!(told, expected, "{what} {backend} {arguments:?}");
        assert_same(
            &snapshot(&mine.join("dst"), Times::Seconds),
            &snapshot(&theirs.join("dst"), Times::Seconds),
            what,
        );
    }
}

const OPTIONS: [&str; 4] = ["-a", "--no-W", "-y", "--debug=fuzzy2"];

#[test]
fn the_file_of_the_most_similar_name_stands_in_as_for_rsync() {
    let cases: [(&str, &[(&str, usize)]); 10] = [
        (
            "a.txt",
            &[("b.txt", 10_000), ("a.doc", 20_000), ("a.txt.old", 15_000)],
        ),
        ("f.tar.gz", &[("f.tar.bz2", 20_000), ("f1.tar.gz", 5_000)]),
        (
            "report-2024",
            &[
                ("report-2014", 1_000),
                ("report-2023", 20_000),
                ("report-24", 5_000),
            ],
        ),
        ("lib.so.6", &[("lib.so.5", 15_000), ("libc.a", 2_000)]),
        ("abc", &[("quite another name that is long", 20_000)]),
        ("a.c", &[("a.txt", 20_000)]),
        ("abc.x", &[("abc.yy", 20_000), ("zzz.yyy", 1_000)]),
        ("new", &[("neu", 0), ("nothing", 20_000)]),
        ("name with space", &[("name  with space", 20_000)]),
        (".profile", &[(".profile.bak", 20_000), (".bashrc", 300)]),
    ];
    for (name, others) in cases {
        as_rsync(name, || one(name, others), &OPTIONS);
        as_rsync(
            name,
            || one(name, others),
            &[&OPTIONS[..], &["-n"]].concat(),
        );
    }
}

#[test]
fn a_file_of_the_same_size_and_time_stands_in_before_one_of_a_similar_name() {
    let prepare = |name: &str| {
        let scratch = one("file", &[("file2", 10_000)]);
        let other = scratch.join("dst/sub").join(name);
        copy(&scratch.join("src/sub/file"), &other);
        scratch
    };
    let (what, options) = ("same size and time", &OPTIONS[..]);
    as_rsync(what, || prepare("quite another name"), options);
    as_rsync(
        what,
        || prepare("zzz"),
        &[options, &["--modify-window=1"]].concat(),
    );
}

#[test]
fn only_regular_files_that_nobody_is_writing_stand_in() {
    let prepare = || {
        let scratch = one("file", &[("fellow", 5_000)]);
        let dir = scratch.join("dst/sub");
        fs::create_dir(dir.join("file1")).unwrap();
        symlink("fellow", dir.join("file2")).unwrap();
        nix::unistd::mkfifo(&dir.join("file3"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        date(&scratch.join("dst"), 900_000_000);
        scratch
    };
    as_rsync("other kinds", prepare, &OPTIONS);
    // Of a name like that of a temporary file, whoever may be writing it.
    let scratch = one("file", &[(".file.flexsync.abcdef", 20_000)]);
    let (lines, literal, _) = told(&scratch, Some("direct"), &OPTIONS).unwrap();
    assert_eq!(
        (&lines[..], literal),
        (&[">f+++++++++ sub/file".to_owned()][..], 20_000)
    );
}

#[test]
fn a_file_that_is_there_or_held_needs_no_stand_in() {
    let held = || {
        let scratch = one("file", &[("file2", 20_000)]);
        scratch.write(
            "dst/sub/.part/file",
            &fs::read(scratch.join("src/sub/file")).unwrap()[..7_000],
        );
        scratch
    };
    as_rsync(
        "held",
        held,
        &[&OPTIONS[..], &["--partial-dir=.part"]].concat(),
    );
    as_rsync(
        "there",
        || one("file", &[("file2", 20_000), ("file", 3_000)]),
        &OPTIONS,
    );
    for kind in ["link", "copy", "compare"] {
        let other = || {
            let scratch = one("file", &[("file2", 20_000)]);
            let bytes = fs::read(scratch.join("src/sub/file")).unwrap();
            scratch.write("other/sub/file", &bytes[..8_000]);
            scratch
        };
        let tree = format!("--{kind}-dest=../other");
        as_rsync("in another tree", other, &[&OPTIONS[..], &[&tree]].concat());
    }
}

#[test]
fn files_of_other_trees_stand_in_when_asked_for_twice() {
    for kind in ["link", "copy", "compare"] {
        for form in ["-y", "-yy"] {
            let scratch = one("file", &[("f", 1_000)]);
            let bytes = fs::read(scratch.join("src/sub/file")).unwrap();
            scratch.write("second/sub/file2", &bytes[..15_000]);
            let trees = ["missing", "../second"].map(|dir| format!("--{kind}-dest={dir}"));
            let options = ["-a", "--no-W", "--debug=fuzzy", form, &trees[0], &trees[1]];
            let (lines, literal, matched) = told(&scratch, Some("direct"), &options).unwrap();
            let basis = if form == "-y" {
                "sub/f"
            } else {
                "../second/sub/file2"
            };
            assert_eq!(
                lines[0],
                format!("fuzzy basis selected for sub/file: {basis}")
            );
            let theirs = one("file", &[("f", 1_000)]);
            theirs.write("second/sub/file2", &bytes[..15_000]);
            let Some((_, their_literal, their_matched)) = told(&theirs, None, &options) else {
                return;
            };
            assert_eq!(
                (literal, matched),
                (their_literal, their_matched),
                "{kind} {form}"
            );
            assert_eq!(fs::read(scratch.join("dst/sub/file")).unwrap(), bytes);
        }
    }
}

#[test]
fn whole_files_have_no_stand_in() {
    for options in [
        &["-a", "-y"][..],
        &["-a", "-y", "--no-W", "--cc=none"],
        &["-a", "-y", "--no-W", "--no-y"],
    ] {
        let scratch = one("file", &[("file2", 20_000)]);
        let arguments = [options, &["--debug=fuzzy2"]].concat();
        let (lines, literal, _) = told(&scratch, Some("direct"), &arguments).unwrap();
        assert_eq!((lines.len(), literal), (1, 20_000), "{lines:?}");
    }
}

#[test]
fn what_is_to_be_deleted_stands_in_unless_it_goes_before() {
    for (when, literal) in [
        ("--delete", 0),
        ("--delete-during", 0),
        ("--delete-delay", 0),
        ("--delete-after", 0),
        ("--delete-before", 20_000),
    ] {
        for &backend in BACKENDS.iter() {
            let scratch = one("file", &[("file2", 20_000)]);
            let (_, sent, _) =
                told(&scratch, Some(backend), &["-a", "--no-W", "-y", when]).unwrap();
            assert_eq!(sent, literal, "{backend} {when}");
            assert!(!scratch.join("dst/sub/file2").exists());
        }
    }
    for when in ["--delete-after", "--delete-delay", "--delete-before"] {
        let arguments = [&OPTIONS[..], &[when]].concat();
        as_rsync(when, || one("file", &[("file2", 20_000)]), &arguments);
    }
}

#[test]
fn a_stand_in_is_not_written_in_place() {
    for options in [
        &["--inplace"][..],
        &["--append"],
        &["--append-verify"],
        &["--inplace", "-S"],
        &["--delay-updates"],
    ] {
        for &backend in BACKENDS.iter() {
            let scratch = one("file", &[("file2", 13_000)]);
            let before = fs::read(scratch.join("dst/sub/file2")).unwrap();
            let arguments = [&OPTIONS[..], options].concat();
            let (_, literal, _) = told(&scratch, Some(backend), &arguments).unwrap();
            assert!(literal < 8_000, "{backend} {options:?}: {literal}");
            let now = |name: &str| fs::read(scratch.join(name)).unwrap();
            assert!(
                now("dst/sub/file") == now("src/sub/file"),
                "{backend} {options:?}"
            );
            assert!(now("dst/sub/file2") == before, "{backend} {options:?}");
        }
    }
}

#[test]
fn names_of_one_file_have_one_stand_in() {
    for &backend in BACKENDS.iter() {
        let scratch = one("file", &[("other", 20_000)]);
        fs::hard_link(scratch.join("src/sub/file"), scratch.join("src/sub/same")).unwrap();
        let arguments = ["-a", "--no-W", "-yH"];
        let (_, literal, matched) = told(&scratch, Some(backend), &arguments).unwrap();
        assert_eq!((literal, matched), (0, 20_000));
        let links = fs::metadata(scratch.join("dst/sub/file")).unwrap().nlink();
        assert_eq!(links, 2);
    }
}

#[test]
fn one_that_cannot_be_read_does_not_stand_in() {
    if !is_root() {
        println!("SKIP: only the superuser can run it as somebody else");
        return;
    }
    let scratch = one("file", &[("file2", 20_000)]);
    fs::set_permissions(scratch.join("dst/sub/file2"), Permissions::from_mode(0o000)).unwrap();
    for path in common::paths(&scratch.join("dst")) {
        std::os::unix::fs::lchown(&path, Some(3001), None).unwrap();
    }
    std::os::unix::fs::lchown(scratch.join("dst"), Some(3001), None).unwrap();
    let mut command = Command::new("setpriv");
    command
        .current_dir(scratch.path())
        .args(["--reuid=3001", "--clear-groups", common::FLEXSYNC]);
    let output = command
        .args(["-rt", "--no-W", "-y", "src/", "dst"])
        .output();
    let Ok(output) = output else {
        println!("SKIP: there is no setpriv");
        return;
    };
    common::Run::from(output).expect(0);
    let now = |name: &str| fs::read(scratch.join(name)).unwrap();
    assert!(now("dst/sub/file") == now("src/sub/file"));
}

#[test]
fn a_stand_in_is_told_of_to_programs() {
    let scratch = one("file", &[("file2", 13_000)]);
    let arguments = ["-a", "--no-W", "-y", "--json", "src/", "dst"];
    let run = flexsync(scratch.path(), "direct", &arguments).expect(0);
    let line = run.stdout.lines().find(|line| line.contains("stand_in"));
    let told: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    let expected = serde_json::json!({
        "event": "stand_in", "path": "sub/file", "basis": "sub/file2", "same": false,
    });
    assert_eq!(told, expected);
}

#[test]
fn random_trees_with_random_options_become_what_rsync_makes_of_them() {
    const OTHERS: [&str; 16] = [
        "--delete",
        "--delete-after",
        "--delete-before",
        "--delete-during",
        "-b",
        "--inplace",
        "-S",
        "-c",
        "--delay-updates",
        "--partial-dir=.p",
        "-I",
        "-u",
        "--link-dest=../other",
        "--copy-dest=../other",
        "--compare-dest=../other",
        "-n",
    ];
    for seed in 0..40 {
        let mut random = Random::new(5000 + seed);
        let scratch = Scratch::new();
        grow(&scratch.join("src"), &mut random, 60);
        for name in ["other", "mine"] {
            copy(&scratch.join("src"), &scratch.join(name));
            change(&scratch.join(name), &mut random);
        }
        copy(&scratch.join("mine"), &scratch.join("theirs"));
        whole_seconds(scratch.path());
        let mut options = vec!["-a", "--no-W", *random.pick(&["-y", "-yy"]), "--stats"];
        options.extend(OTHERS.iter().filter(|_| random.chance(20)));
        if options.iter().any(|option| option.ends_with("/other")) {
            // The exception of tests/alternates.rs.
            options.retain(|option| *option != "-b");
        }
        let arguments = |to| [&options[..], &["src/", to]].concat();
        let Some(theirs) = rsync(scratch.path(), &arguments("theirs")) else {
            return;
        };
        let backend = BACKENDS[seed as usize % BACKENDS.len()];
        let mine = flexsync(scratch.path(), backend, &arguments("mine"));
        let what = format!("seed {seed}, {backend} {options:?}\n{mine:?}\n{theirs:?}");
        assert_eq!(mine.status, theirs.status, "{what}");
        if mine.status == 1 {
            // They exclude each other.
            continue;
        }
        let figure = "Number of regular files transferred";
        assert_eq!(mine.figure(figure), theirs.figure(figure), "{what}");
        // Backups leave the times of directories alone.
        let times = match options.contains(&"-b") {
            true => Times::Ignore,
            false => Times::Seconds,
        };
        assert_same(
            &snapshot(&scratch.join("mine"), times),
            &snapshot(&scratch.join("theirs"), times),
            &what,
        );
    }
}
