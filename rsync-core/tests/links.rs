// SPDX-License-Identifier: MIT OR Apache-2.0

//! Symbolic links that are followed, left out, or taken for what they point to: rsync(1), SYMBOLIC LINKS. Exceptions:
//!
//! - What a link that has no referent is said in other words, and so is one that leads out of the destination.
//! - A directory that `--keep-dirlinks` has written to is not deleted where it really is; rsync deletes it, and then has
//!   written to nothing or to another one.

mod common;

use common::{
    BACKENDS, Run, Scratch, Times, assert_same, copy, flexsync, rsync, same_lines, snapshot,
};
use std::fs;
use std::os::unix::fs::symlink;

/// Links of all kinds, to files and directories, within the source and out of it, and to nothing.
fn trees(scratch: &Scratch) {
    for file in [
        "src/file",
        "src/real/in",
        "src/real/deep/er",
        "out/file",
        "out/dir/inside",
    ] {
        scratch.write(file, format!("the contents of {file}"));
    }
    for (link, target) in [
        ("to file", "file"),
        ("to dir", "real"),
        ("out file", "../out/file"),
        ("out dir", "../out/dir"),
        ("out deep", "../out"),
        ("broken", "nothing"),
        ("out broken", "../nothing"),
        ("loop", "loop"),
        ("real/up", "../file"),
        ("real/up dir", "../real/deep"),
        ("real/out", "../../out/file"),
        ("real/embedded", "deep/../in"),
        ("real/dotted", "./../file"),
        ("munged", "/rsyncd-munged/../out/file"),
        ("to link", "to file"),
    ] {
        symlink(target, scratch.join("src").join(link)).unwrap();
    }
    scratch.write("dst/extra", "not in the source");
    symlink("elsewhere", scratch.join("dst/out file")).unwrap();
    common::date(scratch.path(), 1_000_000_000);
}

/// What is said of links without a referent is said in other words.
fn without_referents(mut run: Run) -> Run {
    let lines = run.stdout.lines();
    let lines = lines.filter(|line| !line.starts_with("symlink has no referent"));
    run.stdout = lines.map(|line| format!("{line}\n")).collect();
    run
}

fn as_rsync(backend: &str, prepare: fn(&Scratch), arguments: &[&str]) {
    let (mine, theirs) = (Scratch::new(), Scratch::new());
    prepare(&mine);
    for entry in fs::read_dir(mine.path()).unwrap() {
        copy(&entry.unwrap().path(), theirs.path());
    }
    let Some(their_run) = rsync(theirs.path(), arguments) else {
        return;
    };
    let my_run = flexsync(mine.path(), backend, arguments);
    let what = format!("{backend} {arguments:?}");
    same_lines(&my_run, &without_referents(their_run), &what);
    assert_same(
        &snapshot(mine.path(), Times::Ignore),
        &snapshot(theirs.path(), Times::Ignore),
        &what,
    );
}

#[test]
fn links_of_the_source_are_treated_as_by_rsync() {
    const FORMS: [&[&str]; 17] = [
        &["-aiL"],
        &["-riL"],
        &["-aicL", "--no-W"],
        &["-ai", "--copy-unsafe-links"],
        &["-ri", "--copy-unsafe-links"],
        &["-ai", "--safe-links"],
        &["-avv", "--safe-links", "--delete"],
        &["-ri", "--safe-links"],
        &["-ai", "--copy-unsafe-links", "--safe-links"],
        &["-aik"],
        &["-rtik"],
        &["-aik", "--safe-links"],
        &["-ai", "--munge-links"],
        &["-aiLn", "--delete"],
        &[
            "-aiL",
            "--exclude=dir/",
            "--exclude=*broken",
            "--exclude=loop",
        ],
        &["-aik", "--exclude=*dir/"],
        &["-aiL", "--prune-empty-dirs", "--exclude=inside"],
    ];
    for (index, form) in FORMS.iter().enumerate() {
        let backend = BACKENDS[index % BACKENDS.len()];
        as_rsync(backend, trees, &[*form, &["src/", "dst"]].concat());
        as_rsync(backend, trees, &[*form, &["src", "dst"]].concat());
    }
}

#[test]
fn links_that_arguments_name_are_treated_as_by_rsync() {
    const SOURCES: [&str; 6] = [
        "src/to file",
        "src/to dir",
        "src/out file",
        "src/out dir",
        "src/to link",
        "src/real/up dir",
    ];
    let forms: [&[&str]; 7] = [
        &["-aiL"],
        &["-ai", "--copy-unsafe-links"],
        &["-ai", "--safe-links"],
        &["-aik"],
        &["-riL"],
        &["-aiLR"],
        &["-aikR"],
    ];
    for form in forms {
        as_rsync("direct", trees, &[form, &SOURCES, &["dst/"]].concat());
    }
    as_rsync("direct", trees, &["-aiL", "src/to file", "dst/renamed"]);
}

/// Links to a file and to a directory that are not in the source.
fn outside(scratch: &Scratch) {
    for file in ["src/file", "out/file", "out/dir/inside"] {
        scratch.write(file, file);
    }
    symlink("../out/file", scratch.join("src/out file")).unwrap();
    symlink("../out/dir", scratch.join("src/out dir")).unwrap();
    fs::create_dir(scratch.join("dst")).unwrap();
    common::date(scratch.path(), 1_000_000_000);
}

#[test]
fn links_are_removed_from_the_source_and_not_what_they_point_to() {
    let arguments = ["-aiL", "--remove-source-files", "src/", "dst"];
    as_rsync("direct", outside, &arguments);
    let scratch = Scratch::new();
    outside(&scratch);
    flexsync(scratch.path(), "direct", &arguments).expect(23);
    assert!(scratch.join("out/file").exists() && scratch.join("out/dir/inside").exists());
    assert!(fs::symlink_metadata(scratch.join("src/out file")).is_err());
}

/// Directories of the destination that are links, within it.
fn linked(scratch: &Scratch) {
    for file in [
        "src/sub/file",
        "src/sub/deep/file",
        "src/other/file",
        "src/plain",
    ] {
        scratch.write(file, file);
    }
    scratch.write("dst/real/file", "old one");
    scratch.write("dst/real/deep/extra", "stays");
    scratch.write("dst/file", "no directory");
    symlink("real", scratch.join("dst/sub")).unwrap();
    symlink("file", scratch.join("dst/other")).unwrap();
    symlink("real", scratch.join("dst/plain")).unwrap();
    common::date(scratch.path(), 1_000_000_000);
}

#[test]
fn links_of_the_destination_are_kept_as_by_rsync() {
    let forms: [&[&str]; 6] = [
        &["-aiK"],
        &["-ai"],
        &["-aiKn"],
        &["-riK", "--no-W"],
        &["-aiiK", "--inplace"],
        &["-aiK", "--delay-updates"],
    ];
    for (index, form) in forms.iter().enumerate() {
        let backend = BACKENDS[index % BACKENDS.len()];
        as_rsync(backend, linked, &[*form, &["src/", "dst"]].concat());
    }
}

#[test]
fn a_link_that_leads_out_of_the_destination_is_an_error() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        scratch.write("src/sub/file", "new");
        scratch.write("outside/file", "outside");
        scratch.write("outside/extra", "outside");
        fs::create_dir(scratch.join("dst")).unwrap();
        symlink("../outside", scratch.join("dst/sub")).unwrap();
        let before = snapshot(&scratch.join("outside"), Times::Compare);
        let run = flexsync(scratch.path(), backend, &["-aK", "--delete", "src/", "dst"]).expect(23);
        assert!(run.stderr.contains("dst/sub"), "{run:?}");
        let after = snapshot(&scratch.join("outside"), Times::Compare);
        assert_same(&before, &after, backend);
    }
}

#[test]
fn a_directory_that_a_kept_link_leads_to_is_not_deleted() {
    let scratch = Scratch::new();
    linked(&scratch);
    let arguments = ["-aK", "--delete", "src/", "dst"];
    flexsync(scratch.path(), "direct", &arguments).expect(0);
    for file in ["sub/file", "sub/deep/file"] {
        let [new, source] =
            ["dst", "src"].map(|tree| fs::read(scratch.join(tree).join(file)).unwrap());
        assert_eq!(new, source, "{file}");
    }
    assert!(!scratch.join("dst/real/deep/extra").exists());
}

#[test]
fn a_link_without_a_referent_is_named_and_stops_deletion() {
    let scratch = Scratch::new();
    scratch.write("src/file", "contents");
    symlink("nothing", scratch.join("src/broken")).unwrap();
    let extra = scratch.write("dst/extra", "not in the source");
    let run = flexsync(
        scratch.path(),
        "direct",
        &["-aL", "--delete", "src/", "dst"],
    )
    .expect(23);
    assert!(run.stderr.contains("src/broken"), "{run:?}");
    assert!(extra.exists() && scratch.join("dst/file").exists());
}
