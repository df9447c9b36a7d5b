// SPDX-License-Identifier: MIT OR Apache-2.0

//! Paths of sources as part of the transfer, lists of names, sources that do not exist, empty directories: as with rsync.
//! Exceptions:
//!
//! - Of a directory that is empty and named twice, rsync does not see that it is, and does not prune it.
//! - Symbolic links of other users that an argument names are followed, as rsync does with `--insecure-links`.
//! - Where a directory on the way to something is missing itself, `--delete-missing-args` deletes nothing in it.
//! - Of a directory whose way is blocked by a file that stays, rsync says that it was made,
//!   and of a symbolic link there it sets the time.
//! - rsync's figures count what is missing as a file, and do not count its deletion.

mod common;

use common::{
    BACKENDS, Random, Scratch, Times, assert_same, change, copy, does_as_rsync, does_as_rsync_on,
    flexsync, grow, lines, paths, rsync, same_lines, snapshot, whole_seconds,
};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn tree(scratch: &Scratch) {
    scratch.write("src/file", "file");
    scratch.write("src/sub/inner", "inner");
    scratch.write("src/sub/deep/file", "deep");
    scratch.write("src/hidden/.rules", "- file");
    scratch.write("src/hidden/file", "hidden by the rules beside it");
    scratch.write("other/src/sub/more", "more");
    fs::create_dir_all(scratch.join("src/empty/empty")).unwrap();
    symlink("sub", scratch.join("src/way")).unwrap();
    symlink("nowhere", scratch.join("src/dangling")).unwrap();
    fs::set_permissions(scratch.join("src/sub"), Permissions::from_mode(0o2750)).unwrap();
    common::date(scratch.path(), 1_000_000_000);
}

fn with_destination(scratch: &Scratch) {
    tree(scratch);
    fs::create_dir_all(scratch.join("dst/src/sub/deep/old")).unwrap();
    scratch.write("dst/src/sub/old", "old");
    scratch.write("dst/src/old", "old");
    scratch.write("dst/src/file", "another");
    scratch.write("dst/missing", "not in the source");
    scratch.write("dst/gone/in/it", "not in the source");
    scratch.write("dst/sub/gone", "not in the source");
    fs::create_dir(scratch.join("dst/vacant")).unwrap();
    common::date(&scratch.join("dst"), 1_100_000_000);
}

fn words(form: &str) -> Vec<&str> {
    form.split_whitespace().collect()
}

/// Both programs do and show the same, for each form and each tree on another backend.
fn as_rsync(trees: &[&dyn Fn(&Scratch)], forms: &[&str]) {
    let mut backends = BACKENDS.iter().cycle();
    for form in forms {
        for tree in trees {
            does_as_rsync_on(backends.next().unwrap(), tree, &words(form));
        }
    }
}

#[test]
fn paths_of_sources_are_made_at_the_destination() {
    let forms = [
        "-aiR src/sub/inner dst/",
        "-iR src/sub/inner dst",
        "-aiR src/sub dst",
        "-aiR src/sub/ dst",
        "-aiR src/sub/. dst",
        "-diR src/sub/ dst",
        "-diR src/sub dst",
        "-iR src/sub src/file dst",
        "-aiR ./src/./sub dst",
        "-aiR ./src/file src/sub/inner dst",
        "-aiR src/./ dst",
        "-aiR src//sub///inner dst",
        "-aiR src/sub/./deep/./file dst",
        "-aiR src/way/inner dst",
        "-aiR src/way/ dst",
        "-aiR src/way dst",
        "-aiR src/way/deep src/way dst",
        "-aiR src/dangling/ src/file/ dst",
        "-iR src/dangling dst",
        "-aiR src/sub/inner other/./src/sub/more src/file dst",
        "-aiR other/./src/sub src/sub/inner dst",
        "-aiR src/sub/inner other/./src dst",
        "-aiR src/sub src/./sub dst",
        "-aiRn src/sub/inner dst",
        "-aiR src/missing src/file missing/x src/file/x dst",
        "-aiR src/missing dst",
        "-aiR --ignore-missing-args src/missing missing/x src/file dst",
        "-aiR --existing src/sub/inner src/file dst",
        "-aiR --delete src/sub/ src/file dst",
        "-aiR --delete ./src/sub dst",
        "-aiR --delete src/sub/deep dst",
        "-diR --delete src/sub/ dst",
        "-aiR --force src/sub dst",
        "-aiR src/file dst",
        "-aiRb src/file dst",
        "-aR --list-only src/sub/inner src/empty dst",
        "-aR ./src/missing dst",
        "-aiR --exclude=inner ./src/sub/inner ./src/file dst",
        "-a --out-format=%i|%n|%f -R src/sub ./src/file dst",
    ];
    as_rsync(&[&tree, &with_destination], &forms);
}

#[test]
fn an_absolute_path_is_made_as_a_whole() {
    let scratch = Scratch::new();
    tree(&scratch);
    let source = scratch.join("src/sub");
    let source = source.to_str().unwrap();
    for options in ["-ai", "-aii", "-a --list-only", "-ain --no-implied-dirs"] {
        let run = |program: &dyn Fn(&[&str]) -> Option<common::Run>| {
            let _ = fs::remove_dir_all(scratch.join("dst"));
            program(&[&words(options), &["-R", source, "dst"][..]].concat())
        };
        let Some(theirs) = run(&|arguments| rsync(scratch.path(), arguments)) else {
            return;
        };
        let mine = run(&|arguments| Some(flexsync(scratch.path(), "direct", arguments)));
        same_lines(&mine.unwrap(), &theirs, options);
    }
}

#[test]
fn filter_rules_hide_what_is_named_not_what_leads_to_it() {
    let forms = [
        "-aiR --exclude=src src/sub/inner dst",
        "-aiR --exclude=/src/sub src/sub/inner dst",
        "-aiR --exclude=inner src/sub/inner dst",
        "-aiR --exclude=inner src/sub/inner src/file dst",
        "-aiR --exclude=sub src src/sub/inner dst",
        "-aiR --exclude=/src/sub/inner src/sub dst",
        "-aiR --exclude=/sub/inner src/./sub dst",
        "-aiR --filter=:_.rules src/hidden/file dst",
        "-aiR --filter=:_.rules src/hidden dst",
        "-aiR --filter=:_.rules src/hidden/ dst",
        "-aiR --filter=:_/.rules src/hidden/ dst",
        "-aiR --delete --exclude=old src/sub dst",
    ];
    as_rsync(&[&tree, &with_destination], &forms);
}

#[test]
fn directories_that_lead_to_a_source_can_be_left_alone() {
    let prepare = |scratch: &Scratch| {
        with_destination(scratch);
        fs::remove_dir_all(scratch.join("dst/src/sub")).unwrap();
        scratch.write("dst/real/inner", "was reached by a link");
        symlink("../real", scratch.join("dst/src/sub")).unwrap();
        common::date(&scratch.join("dst"), 1_100_000_000);
    };
    let forms = [
        "-aiR --no-implied-dirs src/sub/deep/file dst",
        "-aiR --no-implied-dirs src/sub/inner src/file dst",
        "-aiR --no-implied-dirs src/sub/ dst",
        "-aiR --no-implied-dirs src/sub dst",
        "-aiR --no-implied-dirs src/sub/deep src/sub dst",
        "-aiR --no-implied-dirs ./src/file dst",
        "-aiRn --no-implied-dirs src/sub/inner dst",
        "-aiR --no-implied-dirs --delete src/sub/deep src/file dst",
        "-aiR --no-implied-dirs --existing src/sub/inner src/file dst",
        "-aiiR --no-implied-dirs src/sub/inner src/file dst",
        "-aiR --implied-dirs src/sub/inner dst",
    ];
    as_rsync(&[&tree, &with_destination, &prepare], &forms);
}

#[test]
fn a_link_on_the_way_is_followed_only_within_the_destination() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        tree(&scratch);
        let outside = scratch.write("outside/inner", "outside");
        fs::create_dir_all(scratch.join("dst/src")).unwrap();
        for target in ["../../outside", "/proc/self/cwd/outside"] {
            symlink(target, scratch.join("dst/src/sub")).unwrap();
            let arguments = words("-aR --no-implied-dirs src/sub/inner dst");
            flexsync(scratch.path(), backend, &arguments).expect(23);
            assert_eq!(fs::read(&outside).unwrap(), b"outside", "{target}");
            fs::remove_file(scratch.join("dst/src/sub")).unwrap();
        }
        // What is no directory is not replaced by one that only leads to something.
        scratch.write("dst/src/sub", "a file");
        let arguments = words("-aR --no-implied-dirs src/sub/inner dst");
        flexsync(scratch.path(), backend, &arguments).expect(23);
        assert_eq!(fs::read(scratch.join("dst/src/sub")).unwrap(), b"a file");
    }
}

#[test]
fn a_path_that_leads_upwards_is_refused() {
    let scratch = Scratch::new();
    with_destination(&scratch);
    for source in ["..", "src/..", "src/../src/file", "src/./sub/../file"] {
        let arguments = ["-aR", source, "dst"];
        let run = flexsync(scratch.path(), "direct", &arguments).expect(1);
        assert!(run.stderr.contains("write /./"), "{}", run.stderr);
        if let Some(run) = rsync(scratch.path(), &arguments) {
            run.expect(1);
        }
    }
    flexsync(
        &scratch.join("src"),
        "direct",
        &["-aR", "../src/./file", "../new"],
    )
    .expect(0);
}

/// Both programs read the same list of names.
fn reads_as_rsync(list: &[u8], form: &str) {
    let with_list = |prepare: fn(&Scratch)| {
        move |scratch: &Scratch| {
            prepare(scratch);
            scratch.write("list", list);
        }
    };
    as_rsync(&[&with_list(tree), &with_list(with_destination)], &[form]);
}

#[test]
fn names_are_read_from_a_list() {
    let lists: [&[u8]; 16] = [
        b"file\nsub/inner\n",
        b"file\n# comment\n;comment\n\nsub\r\n",
        b"sub/",
        b"sub\nsub/deep\n",
        b"/sub/inner\n//file\n",
        b"../src/file\nsub/../../file\nsub/../sub/inner\n",
        b"./file\n",
        b"sub/./inner\nfile",
        b"missing\nfile\nmissing/x\n",
        b"",
        b"file\nfile\n",
        b".\n",
        b"way/inner\nway\n",
        b"way/\n",
        b" file\nh:x\nfile/\n",
        b"empty/empty\nempty\n",
    ];
    for list in lists {
        for form in [
            "-ai --files-from=list src/ dst",
            "-air --delete --files-from=list src dst",
            "-i --files-from=list --ignore-missing-args src dst/",
        ] {
            reads_as_rsync(list, form);
        }
    }
    let forms: [(&[u8], &str); 10] = [
        (b"file\0sub/inner\0", "-i0 --files-from=list src dst"),
        (b"#x\0file", "-i0 --files-from=list src dst"),
        (
            b"sub/deep/file\nsub/inner\n",
            "-i --no-R --files-from=list src dst/",
        ),
        (b"sub/deep/\nsub\n", "-i --no-R --files-from=list src dst/"),
        (b"sub\n", "-i --no-d --files-from=list src dst"),
        (
            b"sub/inner",
            "-i --no-implied-dirs --files-from=list src dst",
        ),
        (b"sub/inner", "-i --exclude=sub --files-from=list src dst"),
        (b"file", "-i --exclude=file --files-from=list src dst"),
        (b"sub", "-r -a -i --files-from=list src dst"),
        (b"sub\nempty", "-a -r --no-r -i --files-from=list src dst"),
    ];
    for (list, form) in forms {
        reads_as_rsync(list, form);
    }
}

#[test]
fn a_list_can_be_the_standard_input() {
    for &backend in BACKENDS.iter() {
        let scratch = Scratch::new();
        tree(&scratch);
        let mut child = Command::new(common::FLEXSYNC)
            .current_dir(scratch.path())
            .args(["--backend", backend, "-a", "--files-from=-", "src", "dst/"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"file\nsub/in").unwrap();
        stdin.write_all(b"ner\n").unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
        assert!(scratch.join("dst/file").exists() && scratch.join("dst/sub/inner").exists());
        assert!(!scratch.join("dst/sub/deep").exists());
    }
}

#[test]
fn a_list_that_cannot_be_used_is_refused_before_anything_is_done() {
    let scratch = Scratch::new();
    tree(&scratch);
    scratch.write("list", "file");
    for (form, status) in [
        ("-a --files-from=none src dst", 1),
        ("-a --files-from=list src other dst", 1),
        ("-a --files-from=list missing dst", 3),
        ("-a --files-from=list src/file dst", 3),
    ] {
        if let Some(run) = rsync(scratch.path(), &words(form)) {
            assert_eq!(run.status, status, "{form}");
        }
        let run = flexsync(scratch.path(), "direct", &words(form)).expect(status);
        assert!(
            !run.stderr.is_empty() && !scratch.join("dst").exists(),
            "{form}"
        );
    }
}

#[test]
fn what_sources_name_and_is_missing_is_deleted() {
    let forms = [
        "-ai --delete-missing-args missing src/file dst",
        "-ai --delete-missing-args vacant src/file dst",
        "-ai --delete-missing-args gone/ src/file dst",
        "-ai --delete-missing-args --delete gone src/file dst",
        "-ai --delete-missing-args --force gone src/file dst",
        "-ain --delete-missing-args missing vacant src/file dst",
        "-ai --delete-missing-args missing dst",
        "-ai --delete-missing-args none missing/x src/file dst",
        "-aiR --delete-missing-args src/old none/x src/file dst",
        "-aiR --delete-missing-args --no-implied-dirs none/x src/file dst",
        "-ai --delete-missing-args --exclude=missing missing src/file dst",
        "-ai --delete-missing-args --filter=P_missing missing src/file dst",
        "-ai --delete-missing-args --filter=H_missing missing src/file dst",
        "-ai --delete-missing-args -b missing vacant src/file dst",
        "-a --delete-missing-args missing vacant src/file dst --out-format=%n",
        "-ai --delete-missing-args --existing missing dst",
        "-ai --delete-missing-args --delete missing other src/ dst",
        "--list-only --delete-missing-args missing dst",
    ];
    as_rsync(&[&tree, &with_destination], &forms);
    reads_as_rsync(
        b"missing\nsub/gone\nfile\nvacant/\n",
        "-ai --delete-missing-args --files-from=list src dst",
    );
}

#[test]
fn what_is_missing_and_full_stays_without_force() {
    let scratch = Scratch::new();
    with_destination(&scratch);
    for options in ["-ai", "-ain"] {
        let form = format!("{options} --delete-missing-args gone src/file dst");
        let run = flexsync(scratch.path(), "direct", &words(&form)).expect(0);
        let said = "cannot delete non-empty directory: gone\n";
        assert!(run.stdout.contains(said), "{}", run.stdout);
        assert!(scratch.join("dst/gone/in/it").exists());
    }
    let form = "-ai --delete-missing-args --force --max-delete=0 gone missing src/file dst";
    flexsync(scratch.path(), "direct", &words(form)).expect(25);
    assert!(scratch.join("dst/gone/in/it").exists() && scratch.join("dst/missing").exists());
}

fn chains(scratch: &Scratch) {
    scratch.write("src/top", "top");
    scratch.write("src/a/b/one.o", "one");
    scratch.write("src/d/e/two", "two");
    fs::create_dir_all(scratch.join("src/a/b/c/d")).unwrap();
    fs::create_dir_all(scratch.join("src/empty/empty")).unwrap();
    fs::create_dir(scratch.join("src/links")).unwrap();
    symlink("x", scratch.join("src/links/x")).unwrap();
    common::date(scratch.path(), 1_000_000_000);
}

#[test]
fn directories_without_files_are_pruned() {
    let with_destination = |scratch: &Scratch| {
        chains(scratch);
        fs::create_dir_all(scratch.join("dst/a/b/c/x")).unwrap();
        fs::create_dir_all(scratch.join("dst/empty/x")).unwrap();
        scratch.write("dst/d/e/two", "old");
        common::date(&scratch.join("dst"), 1_100_000_000);
    };
    let forms = [
        "-aim src/ dst",
        "-aim --exclude=*.o src/ dst",
        "-aim --exclude=*.o --exclude=two src/ dst",
        "-aim src/links src/a src/empty dst",
        "-aim src/empty dst/",
        "-aim src/empty/ dst",
        "-dim src/ dst",
        "-aimR src/a/b/c src/d dst",
        "-aimR src/a/b src/d/./e dst",
        "-aimR --no-implied-dirs src/a/b/c src/d/e dst",
        "-aim --filter=P_c src/ dst",
        "-aim --filter=P_b/ --exclude=*.o src/ dst",
        "-aim --filter=R_c/ src/ dst",
        "-aim --include=*/ --include=two --exclude=* src/ dst",
        "-aim --min-size=1000 src/ dst",
        "-aim --delete src/ dst",
        "-aim --delete --filter=P_c src/ dst",
        "-rim src/ dst",
        "-aimc src/ dst",
        "-aimn src/ dst",
        "-am --list-only src/",
        "-am --remove-source-files src/ dst",
    ];
    as_rsync(&[&chains, &with_destination], &forms);
}

#[test]
fn a_list_of_many_directories_needs_few_open_files() {
    let scratch = Scratch::new();
    let mut list = String::new();
    for number in 0..400 {
        scratch.write(&format!("src/d{number}/e/file"), "x");
        list += &format!("d{number}/e/file\n");
        fs::create_dir_all(scratch.join(format!("src/empty{number}"))).unwrap();
        symlink(format!("d{number}"), scratch.join(format!("src/l{number}"))).unwrap();
        list += &format!("l{number}/e/file\n");
    }
    scratch.write("list", list);
    for options in ["-a", "-am", "-a --no-implied-dirs", "-a -r --delete"] {
        let script = format!(
            "ulimit -n 64 && exec {} --backend {} {options} --files-from=list src dst",
            common::FLEXSYNC,
            common::tested("direct"),
        );
        let mut command = Command::new("sh");
        command.current_dir(scratch.path()).args(["-c", &script]);
        common::Run::from(command.output().unwrap()).expect(0);
        for number in 0..400 {
            assert!(scratch.join(format!("dst/l{number}/e/file")).exists());
        }
        fs::remove_dir_all(scratch.join("dst")).unwrap();
    }
}

/// A random way to name something below `src` or `other`.
fn spelling(path: &Path, random: &mut Random) -> OsString {
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    if random.chance(20) {
        let slashes: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] == b'/').collect();
        let at = *random.pick(&slashes);
        bytes.splice(at..=at, *b"/./");
    } else if random.chance(10) {
        bytes.splice(..0, *b"./");
    }
    if random.chance(20) {
        bytes.push(b'/');
    }
    if random.chance(5) {
        bytes.extend_from_slice(b"-missing");
    }
    OsString::from_vec(bytes)
}

#[test]
fn random_sources_and_options_do_what_they_do_for_rsync() {
    const OPTIONS: [&str; 19] = [
        "--no-implied-dirs",
        "-m",
        "--delete",
        "--ignore-missing-args",
        "--delete-missing-args",
        "--force",
        "--existing",
        "--ignore-existing",
        "-n",
        "-u",
        "-c",
        "-b",
        "-O",
        "--no-t",
        "--no-p",
        "--no-l",
        "--exclude=n1*",
        "--filter=P_n2*",
        "--max-size=1000",
    ];
    let mut reached: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..80 {
        let backend = BACKENDS[seed as usize % BACKENDS.len()];
        let mut random = Random::new(7000 + seed);
        let scratch = Scratch::new();
        for (name, size) in [("src", 50), ("other", 20)] {
            grow(&scratch.join(name), &mut random, size);
            whole_seconds(&scratch.join(name));
        }
        fs::create_dir(scratch.join("mine")).unwrap();
        if random.chance(70) {
            copy(&scratch.join("src"), &scratch.join("mine/src"));
            change(&scratch.join("mine/src"), &mut random);
        }
        if random.chance(30) {
            copy(&scratch.join("src"), &scratch.join("mine/other"));
        }
        whole_seconds(&scratch.join("mine"));
        copy(&scratch.join("mine"), &scratch.join("theirs"));

        let below = |path: &Path| path.strip_prefix(scratch.path()).unwrap().to_owned();
        let mut all: Vec<_> = paths(&scratch.join("src"))
            .iter()
            .map(|path| below(path))
            .collect();
        all.extend(paths(&scratch.join("other")).iter().map(|path| below(path)));
        let count = 1 + random.below(5);
        let sources: Vec<_> = (0..count)
            .map(|_| spelling(random.pick::<PathBuf>(&all), &mut random))
            .collect();
        let mut options = vec![*random.pick(&["-a", "-a", "-rl", "-d", "-rlt", "-l"]), "-i"];
        for option in OPTIONS {
            let percent = if option.starts_with("--delete") {
                40
            } else {
                12
            };
            if random.chance(percent) {
                options.push(option);
            }
        }
        // Nothing is deleted without directories.
        if options[0] == "-l" {
            options.retain(|option| *option != "--delete");
        }
        let listed = random.chance(40);
        let mut arguments: Vec<OsString> = options.iter().map(OsString::from).collect();
        if listed {
            let list = sources
                .iter()
                .map(|name| name.as_bytes())
                .collect::<Vec<_>>();
            scratch.write("list", list.join(&0));
            arguments.extend(["-0", "--files-from=list", "."].map(OsString::from));
            options.push("--files-from");
        } else {
            arguments.push("-R".into());
            arguments.extend(sources.iter().cloned());
        }
        let run = |to: &str| [&arguments[..], &[OsString::from(to)]].concat();
        let insecure = [&[OsString::from("--insecure-links")], &run("theirs")[..]].concat();
        let Some(theirs) = rsync(scratch.path(), &insecure) else {
            return;
        };
        let mine = flexsync(scratch.path(), backend, &run("mine"));
        let what = format!("seed {seed}, {backend}, {arguments:?} {sources:?}");
        // Of a directory whose way is blocked rsync says that it was made.
        let blocked = theirs.stderr.contains("[generator]");
        if !blocked {
            same_lines(&mine, &theirs, &what);
        }
        // Directories whose times are not kept, or that are not in the file list, have the time at which they were made.
        let any_time = ["--no-t", "-O", "-b", "--no-implied-dirs"];
        let any_time = any_time.iter().any(|option| options.contains(option));
        let times = match any_time || !options[0].contains(['a', 't']) {
            true => Times::Ignore,
            false => Times::Seconds,
        };
        let seen = |root: &str| {
            let mut seen = snapshot(&scratch.join(root), times);
            // Nobody sets the time of the root where it takes no part.
            seen.remove(Path::new(""));
            seen
        };
        if !blocked {
            assert_same(&seen("mine"), &seen("theirs"), &what);
        }
        for option in options {
            *reached.entry(option.to_owned()).or_default() += 1;
        }
        for line in lines(&theirs) {
            let kind: String = line.chars().take(2).collect();
            *reached.entry(kind).or_default() += 1;
        }
        *reached
            .entry(format!("exit {}", theirs.status))
            .or_default() += 1;
    }
    println!("reached: {reached:?}");
    for outcome in ["*d", ">f", "cd", "cL", ".d", "exit 0", "exit 23"] {
        assert!(reached.contains_key(outcome), "no {outcome} in {reached:?}");
    }
    for option in OPTIONS {
        assert!(reached.contains_key(option), "no {option} in {reached:?}");
    }
}

/// It is left out by its name then, `.`, unlike a source whose contents are meant.
#[test]
fn rules_may_leave_out_the_directory_that_a_path_begins_at() {
    let prepare = |scratch: &Scratch| {
        scratch.write("src/dir/file", "contents");
        fs::create_dir(scratch.join("dst")).unwrap();
        fs::set_permissions(scratch.join("dst"), Permissions::from_mode(0o711)).unwrap();
    };
    for rule in ["- *", "- .", "- */", "- ?", "- /.", "- .*", "- file"] {
        for path in ["./src/dir", "./src/.", "./missing", "src/dir"] {
            does_as_rsync(prepare, &["-rpi", "-R", "-f", rule, path, "dst/"]);
        }
    }
}
