// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is told to programs, and why something is done: `--json`, `--explain`.

mod common;

use common::{BACKENDS, Run, Scratch, flexsync, whole_seconds};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

/// The objects that a run has shown.
fn objects(run: &Run) -> Vec<Value> {
    let lines = run.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Those about an event.
fn of<'a>(objects: &'a [Value], event: &str) -> Vec<&'a Value> {
    let found = objects.iter().filter(|object| object["event"] == event);
    found.collect()
}

fn tree() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("src/sub/file", "contents");
    scratch.write("src/same", "same");
    scratch.write("src/longer", "longer than that");
    scratch.write("src/skip.o", "hidden");
    scratch.write("src/cache/inner/x", "hidden");
    symlink("/etc/passwd", scratch.join("src/link")).unwrap();
    for (name, contents) in [("same", "same"), ("longer", "longer"), ("extra", "x")] {
        scratch.write(&format!("dst/{name}"), contents);
    }
    common::date(scratch.path(), 1_000_000_000);
    whole_seconds(scratch.path());
    scratch
}

#[test]
fn each_event_is_an_object_on_a_line() {
    for &backend in BACKENDS.iter() {
        let scratch = tree();
        let odd = scratch.join("src").join(OsStr::from_bytes(b"odd\xff"));
        fs::write(odd, "x").unwrap();
        let arguments = ["-a", "--json", "-v", "--stats", "--delete", "src/", "dst"];
        let run = flexsync(scratch.path(), backend, &arguments).expect(0);
        let objects = objects(&run);
        let items = of(&objects, "item");
        let item = |path: &str| {
            let found = items.iter().find(|item| item["path"] == path);
            found.unwrap_or_else(|| panic!("{path}: {objects:?}"))
        };
        assert_eq!(item("sub/file")["update"], "transferred");
        assert_eq!(item("sub/file")["size"], 8);
        assert_eq!(item("sub/file")["mtime"], 1_000_000_000);
        assert_eq!(item("longer")["differences"], serde_json::json!(["size"]));
        assert_eq!(item("longer")["itemized"], ">f.s.......");
        assert_eq!(item("link")["target"], "/etc/passwd");
        assert!(items.iter().any(|item| item["path_hex"] == "6f6464ff"));
        let deleted = of(&objects, "deleted");
        assert_eq!((deleted.len(), &deleted[0]["path"]), (1, &"extra".into()));
        let end = objects.last().unwrap();
        assert_eq!(
            (&end["event"], &end["exit_status"]),
            (&"end".into(), &0.into())
        );
        assert_eq!(end["deleted"]["files"], 1);
    }
}

#[test]
fn what_fails_is_told_to_programs_too() {
    let scratch = tree();
    let run = flexsync(
        scratch.path(),
        "direct",
        &["-a", "--json", "src/", "missing", "dst"],
    );
    let objects_of_run = objects(&run.expect(23));
    let failed = of(&objects_of_run, "failed");
    assert_eq!(failed[0]["path"], "missing");
    assert_eq!(objects_of_run.last().unwrap()["exit_status"], 23);
    let run = flexsync(
        scratch.path(),
        "direct",
        &["-a", "--json", "src/", "host:dst"],
    );
    let objects = objects(&run);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["exit_status"], run.status);
}

#[test]
fn how_far_it_has_come_is_told_to_programs_that_ask() {
    let scratch = tree();
    for (options, told) in [(&["--json"][..], false), (&["--json", "--progress"], true)] {
        let _ = fs::remove_dir_all(scratch.join("new"));
        let arguments = [options, &["-a", "src/", "new"]].concat();
        let objects = objects(&flexsync(scratch.path(), "direct", &arguments).expect(0));
        let progress = of(&objects, "progress");
        assert_eq!(!progress.is_empty(), told);
        if let Some(last) = progress.last() {
            assert_eq!(last["complete"], true);
            assert_eq!(last["files"], last["checked"]);
            assert_eq!(last["files"], 10);
        }
    }
}

#[test]
fn it_is_explained_why_a_file_is_transferred_or_not() {
    let scratch = tree();
    let all = ["-a", "--delete", "--exclude=*.o", "--exclude=/cache"];
    let cases: [(&str, &[&str], &str); 14] = [
        (
            "sub/file",
            &[],
            "transferred: the destination does not have it",
        ),
        (
            "./sub/file",
            &[],
            "transferred: the destination does not have it",
        ),
        (
            "src/sub/file",
            &[],
            "transferred: the destination does not have it",
        ),
        ("longer", &[], "transferred: its size differs"),
        (
            "same",
            &[],
            "left as it is: its size, time and other attributes agree",
        ),
        (
            "same",
            &["-c"],
            "left as it is: its checksum and attributes agree",
        ),
        (
            "same",
            &["-I"],
            "transferred, although size and time agree (--ignore-times)",
        ),
        ("extra", &[], "deleted: the source does not have it"),
        (
            "skip.o",
            &[],
            "left out: a filter rule hides it, skip.o: --exclude=*.o",
        ),
        (
            "cache/inner/x",
            &[],
            "left out: a filter rule hides a directory above it, cache/: --exclude=/cache",
        ),
        (
            "longer",
            &["--ignore-existing"],
            "left alone: the destination has it (--ignore-existing)",
        ),
        (
            "link",
            &["--safe-links"],
            "left out: it is a symbolic link that leads out of the transfer (--safe-links)",
        ),
        (
            "link",
            &["--no-l"],
            "left out: files of its kind are not copied (--links, --devices, --specials)",
        ),
        (
            "nowhere",
            &[],
            "not touched: it is not among the files of the source, and not deleted",
        ),
    ];
    for (path, options, told) in cases {
        let arguments = [&all[..], options, &["--explain", path, "src/", "dst"]].concat();
        let run = flexsync(scratch.path(), "direct", &arguments).expect(0);
        assert_eq!(run.stdout.trim_end(), told, "{path} {options:?}");
    }
    assert!(scratch.join("dst/extra").exists() && !scratch.join("dst/sub").exists());
}

#[test]
fn the_rule_that_hides_a_file_is_named() {
    let scratch = tree();
    scratch.write("rules", "# rules\n\n- *.o\n.- patterns\n");
    scratch.write("patterns", "+ keep*\n/sub\n");
    scratch.write("src/sub/.rules", "- file\n");
    scratch.write("src/.part/file", "part");
    let it = |path: &str| format!("left out: a filter rule hides it, {path}");
    let cases: [(&str, &[&str], String); 10] = [
        ("skip.o", &["--filter=- *.o"], it("skip.o: --filter=- *.o")),
        (
            "skip.o",
            &["--include=- *.o"],
            it("skip.o: --include=- *.o"),
        ),
        (
            "skip.o",
            &["--exclude=*.c", "--exclude=s*", "--exclude=*.o"],
            it("skip.o: --exclude=s*"),
        ),
        ("skip.o", &["-C"], it("skip.o: \"*.o\" of --cvs-exclude")),
        (
            "skip.o",
            &["-f. rules"],
            it("skip.o: \"- *.o\" in line 3 of rules"),
        ),
        (
            "sub",
            &["-f. rules"],
            it("sub/: \"/sub\" in line 2 of patterns"),
        ),
        (
            "sub",
            &["--exclude-from=patterns"],
            it("sub/: \"/sub\" in line 2 of patterns"),
        ),
        (
            "sub/file",
            &["-f: .rules"],
            it("sub/file: \"- file\" in line 1 of sub/.rules"),
        ),
        (
            ".part",
            &["--partial-dir=.part"],
            it(".part/: \"-p .part/\", which another option stands for"),
        ),
        (
            "same",
            &["--exclude=same", "src/same"],
            it("same: --exclude=same"),
        ),
    ];
    for (path, options, told) in cases {
        let arguments = [&["-a", "--explain", path], options, &["src/", "dst"]].concat();
        let run = flexsync(scratch.path(), "direct", &arguments).expect(0);
        let first = run.stdout.lines().next();
        assert_eq!(first, Some(&told[..]), "{path} {options:?} {run:?}");
    }
}
