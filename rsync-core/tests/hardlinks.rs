// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files with several names: the same files, lines and figures as rsync's. Exceptions:
//!
//! - Of a new file with names in several directories of which no other tree (`--link-dest`, `--copy-dest`) has one, the first directory
//!   of the list gets the file and the others get links. rsync looks ahead, as far as lists have come by then.
//! - What cannot be linked is copied. rsync leaves it out.
//! - With `--delay-updates` each name that becomes a link is backed up. rsync leaves some out whose file is in another directory.
//! - A link in the place of something of another kind is new. rsync mostly tells in what it differs from that.

mod common;

use common::{
    BACKENDS, FLEXSYNC, Random, Scratch, Times, assert_same, copy, date, does_as_rsync, flexsync,
    grow, grow_specials, leftovers, numbers, paths, rsync, same_lines, set_time, snapshot,
    whole_seconds,
};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The names of each file that has several.
fn groups(root: &Path) -> Vec<Vec<PathBuf>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for path in paths(root) {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if !metadata.is_dir() {
            let path = path.strip_prefix(root).unwrap().to_owned();
            groups.entry(metadata.ino()).or_default().push(path);
        }
    }
    let mut groups: Vec<_> = groups
        .into_values()
        .filter(|group| group.len() > 1)
        .collect();
    groups.sort();
    groups
}

/// Gives some files of a tree more names: in their own directories, or anywhere.
fn link_some(root: &Path, random: &mut Random, entries: usize, anywhere: bool) {
    for _ in 0..entries {
        let all = paths(root);
        let is_dir = |path: &PathBuf| fs::symlink_metadata(path).unwrap().is_dir();
        let files: Vec<_> = all.iter().filter(|path| !is_dir(path)).collect();
        let file = *random.pick(&files);
        let directories: Vec<_> = all.iter().filter(|path| is_dir(path)).collect();
        let directory = match anywhere && !directories.is_empty() {
            true => *random.pick(&directories),
            false => file.parent().unwrap(),
        };
        let name = directory.join(common::name(random));
        // What has the name is linked elsewhere, or stays.
        let _ = fs::hard_link(file, name);
    }
}

/// Changes files of a tree, and which names are the same file.
fn disturb(root: &Path, random: &mut Random) {
    for path in paths(root) {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            continue;
        }
        match random.below(12) {
            0 | 1 => fs::remove_file(&path).unwrap(),
            // The same file, but for being another one.
            2 | 3 => {
                let apart = root.join("apart");
                copy(&path, &apart);
                fs::rename(&apart, &path).unwrap();
            }
            4 if metadata.is_file() => {
                let length = random.below(5000);
                fs::write(&path, random.bytes(length)).unwrap();
            }
            5 => set_time(&path, random),
            6 if metadata.is_file() => {
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o711))
                    .unwrap();
            }
            _ => {}
        }
    }
}

/// Both programs on copies of the same trees.
fn as_rsync(backend: &str, seed: u64, options: &[&str], anywhere: bool) {
    let what = format!("backend {backend}, seed {seed}, {options:?}");
    let scratch = Scratch::new();
    let mut random = Random::new(seed);
    for side in ["mine", "theirs"] {
        fs::create_dir(scratch.join(side)).unwrap();
    }
    let tree = scratch.join("mine/src");
    grow(&tree, &mut random, 25);
    grow_specials(&tree, &mut random, 8);
    link_some(&tree, &mut random, 25, anywhere);
    whole_seconds(&tree);
    let old = scratch.join("mine/dst");
    copy(&tree, &old);
    disturb(&old, &mut random);
    whole_seconds(&old);
    copy(&tree, &scratch.join("theirs/src"));
    copy(&old, &scratch.join("theirs/dst"));
    for (round, dst) in ["dst", "dst", "new"].into_iter().enumerate() {
        let what = format!("{what}, run {round} to {dst}");
        let arguments = [&["-Hvi", "--stats"], options, &["src/", dst]].concat();
        let Some(theirs) = rsync(&scratch.join("theirs"), &arguments) else {
            return;
        };
        let mine = flexsync(&scratch.join("mine"), backend, &arguments);
        let said = format!("{what}\n{}\n{}", mine.stdout, theirs.stdout);
        if !anywhere {
            same_lines(&mine.files(), &theirs.files(), &said);
            assert_eq!(numbers(&mine), numbers(&theirs), "{said}");
        }
        assert_eq!(mine.status, theirs.status, "{said}");
        for tree in ["src", dst] {
            let [mine, theirs] = ["mine", "theirs"].map(|side| scratch.join(side).join(tree));
            assert_eq!(mine.exists(), theirs.exists(), "{said}");
            if mine.exists() {
                let [my_tree, their_tree] =
                    [&mine, &theirs].map(|tree| snapshot(tree, Times::Ignore));
                assert_same(&my_tree, &their_tree, &said);
                let source = scratch.join("mine/src");
                let [mine_linked, theirs_linked] = [&mine, &theirs].map(|tree| {
                    // What the source does not have may be linked to anything.
                    let mut groups = groups(tree);
                    for group in &mut groups {
                        group.retain(|path| fs::symlink_metadata(source.join(path)).is_ok());
                    }
                    groups
                });
                assert_eq!(mine_linked, theirs_linked, "{said}");
                assert!(leftovers(&mine).is_empty(), "{said}");
            }
        }
    }
}

#[test]
fn names_in_one_directory_become_what_rsync_makes_of_them() {
    const OPTIONS: [&[&str]; 18] = [
        &["-a"],
        &["-aii"],
        &["-a", "--delete"],
        &["-an", "--delete"],
        &["-aiin"],
        &["-ac"],
        &["-a", "--no-W"],
        &["-rl"],
        &["-rltD", "--delete"],
        &["-ab", "--exclude=nnn*"],
        &["-a", "--existing"],
        &["-a", "--ignore-existing"],
        &["-a", "--max-size=1000"],
        &["-aO", "--remove-source-files"],
        &["-a", "--no-links", "--no-specials"],
        &["-a", "--delay-updates"],
        &["-a", "--delay-updates", "--no-W", "--delete"],
        &[
            "-ab",
            "--delay-updates",
            "--partial-dir=.part",
            "--exclude=nnn*",
        ],
    ];
    for (index, options) in OPTIONS.iter().enumerate() {
        let backend = BACKENDS[index % BACKENDS.len()];
        as_rsync(backend, 11_000 + index as u64, options, false);
    }
}

#[test]
fn names_anywhere_become_the_same_files_as_by_rsync() {
    const OPTIONS: [&[&str]; 6] = [
        &["-a"],
        &["-a", "--delete"],
        &["-ac", "--no-W"],
        &["-ab", "--exclude=nnn*"],
        &["-a", "--delay-updates"],
        &["-a", "--delay-updates", "--no-W", "--delete"],
    ];
    for (index, options) in OPTIONS.iter().enumerate() {
        for round in 0..2 {
            let backend = BACKENDS[(index + round) % BACKENDS.len()];
            let seed = 12_000 + 10 * index as u64 + round as u64;
            as_rsync(backend, seed, options, true);
        }
    }
}

#[test]
fn names_that_are_one_file_already_are_left_alone() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        let one = scratch.write("src/one", "contents");
        scratch.write("src/sub/other", "x");
        for name in ["src/two", "src/sub/three"] {
            fs::hard_link(&one, scratch.join(name)).unwrap();
        }
        let sync =
            |options: &str| flexsync(scratch.path(), backend, &[options, "src/", "dst"]).expect(0);
        sync("-aH");
        let before = fs::metadata(scratch.join("dst/two")).unwrap();
        assert_eq!(before.nlink(), 3, "{backend}");
        let again = sync("-aHi");
        assert_eq!(again.stdout, "", "{backend}");
        let now = fs::metadata(scratch.join("dst/two")).unwrap();
        assert_eq!(
            (before.ino(), before.ctime_nsec()),
            (now.ino(), now.ctime_nsec()),
            "{backend}"
        );
        let shown = sync("-aHii");
        let line = "hf          two\n";
        assert!(shown.stdout.contains(line), "{}", shown.stdout);
    }
}

#[test]
fn without_the_option_names_become_files_of_their_own() {
    let scratch = Scratch::new();
    let one = scratch.write("src/one", "contents");
    fs::hard_link(one, scratch.join("src/two")).unwrap();
    flexsync(scratch.path(), "direct", &["-a", "src/", "dst"]).expect(0);
    assert_eq!(groups(&scratch.join("dst")), Vec::<Vec<PathBuf>>::new());
}

#[test]
fn when_one_name_fails_another_takes_its_place() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        let one = scratch.write("src/b", "contents");
        for name in ["a", "c", "d"] {
            fs::hard_link(&one, scratch.join("src").join(name)).unwrap();
        }
        // In the way of the one that would be first.
        scratch.write("dst/a/inside", "stays");
        let run = flexsync(scratch.path(), backend, &["-aH", "src/", "dst"]).expect(23);
        assert!(run.stderr.contains("dst/a"), "{}", run.stderr);
        let names = ["b", "c", "d"].map(PathBuf::from).to_vec();
        assert_eq!(groups(&scratch.join("dst")), [names], "{backend}");
        assert_eq!(fs::read(scratch.join("dst/c")).unwrap(), b"contents");
        assert!(scratch.join("dst/a/inside").exists());
    }
}

#[test]
fn what_cannot_be_linked_to_another_file_system_is_copied() {
    let scratch = Scratch::new();
    let one = scratch.write("src/one", "contents");
    fs::create_dir_all(scratch.join("src/sub")).unwrap();
    for name in ["src/sub/two", "src/sub/three"] {
        fs::hard_link(&one, scratch.join(name)).unwrap();
    }
    let inner = scratch.join("dst/sub");
    fs::create_dir_all(&inner).unwrap();
    let mut mount = Command::new("mount");
    let mounted = mount
        .args(["-t", "tmpfs", "flexsync-test"])
        .arg(&inner)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("SKIP: no tmpfs can be mounted here");
        return;
    }
    let run = flexsync(scratch.path(), "direct", &["-aHv", "src/", "dst"]);
    let groups = groups(&scratch.join("dst"));
    let contents = fs::read(inner.join("two"));
    let left = leftovers(&scratch.join("dst"));
    let _ = Command::new("umount").arg("-l").arg(&inner).status();
    let run = run.expect(0);
    let told = "copying sub/two, which cannot be linked to one: EXDEV";
    assert!(
        run.stdout.contains(told) || run.stdout.contains("copying sub/three"),
        "{}",
        run.stdout
    );
    let linked = ["sub/three", "sub/two"].map(PathBuf::from).to_vec();
    assert_eq!(groups, [linked]);
    assert_eq!(contents.unwrap(), b"contents");
    assert_eq!(left, Vec::<PathBuf>::new());
}

/// Also where the first name is not transferred, or not under a temporary name.
#[test]
fn names_are_one_file_however_the_first_of_them_came() {
    for options in [
        &["--inplace"][..],
        &["--append"],
        &["--copy-dest=../old"],
        &["--link-dest=../old"],
        &["--temp-dir=../tmp"],
        &["--partial-dir=.part"],
        &["--delay-updates"],
    ] {
        let scratch = Scratch::new();
        scratch.write("src/one", "the same contents");
        fs::create_dir(scratch.join("src/d")).unwrap();
        for name in ["src/two", "src/d/three"] {
            fs::hard_link(scratch.join("src/one"), scratch.join(name)).unwrap();
        }
        fs::create_dir(scratch.join("tmp")).unwrap();
        copy(&scratch.join("src"), &scratch.join("old"));
        let arguments = [&["-aH"], options, &["src/", "dst"]].concat();
        for run in 0..2 {
            flexsync(scratch.path(), "direct", &arguments).expect(0);
            let names = ["d/three", "one", "two"].map(PathBuf::from).to_vec();
            assert_eq!(
                groups(&scratch.join("dst")),
                [names],
                "{options:?}, run {run}"
            );
        }
    }
}

#[test]
fn what_a_killed_run_has_left_of_names_that_wait_is_replaced() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        scratch.write("src/one", "the new contents");
        fs::create_dir(scratch.join("src/d")).unwrap();
        for name in ["src/two", "src/d/three"] {
            fs::hard_link(scratch.join("src/one"), scratch.join(name)).unwrap();
        }
        for name in ["one", "two"] {
            scratch.write(&format!("dst/{name}"), "old");
            scratch.write(&format!("dst/.~tmp~/{name}"), "left");
        }
        scratch.write("dst/d/.~tmp~/three", "left");
        flexsync(
            scratch.path(),
            backend,
            &["-aH", "--delay-updates", "src/", "dst"],
        )
        .expect(0);
        let names = ["d/three", "one", "two"].map(PathBuf::from).to_vec();
        assert_eq!(groups(&scratch.join("dst")), [names], "{backend}");
        let now = fs::read(scratch.join("dst/two")).unwrap();
        assert_eq!(now, b"the new contents");
        assert_eq!(paths(&scratch.join("dst")).len(), 4, "{backend}");
    }
}

/// rsync leaves it.
#[test]
fn what_is_held_of_a_name_goes_when_that_is_a_link() {
    for options in [&["--delay-updates"][..], &["--partial-dir=.~tmp~"]] {
        for two in ["old", "linked", "missing"] {
            let scratch = Scratch::new();
            let one = scratch.write("src/one", "the new contents");
            fs::hard_link(&one, scratch.join("src/two")).unwrap();
            // As a run leaves it that was killed when it had put one of two names in its place.
            scratch.write("dst/.~tmp~/two", "left");
            let (one, two_is) = (scratch.join("dst/one"), scratch.join("dst/two"));
            copy(&scratch.join("src/one"), &one);
            match two {
                "old" => fs::write(&two_is, "old").unwrap(),
                "linked" => fs::hard_link(&one, &two_is).unwrap(),
                _ => {}
            }
            let arguments = [&["-aH"], options, &["src/", "dst"]].concat();
            flexsync(scratch.path(), "direct", &arguments).expect(0);
            let there = paths(&scratch.join("dst"));
            assert_eq!(there, [one, two_is], "{options:?}, {two}");
            assert_eq!(groups(&scratch.join("dst")).len(), 1, "{options:?}, {two}");
        }
    }
}

#[test]
fn names_that_another_tree_has_are_left_to_it() {
    let scratch = Scratch::new();
    scratch.write("src/one", "the same contents");
    fs::create_dir(scratch.join("src/d")).unwrap();
    std::os::unix::fs::symlink("nowhere", scratch.join("src/link")).unwrap();
    for (old, new) in [("one", "two"), ("one", "d/three"), ("link", "link too")] {
        let [old, new] = [old, new].map(|name| scratch.join("src").join(name));
        fs::hard_link(old, new).unwrap();
    }
    copy(&scratch.join("src"), &scratch.join("old"));
    for options in [&["-aiH"][..], &["-aiHn"]] {
        let arguments = [options, &["--compare-dest=../old", "src/", "dst"]].concat();
        let run = flexsync(scratch.path(), "direct", &arguments).expect(0);
        assert!(!run.stdout.contains("=>"), "{run:?}");
        let files = paths(&scratch.join("dst"));
        assert!(
            files.iter().all(|path| path.is_dir()),
            "{options:?}: {files:?}"
        );
    }
}

/// A file whose first name goes before its second is listed still has two.
#[test]
fn names_that_are_removed_from_the_source_stay_one_file() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        let first = scratch.write("src/a/first", "the same");
        // More than the list is ahead of what is done.
        for number in 0..4000 {
            scratch.write(&format!("src/b/{number}"), "");
        }
        fs::create_dir(scratch.join("src/c")).unwrap();
        fs::hard_link(first, scratch.join("src/c/second")).unwrap();
        let arguments = ["-aH", "--remove-source-files", "src/", "dst"];
        flexsync(scratch.path(), backend, &arguments).expect(0);
        let inode = |name| fs::metadata(scratch.join(name)).unwrap().ino();
        assert_eq!(inode("dst/a/first"), inode("dst/c/second"), "{backend}");
        for directory in ["src/a", "src/b", "src/c"] {
            let left = fs::read_dir(scratch.join(directory)).unwrap().count();
            assert_eq!(left, 0, "{backend}: {directory}");
        }
    }
}

/// More names come than the file has, because arguments overlap or symbolic links are followed.
#[test]
fn a_file_that_comes_more_often_than_it_has_names_is_one_file_as_for_rsync() {
    const RUNS: [&[&str]; 4] = [
        &["-aH", "src/d", "src/d/one", "dst"],
        &["-aH", "src/d/", "src/d/two", "src/d", "dst"],
        &["-aHL", "src/", "dst"],
        &["-aHR", "src/./d", "src/d/one", "dst"],
    ];
    for (index, arguments) in RUNS.iter().enumerate() {
        let worlds = [Scratch::new(), Scratch::new()];
        for world in &worlds {
            let one = world.write("src/d/one", "the same");
            fs::hard_link(&one, world.join("src/d/two")).unwrap();
            std::os::unix::fs::symlink("one", world.join("src/d/zero")).unwrap();
        }
        let Some(theirs) = rsync(worlds[1].path(), arguments) else {
            return;
        };
        theirs.expect(0);
        let backend = BACKENDS[index % BACKENDS.len()];
        flexsync(worlds[0].path(), backend, arguments).expect(0);
        let [mine, theirs] = worlds.each_ref().map(|world| groups(&world.join("dst")));
        assert_eq!(mine, theirs, "{arguments:?}");
        assert!(mine.iter().any(|group| group.len() > 1), "{arguments:?}");
    }
}

/// A source of hard links `sources`, and another tree that has files of the names `there`, all with the same time.
fn beside(scratch: &Scratch, sources: &[&str], there: &[&str]) {
    let first = scratch.write(&format!("src/{}", sources[0]), "contents");
    for name in &sources[1..] {
        let name = scratch.join(format!("src/{name}"));
        fs::create_dir_all(name.parent().unwrap()).unwrap();
        fs::hard_link(&first, name).unwrap();
    }
    for name in there {
        scratch.write(&format!("alt/{name}"), "contents");
    }
    fs::create_dir(scratch.join("dst")).unwrap();
    date(scratch.path(), 1_500_000_000);
}

#[test]
fn the_name_that_another_tree_has_leads_as_for_rsync() {
    let (link, copy) = ("--link-dest=../alt", "--copy-dest=../alt");
    for (sources, there) in [
        (&["a", "b", "c"][..], &["a"][..]),
        (&["a", "b", "c"], &["b", "c"]),
        (&["a", "d/b"], &["d/b"]),
        (&["a", "d/b", "e/c"], &["e/c"]),
        (&["d/a", "d/b", "e/c"], &["d/a"]),
        (&["d/b", "e/c", "f/c", "f/d"], &["f/d"]),
        (&["d/a", "d/b", "e/c", "e/d"], &["d/b", "e/d"]),
    ] {
        let tree = |scratch: &Scratch| beside(scratch, sources, there);
        for form in ["-aHi", "-aHin", "-aHci", "-aHi --delete-before"] {
            if form == "-aHin" && there.len() > 1 {
                // rsync shows the other tree's path then.
                continue;
            }
            let form: Vec<_> = form.split(' ').collect();
            does_as_rsync(tree, &[&form[..], &[link, "src/", "dst"]].concat());
        }
        let scratch = Scratch::new();
        tree(&scratch);
        flexsync(scratch.path(), "direct", &["-aH", copy, "src/", "dst"]).expect(0);
        let names = sources.len();
        assert_eq!(groups(&scratch.join("dst"))[0].len(), names, "{sources:?}");
    }
}

#[test]
fn names_that_are_looked_for_in_other_trees_do_not_wait_for_each_other_for_ever() {
    // More than are worked on in a directory at once, and more directories than may be in memory.
    const FILES: usize = 300;
    let places = |which: usize| [format!("b/{which:03}"), format!("c/{:03}", FILES - which)];
    let options: [&[&str]; 3] = [&["-aH"], &["-aH", "--delete-before"], &["-aHn"]];
    let forms = [(false, false), (true, false), (false, true), (true, true)];
    let forms = BACKENDS
        .iter()
        .flat_map(|backend| forms.map(|form| (*backend, form)));
    for (backend, (elsewhere, crowded)) in forms {
        let scratch = Scratch::new();
        let link = |first: &Path, name: &str| {
            let name = scratch.join(name);
            fs::create_dir_all(name.parent().unwrap()).unwrap();
            fs::hard_link(first, name).unwrap();
        };
        for which in 0..FILES {
            // In each directory they come in another order.
            let first = scratch.write(&format!("src/a/{which:03}"), format!("{which}"));
            for name in places(which) {
                link(&first, &format!("src/{name}"));
            }
            // One of three is nowhere else, and one of three only in the last directory.
            if elsewhere && which % 3 != 0 {
                let place = &places(which)[which % 2];
                scratch.write(&format!("alt/{place}"), format!("{which}"));
            }
        }
        // These take all that there is for waiting: of a name that is not in the transfer nobody knows whether it will come.
        for which in (0..FILES).filter(|_| crowded) {
            let first = scratch.write(&format!("src/d/{which}/file"), "");
            link(&first, &format!("outside {which}"));
        }
        // And a file that is in each directory.
        let first = scratch.write("src/e/0/file", "");
        for which in (1..FILES).filter(|_| crowded) {
            link(&first, &format!("src/e/{which}/file"));
        }
        fs::create_dir_all(scratch.join("alt/d")).unwrap();
        date(scratch.path(), 1_500_000_000);
        for options in options {
            let _ = fs::remove_dir_all(scratch.join("dst"));
            fs::create_dir(scratch.join("dst")).unwrap();
            let arguments = [options, &["--link-dest=../alt", "src/", "dst"]].concat();
            flexsync(scratch.path(), backend, &arguments).expect(0);
            if options.contains(&"-aHn") {
                continue;
            }
            assert_eq!(groups(&scratch.join("dst")), groups(&scratch.join("src")));
            if crowded {
                // The first of them is new, and the others are there.
                fs::remove_file(scratch.join("dst/e/0/file")).unwrap();
                flexsync(scratch.path(), backend, &arguments).expect(0);
                assert_eq!(groups(&scratch.join("dst")), groups(&scratch.join("src")));
                assert_eq!(paths(&scratch.join("dst/d")).len(), 2 * FILES);
                continue;
            }
            let links = |path: &PathBuf| fs::metadata(path).unwrap().nlink();
            for which in 0..FILES {
                let found = elsewhere && which % 3 != 0;
                let path = scratch.join(format!("dst/{}", places(which)[0]));
                let wanted = if found { 4 } else { 3 };
                assert_eq!(links(&path), wanted, "{backend} {options:?}: {which}");
            }
        }
    }
}

#[test]
fn many_links_to_one_directory_open_it_once() {
    for backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.join("src/b")).unwrap();
        for which in 0..200 {
            let first = scratch.write(&format!("src/a/{which:03}"), "");
            fs::hard_link(first, scratch.join(format!("src/b/{:03}", 199 - which))).unwrap();
        }
        // What is there already is compared with what leads, whose directory is opened for that.
        for _ in 0..2 {
            let run = Command::new("sh")
                .args(["-c", "ulimit -n 100 && exec \"$@\"", "sh", FLEXSYNC])
                .args(["--backend", backend, "-aH", "src/", "dst"])
                .current_dir(scratch.path())
                .output()
                .unwrap();
            assert!(run.status.success(), "{backend}: {run:?}");
        }
        assert_eq!(groups(&scratch.join("dst")), groups(&scratch.join("src")));
    }
}

/// Files with several names, which another tree has as one file or each as its own, some of them with other attributes, and some
/// not at all.
fn with_names_elsewhere(scratch: &Scratch, one: bool) {
    for file in ["mode", "time", "text", "new"] {
        for tree in ["src", "alt"] {
            let first = scratch.write(&format!("{tree}/a {file}"), "same");
            for name in [format!("z {file}"), format!("d/{file}")] {
                let path = scratch.join(tree).join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                match tree == "src" || one {
                    true => fs::hard_link(&first, path).unwrap(),
                    false if file == "new" => {}
                    false => {
                        let text = if file == "text" { "text" } else { "same" };
                        fs::write(&path, text).unwrap();
                        let mode = if file == "mode" { 0o600 } else { 0o644 };
                        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
                    }
                }
            }
        }
    }
    date(scratch.path(), 1_500_000_000);
    for path in ["alt/z time", "alt/d/time"].map(|path| scratch.join(path)) {
        if !one {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
    }
}

#[test]
fn a_link_is_compared_with_the_file_of_its_name_in_another_tree_as_for_rsync() {
    for one in [false, true] {
        for (option, form) in [
            ("--copy-dest=../alt", "-aHi"),
            ("--copy-dest=../alt", "-aHii"),
            ("--copy-dest=../alt", "-aHiin"),
            ("--copy-dest=../alt", "-rHii"),
            ("--copy-dest=../alt", "-aH --info=name"),
            ("--link-dest=../alt", "-aHi"),
            ("--link-dest=../alt", "-aHii"),
            ("--link-dest=../alt", "-aH --info=name"),
        ] {
            let tree = |scratch: &Scratch| {
                with_names_elsewhere(scratch, one);
                fs::create_dir(scratch.join("dst")).unwrap();
                date(&scratch.join("dst"), 1_500_000_000);
            };
            let form: Vec<_> = form.split(' ').collect();
            does_as_rsync(tree, &[&form[..], &[option, "src/", "dst"]].concat());
        }
    }
}

#[test]
fn what_another_tree_has_is_not_created_by_a_link() {
    for (option, one, created) in [
        ("--copy-dest=../alt", false, 4),
        ("--copy-dest=../alt", true, 0),
        ("--link-dest=../alt", false, 8),
        ("--link-dest=../alt", true, 0),
    ] {
        let scratch = Scratch::new();
        with_names_elsewhere(&scratch, one);
        fs::create_dir(scratch.join("dst")).unwrap();
        let arguments = ["-aH", "--stats", option, "src/", "dst"];
        let run = flexsync(scratch.path(), "direct", &arguments).expect(0);
        let made = run.figure("Number of created files");
        assert_eq!(made, created, "{option} {one}");
        if let Some(theirs) = rsync(scratch.path(), &["-aH", "--stats", option, "src/", "new"]) {
            // The destination itself.
            let made = theirs.figure("Number of created files");
            assert_eq!(made, created, "{option} {one} {theirs:?}");
        }
    }
}
