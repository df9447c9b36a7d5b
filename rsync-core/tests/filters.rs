// SPDX-License-Identifier: MIT OR Apache-2.0

//! Filter rules: random trees and random lists of rules do what they do in rsync, and what is refused.

mod common;

use common::child::{nobodys, output};
use common::{
    BACKENDS, Random, Run, Scratch, Times, assert_same, does_as_rsync, flexsync, rsync, snapshot,
};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

const NAMES: [&str; 10] = ["a", "b", "c", "x.o", "y.o", "core", "d", "e", ".hid", "a b"];

/// Every rule and modifier that the random lists have to show an effect of.
const PROMISED: [&str; 33] = [
    "-",
    "+",
    "H",
    "S",
    "P",
    "R",
    "!",
    ".",
    ":",
    "-C",
    "-/",
    "-!",
    "-s",
    "-r",
    "-p",
    "+/",
    "+!",
    "+s",
    "+r",
    ".-",
    ".+",
    ".C",
    ".e",
    ".w",
    ":-",
    ":+",
    ":C",
    ":e",
    ":n",
    ":w",
    ":s",
    ":/",
    "--exclude-from",
];

fn pattern(random: &mut Random) -> String {
    let (one, two) = (*random.pick(&NAMES), *random.pick(&NAMES));
    match random.below(22) {
        0..4 => one.to_owned(),
        4 => format!("{one}/"),
        5 => format!("/{one}"),
        6 => format!("/{one}/"),
        7 => format!("{one}/{two}"),
        8 => format!("/{one}/{two}"),
        9 => "*.o".to_owned(),
        10 => "[a-c]".to_owned(),
        11 => "[!a-e]*".to_owned(),
        12 => "?".to_owned(),
        13 => format!("{one}/*"),
        14 => format!("/{one}/**"),
        15 => format!("{one}/***"),
        16 => format!("**/{one}"),
        17 => format!("{one}/*/{two}"),
        18 => format!("{one}**{two}"),
        19 => "*/".to_owned(),
        20 => "\\a*".to_owned(),
        _ => "*".to_owned(),
    }
}

/// A rule as it stands in a file.
fn line(random: &mut Random, sided: bool) -> String {
    let pattern = pattern(random);
    let rule = match random.below(if sided { 14 } else { 9 }) {
        0..4 => "-",
        4..7 => "+",
        7 => "-p",
        8 if random.chance(30) => return "!".to_owned(),
        8 => "-!",
        9 => "H",
        10 => "S",
        11 => "P",
        12 => "R",
        _ => "-r",
    };
    format!("{rule} {pattern}")
}

/// A rule as it stands in a file that is divided at white space. The manual allows "- x" there, rsync 3.5 refuses it.
fn word(random: &mut Random) -> String {
    line(random, false).replacen(' ', "_", 1).replace(' ', "?")
}

fn lines(random: &mut Random, line: impl Fn(&mut Random) -> String, separator: &str) -> String {
    let count = 1 + random.below(3);
    let lines: Vec<_> = (0..count).map(|_| line(random)).collect();
    lines.join(separator) + separator
}

/// A rule of a command line that has what a label of [`PROMISED`] says. Files that it may name are made in `dir`.
fn rule(random: &mut Random, dir: &Path, number: usize, label: &str) -> Vec<String> {
    let text = pattern(random);
    let file = |contents: String| {
        let path = dir.join(format!("rules{number}"));
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let root = || fs::canonicalize(dir).unwrap();
    let without_space = |random: &mut Random| pattern(random).replace(' ', "?");
    let rule = match label {
        "+" if random.chance(30) => return vec![format!("--include={text}")],
        "--exclude-from" => {
            let lines = lines(random, pattern, "\n") + "# comment\n; comment\n+ a\n";
            return vec![format!("--exclude-from={}", file(lines))];
        }
        "!" | "-C" | ":C" => label.to_owned(),
        "S" => format!("show_{text}"),
        "R" => format!("risk {text}"),
        "-/" => format!("-/ {}/*/{text}", root().display()),
        "+/" => format!("+,/ {}/**{text}", root().display()),
        "." => {
            let lines = lines(random, |random| line(random, true), "\n");
            format!(". {}", file(lines))
        }
        ".-" => format!(".- {}", file(lines(random, pattern, "\n"))),
        ".+" => format!("merge,+ {}", file(lines(random, pattern, "\n"))),
        ".C" => format!(".C {}", file(lines(random, without_space, " "))),
        ".e" => {
            // The file's own name, which is in the tree too.
            let path = dir.join("merged/a");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "- nothing\n").unwrap();
            format!(".e {}", path.display())
        }
        ".w" => {
            let words = lines(random, |random| format!("-_{}", without_space(random)), " ");
            format!(".w {}", file(words))
        }
        ":-" => ":- .plain".to_owned(),
        ":+" => "dir-merge,+ .plain".to_owned(),
        ":s" => ":s- .plain".to_owned(),
        ":w" => ":w .words".to_owned(),
        ":/" => ": /.rsync-filter".to_owned(),
        ":" | ":e" | ":n" => format!("{label} .rules"),
        _ => format!("{label} {text}"),
    };
    vec!["-f".to_owned(), rule]
}

/// A time that no other file has to the second: rsync compares no less.
fn set_time(path: &Path, random: &mut Random) {
    let time = Duration::from_secs(1_000_000_000 + random.next() % 100_000_000);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + time).unwrap();
}

/// A tree with few names, so that rules match, and with files of rules, of which `root` has
/// the one called `sure`.
fn plant(root: &Path, random: &mut Random, depth: usize, sure: &str) {
    fs::create_dir_all(root).unwrap();
    for name in NAMES {
        let path = root.join(name);
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match random.below(10) {
            0..4 => {}
            4..6 if depth > 0 => plant(&path, random, depth - 1, ""),
            6 => symlink("a", &path).unwrap(),
            _ => {
                fs::write(&path, random.bytes(8)).unwrap();
                set_time(&path, random);
            }
        }
    }
    let rules: [(&str, String); 5] = [
        (".rules", lines(random, |random| line(random, true), "\n")),
        (".plain", lines(random, pattern, "\n")),
        (
            ".rsync-filter",
            lines(random, |random| line(random, false), "\n"),
        ),
        (
            ".cvsignore",
            lines(random, |random| pattern(random).replace(' ', "?"), "\n"),
        ),
        (".words", lines(random, word, " ")),
    ];
    for (name, contents) in rules {
        if name == sure || random.chance(25) {
            let path = root.join(name);
            fs::write(&path, contents).unwrap();
            set_time(&path, random);
        }
    }
}

fn status_and_tree(run: &Run, root: &Path) -> (i32, Vec<String>) {
    let tree = snapshot(root, Times::Ignore);
    let names = tree.keys().map(|path| path.display().to_string());
    (run.status, names.collect())
}

/// Copies a tree as far as it is compared, and without another process, many of which these tests have.
fn duplicate(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        let found = fs::symlink_metadata(&path).unwrap();
        if found.is_dir() {
            duplicate(&path, &copy);
        } else if found.is_symlink() {
            symlink(fs::read_link(&path).unwrap(), &copy).unwrap();
        } else {
            fs::copy(&path, &copy).unwrap();
            let file = fs::File::options().write(true).open(&copy).unwrap();
            file.set_modified(found.modified().unwrap()).unwrap();
        }
    }
}

/// The rule that a round judges.
fn judged(seed: u64) -> &'static str {
    PROMISED[seed as usize % PROMISED.len()]
}

/// The file that a rule reads in the directories of the transfer.
fn file_of(label: &str) -> &'static str {
    match label {
        ":" | ":e" | ":n" => ".rules",
        ":-" | ":+" | ":s" => ".plain",
        ":w" => ".words",
        ":C" => ".cvsignore",
        ":/" => ".rsync-filter",
        _ => "",
    }
}

/// One random list on one random pair of trees; adds the rule that it judges to `reached`, if that mattered. False if
/// there is no rsync.
fn round(seed: u64, reached: &mut BTreeSet<&'static str>) -> bool {
    let scratch = Scratch::new();
    let mut random = Random::new(seed);
    let label = judged(seed);
    plant(&scratch.join("src"), &mut random, 2, file_of(label));
    duplicate(&scratch.join("src"), &scratch.join("old"));
    for path in common::paths(&scratch.join("old")) {
        if random.chance(20) && fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir()) {
            fs::remove_file(&path).unwrap();
        }
    }
    plant(&scratch.join("old"), &mut random, 2, file_of(label));
    if label == ":/" || random.chance(20) {
        fs::write(
            scratch.join(".rsync-filter"),
            lines(&mut random, |random| line(random, false), "\n"),
        )
        .unwrap();
    }
    let mut list = vec![rule(&mut random, scratch.path(), 0, label)];
    for number in 1..1 + random.below(4) {
        let label = match random.below(10) {
            0..2 => "-",
            2 => "+",
            _ => *random.pick(&PROMISED),
        };
        list.push(rule(&mut random, scratch.path(), number, label));
    }
    let given = |rule: &str| vec!["-f".to_owned(), rule.to_owned()];
    // What shows something has an effect where else all is hidden.
    let shows = label.contains(['+', 'S', 'R']);
    if shows || random.chance(40) {
        list.push(given(match random.below(10) {
            0..7 => "- *",
            _ => "-r *",
        }));
    }
    // What is dropped must have been there.
    let mut index = 0;
    if label == "!" {
        list.insert(0, given("- [a-e]*"));
        index = 1;
    }
    let mut options = vec!["-rlt".to_owned()];
    let receives = label.contains(['P', 'R', 'r']);
    match random.below(8) {
        0..5 => options.push("--delete".to_owned()),
        5 => options.push("--delete-excluded".to_owned()),
        _ if receives => options.push("--delete".to_owned()),
        _ => {}
    }
    if random.chance(10) {
        options.push("-C".to_owned());
    }
    if random.chance(10) {
        options.push("-FF".to_owned());
    }
    let source = if random.chance(75) { "src/" } else { "src" };
    let arguments = |left_out: Option<usize>, to: &str| -> Vec<String> {
        let rules = list.iter().enumerate();
        let rules = rules.filter(|(index, _)| Some(*index) != left_out);
        let rules = rules.flat_map(|(_, rule)| rule.clone());
        let paths = [source.to_owned(), to.to_owned()];
        options.iter().cloned().chain(rules).chain(paths).collect()
    };
    // For the directory itself, one level deeper.
    let inner = if source == "src" { "src" } else { "" };
    let make = |name: &str| duplicate(&scratch.join("old"), &scratch.join(name).join(inner));
    // Absolute patterns see the destinations' names: of one length, and matched by no name of a pattern.
    make("D1");
    make("D2");
    let Some(theirs) = rsync(scratch.path(), &arguments(None, "D1")) else {
        return false;
    };
    let backend = BACKENDS[seed as usize % BACKENDS.len()];
    let mine = flexsync(scratch.path(), backend, &arguments(None, "D2"));
    let what = format!(
        "seed {seed}, {:?}\n{}\n{}",
        arguments(None, "dst"),
        mine.stderr,
        theirs.stderr
    );
    assert_eq!(mine.status, theirs.status, "{what}");
    assert_same(
        &snapshot(&scratch.join("D2"), Times::Ignore),
        &snapshot(&scratch.join("D1"), Times::Ignore),
        &what,
    );
    if !reached.contains(label) {
        make("D3");
        let without = flexsync(scratch.path(), backend, &arguments(Some(index), "D3"));
        let with = status_and_tree(&mine, &scratch.join("D2"));
        if with != status_and_tree(&without, &scratch.join("D3")) {
            reached.insert(label);
        }
    }
    true
}

#[test]
fn random_lists_of_rules_do_what_they_do_in_rsync() {
    const ROUNDS: u64 = 3 * PROMISED.len() as u64;
    const MOST: u64 = 40 * PROMISED.len() as u64;
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("FLEXSYNC_FILTER_SEED").unwrap_or(0);
    let rounds = number("FLEXSYNC_FILTER_ROUNDS").unwrap_or(ROUNDS);
    let mut reached = BTreeSet::new();
    let mut done = 0;
    // A rule that never mattered gets more rounds before it counts as missed.
    for step in 0..rounds.max(MOST) {
        let seed = first.wrapping_add(step);
        if step >= rounds && (rounds < ROUNDS || reached.contains(judged(seed))) {
            continue;
        }
        if !round(seed, &mut reached) {
            return;
        }
        done += 1;
    }
    if rounds < ROUNDS {
        return;
    }
    let missed: Vec<_> = PROMISED
        .iter()
        .filter(|label| !reached.contains(**label))
        .collect();
    let shown: Vec<_> = reached.iter().copied().collect();
    let shown = shown.join(" ");
    let line = format!("filters: {done} lists as rsync; rules that mattered: {shown}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(missed.is_empty(), "never mattered: {missed:?}");
}

fn sync(scratch: &Scratch, arguments: &[&str]) -> Run {
    flexsync(scratch.path(), "direct", arguments)
}

fn names(scratch: &Scratch, dir: &str) -> Vec<String> {
    let paths = common::paths(&scratch.join(dir));
    let root = scratch.join(dir);
    let name = |path: std::path::PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
    paths.into_iter().map(name).collect()
}

#[test]
fn what_is_no_rule_or_no_file_is_refused_before_anything_is_done() {
    let scratch = Scratch::new();
    scratch.write("src/file", "x");
    scratch.write("bad", "- fine\nnonsense here\n");
    scratch.write("endless", ". endless\n");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["-f", "x bar"], 1, "must begin with"),
        (&["-f", "-foo bar"], 1, "'f' does not go with"),
        (&["-f", "P"], 1, "missing"),
        (&["-f", ": a/b"], 1, "by its name only"),
        (&["--exclude", "- "], 1, "missing"),
        (&["-f", ". bad"], 1, "\"bad\", line 2: \"nonsense here\""),
        (&["-f", ". endless"], 1, "without end"),
        (&["-f", "merge nowhere"], 11, "cannot read \"nowhere\""),
        (&["--exclude-from", "nowhere"], 11, "ENOENT"),
    ];
    for (options, status, said) in cases {
        let arguments = [&["-a"], options, &["src/", "dst"]].concat();
        let run = sync(&scratch, &arguments).expect(status);
        assert!(run.stderr.contains(said), "{options:?}: {}", run.stderr);
        assert!(!scratch.join("dst").exists(), "{options:?}");
    }
}

#[test]
fn a_wrong_file_of_rules_keeps_its_directory_out_and_stops_deletion() {
    let make_wrong: [fn(&Path); 4] = [
        |path| fs::write(path, "- a\nnonsense\n").unwrap(),
        |path| fs::write(path, ". other\n").unwrap(),
        |path| symlink("file", path).unwrap(),
        |path| fs::write(path, vec![b'x'; (1 << 20) + 1]).unwrap(),
    ];
    for (make, &backend) in make_wrong.iter().zip(BACKENDS.iter().cycle()) {
        let scratch = Scratch::new();
        scratch.write("src/file", "x");
        scratch.write("src/sub/secret", "x");
        scratch.write("dst/extra", "x");
        make(&scratch.join("src/sub/.rules"));
        let run = flexsync(
            scratch.path(),
            backend,
            &["-a", "--delete", "-f", ": .rules", "src/", "dst"],
        )
        .expect(23);
        assert!(run.stderr.contains("src/sub/.rules"), "{}", run.stderr);
        assert_eq!(names(&scratch, "dst"), ["extra", "file", "sub"]);

        // On the other side: nothing there is deleted.
        let scratch = Scratch::new();
        scratch.write("src/sub/inner", "x");
        scratch.write("dst/sub/extra", "x");
        scratch.write("dst/sub/file", "x");
        scratch.write("dst/extra", "x");
        make(&scratch.join("dst/sub/.rules"));
        let run = flexsync(
            scratch.path(),
            backend,
            &["-a", "--delete", "-f", ": .rules", "src/", "dst"],
        )
        .expect(23);
        assert!(run.stderr.contains("dst/sub/.rules"), "{}", run.stderr);
        let left = ["sub", "sub/.rules", "sub/extra", "sub/file", "sub/inner"];
        assert_eq!(names(&scratch, "dst"), left);
    }
}

#[test]
fn a_directory_with_something_protected_in_it_stays_and_is_named() {
    let scratch = Scratch::new();
    scratch.write("src/file", "x");
    scratch.write("dst/gone/kept.o", "x");
    scratch.write("dst/gone/extra", "x");
    scratch.write("dst/way/kept.o", "x");
    let arguments = ["-a", "--delete", "-f", "P *.o", "src/", "dst"];
    let run = sync(&scratch, &arguments).expect(0);
    let said = "cannot delete non-empty directory: gone\n";
    assert!(run.stdout.contains(said), "{}", run.stdout);
    let left = ["file", "gone", "gone/kept.o", "way", "way/kept.o"];
    assert_eq!(names(&scratch, "dst"), left);

    scratch.write(
        "src/way",
        "a file where a directory with something protected is",
    );
    let run = sync(&scratch, &arguments).expect(23);
    assert!(
        run.stderr.contains("make way for \"dst/way\""),
        "{}",
        run.stderr
    );
    assert!(scratch.join("dst/way/kept.o").exists());
}

#[test]
fn rules_come_from_the_standard_input_and_files_with_nul() {
    let scratch = Scratch::new();
    for name in ["a", "b", "line\nbreak", "c"] {
        scratch.write(&format!("src/{name}"), "x");
    }
    fs::write(scratch.join("list"), b"line\nbreak\0b\0").unwrap();
    sync(&scratch, &["-a0", "--exclude-from", "list", "src/", "dst"]).expect(0);
    assert_eq!(names(&scratch, "dst"), ["a", "c"]);

    let mut child = Command::new(common::FLEXSYNC)
        .current_dir(scratch.path())
        .args([
            "--backend",
            common::tested("direct"),
            "-a",
            "--exclude-from=-",
            "src/",
            "new",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"[a-b]\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(names(&scratch, "new"), ["c", "line\nbreak"]);
}

#[test]
fn cvs_words_come_from_home_and_the_environment() {
    let scratch = Scratch::new();
    for name in ["keep", "x.o", "home", "env", "sub/dir"] {
        scratch.write(&format!("src/{name}"), "x");
    }
    scratch.write("home/.cvsignore", "h*\n");
    scratch.write("src/sub/.cvsignore", "dir\n");
    let run = Command::new(common::FLEXSYNC)
        .current_dir(scratch.path())
        .args(["--backend", common::tested("direct")])
        .args(["-aC", "src/", "dst"])
        .env("HOME", scratch.join("home"))
        .env("CVSIGNORE", "env other")
        .output()
        .unwrap();
    Run::from(run).expect(0);
    assert_eq!(names(&scratch, "dst"), ["keep", "sub", "sub/.cvsignore"]);
}

#[test]
fn cvs_words_are_taken_back_without_other_rules() {
    let taken_back = |program: &str, scratch: &Scratch, more: &[&str]| {
        for name in ["keep", "x.o", "home", "env", "own", "sub/dir", "sub/own"] {
            scratch.write(&format!("src/{name}"), "x");
        }
        scratch.write("home/.cvsignore", "h*\n");
        scratch.write("src/sub/.cvsignore", "dir\n");
        let run = Command::new(program)
            .current_dir(scratch.path())
            .args(more)
            .args(["-aC", "--exclude=own", "src/", "dst"])
            .env("HOME", scratch.join("home"))
            .env("CVSIGNORE", "! env")
            .output();
        run.map(|run| drop(Run::from(run).expect(0)))
    };
    let (mine, theirs) = (Scratch::new(), Scratch::new());
    let backend = ["--backend", common::tested("direct")];
    taken_back(common::FLEXSYNC, &mine, &backend).unwrap();
    let left = ["home", "keep", "sub", "sub/.cvsignore", "x.o"];
    assert_eq!(names(&mine, "dst"), left);
    if rsync(theirs.path(), &["--version"]).is_some() {
        taken_back("rsync", &theirs, &[]).unwrap();
        assert_eq!(names(&theirs, "dst"), left);
    }
}

#[test]
fn a_home_that_may_not_be_looked_into_has_no_cvs_words() {
    let scratch = Scratch::new();
    scratch.write("src/file", "x");
    scratch.write("home/.cvsignore", "file\n");
    fs::create_dir(scratch.join("dst")).unwrap();
    for (name, mode) in [("home", 0o700), ("dst", 0o777)] {
        fs::set_permissions(scratch.join(name), Permissions::from_mode(mode)).unwrap();
    }
    let direct = common::tested("direct");
    let Some(mut command) = nobodys(&scratch, direct, &["-rC", "src/", "dst"]) else {
        return;
    };
    let run = output(command.env("HOME", scratch.join("home"))).unwrap();
    Run::from(run).expect(0);
    assert_eq!(names(&scratch, "dst"), ["file"]);
}

/// There nothing is deleted.
#[test]
fn rules_of_a_directory_that_is_not_entered_do_not_matter() {
    let scratch = Scratch::new();
    scratch.write("src/sub/file", "");
    scratch.write("dst/sub/.rules", "no rule at all");
    for when in ["--delete-before", "--delete-after"] {
        scratch.write("dst/extra", "");
        let arguments = ["-d", when, "-f", ": .rules", "src/", "dst"];
        flexsync(scratch.path(), "direct", &arguments).expect(0);
        assert!(!scratch.join("dst/extra").exists(), "{when}");
        assert!(scratch.join("dst/sub/.rules").exists(), "{when}");
    }
}

#[test]
fn nul_bytes_divide_the_files_that_are_named_behind_the_option_as_for_rsync() {
    let prepare = |scratch: &Scratch| {
        for name in ["a.o", "b.o", "c.c"] {
            scratch.write(&format!("src/{name}"), "");
        }
        scratch.write("lines", "*.o\n");
        scratch.write("nuls", "a.*\0b.*\0");
    };
    for rules in [
        &["--exclude-from=lines", "-0"][..],
        &["-0", "--exclude-from=lines"],
        &["-0", "--exclude-from=nuls"],
        &["-0", "--exclude-from=nuls", "-0"],
        &["--exclude-from=lines", "-0", "-f. nuls"],
        &[
            "-f+ /a.o",
            "--exclude-from=lines",
            "--from0",
            "--include-from=nuls",
        ],
    ] {
        let arguments = [&["-ai"], rules, &["src/", "dst"]].concat();
        does_as_rsync(prepare, &arguments);
    }
}

/// rsync takes what stands before the first NUL byte for all of it.
#[test]
fn a_file_of_rules_with_nul_bytes_before_the_option_is_refused() {
    let scratch = Scratch::new();
    scratch.write("src/c.c", "");
    scratch.write("dst/a.o", "");
    scratch.write("nuls", "a.*\0b.*\0");
    let arguments = ["-a", "--delete", "--exclude-from=nuls", "-0", "src/", "dst"];
    let run = flexsync(scratch.path(), "direct", &arguments).expect(1);
    assert!(
        run.stderr.contains("nuls") && run.stderr.contains("-0"),
        "{run:?}"
    );
    assert!(scratch.join("dst/a.o").exists());
}
