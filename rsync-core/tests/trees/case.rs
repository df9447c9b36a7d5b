// SPDX-License-Identifier: MIT OR Apache-2.0

//! One case: the programs on worlds that are the same, with the same words.

use crate::common::{
    FLEXSYNC, Random, Run, Scratch, Seen, Times, child::NOBODY, lines, paths, snapshot, tested,
};
use crate::exceptions;
use crate::options;
use crate::world::{self, SIDES, World, is_fresh};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs, where anybody may execute them.
pub(crate) struct Programs {
    flexsync: PathBuf,
    _scratch: Scratch,
}

impl Programs {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let flexsync = scratch.join("flexsync");
        fs::copy(FLEXSYNC, &flexsync).unwrap();
        fs::set_permissions(&flexsync, Permissions::from_mode(0o755)).unwrap();
        Self {
            flexsync,
            _scratch: scratch,
        }
    }
}

/// What was drawn for a case.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) backend: &'static str,
    pub(crate) options: Vec<&'static str>,
    pub(crate) from: Vec<Vec<u8>>,
    pub(crate) to: &'static str,
    pub(crate) as_nobody: bool,
    pub(crate) several_names: bool,
}

/// What a program said and left.
pub(crate) struct Outcome {
    pub(crate) run: Run,
    pub(crate) log: Vec<String>,
    pub(crate) tree: BTreeMap<PathBuf, Seen>,
    /// Of each path of a file that has several, the first.
    pub(crate) links: BTreeMap<PathBuf, PathBuf>,
    /// What had set-ID bits in the destination.
    pub(crate) set_ids: BTreeSet<PathBuf>,
    /// Times of last access, of those that have none by being read.
    pub(crate) used: BTreeMap<PathBuf, i64>,
}

impl Case {
    /// Draws a case, and makes its worlds.
    pub(crate) fn draw(seed: u64, backend: &'static str) -> (Self, World) {
        let random = &mut Random::new(seed);
        let mut options = options::draw(random);
        exceptions::spare(&mut options);
        let several_names = options.iter().any(|option| ["-H", "-aH"].contains(option));
        let world = world::plant(seed, several_names);
        let has =
            |options: &[&str], prefix: &str| options.iter().any(|option| option.contains(prefix));
        let an_entry = |random: &mut Random| {
            let mut path = random.pick(&world.entries).as_os_str().as_bytes().to_vec();
            if random.chance(30) {
                path.push(b'/');
            }
            path
        };
        let from: Vec<Vec<u8>> = match random.below(12) {
            _ if has(&options, "--files-from") => vec![b"src/".to_vec()],
            0 => vec![b"src".to_vec()],
            1 => vec![b"src/".to_vec(), b"two/".to_vec()],
            2 => vec![b"two".to_vec(), b"src".to_vec()],
            3 => vec![b"./src/.".to_vec()],
            4 => vec![an_entry(random)],
            5 => (0..2 + random.below(4)).map(|_| an_entry(random)).collect(),
            6 => vec![b"src/".to_vec(), b"src/missing".to_vec()],
            _ => vec![b"src/".to_vec()],
        };
        let to = *random.pick(&["dst", "dst/", "dst"]);
        let case = Self {
            seed,
            backend,
            options,
            from,
            to,
            as_nobody: world.as_nobody,
            several_names,
        };
        (case, world)
    }

    pub(crate) fn has(&self, option: &str) -> bool {
        self.words().any(|word| word == option)
    }

    /// Whether a word of an option contains that.
    pub(crate) fn has_like(&self, text: &str) -> bool {
        self.words().any(|word| word.contains(text))
    }

    /// Whether modes are kept.
    pub(crate) fn keeps_modes(&self) -> bool {
        self.words()
            .fold(false, |keeps, word| match word.strip_prefix('-') {
                Some("-no-p") => false,
                Some(letters) if !letters.starts_with('-') => {
                    keeps || letters.contains(['a', 'p', 'A'])
                }
                _ => keeps,
            })
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = &'static str> {
        self.options.iter().flat_map(|option| option.split(' '))
    }

    fn command(&self, program: &OsStr, dir: &Path, as_nobody: bool) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir);
        if as_nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn finish(&self, mut command: Command, dir: &Path) -> Outcome {
        let absolute = dir.to_str().unwrap();
        command.args(self.words().map(|word| word.replace("{}", absolute)));
        command.args(self.from.iter().map(|path| OsStr::from_bytes(path)));
        command.arg(if self.has("--mkpath") {
            "deep/er/dst/"
        } else {
            self.to
        });
        let set_ids = set_ids(dir);
        let mut run: Run = command.output().unwrap().into();
        run.stdout = run.stdout.replace(absolute, "{}");
        run.stderr = run.stderr.replace(absolute, "{}");
        let log = fs::read(dir.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let _ = fs::remove_file(dir.join("log"));
        Outcome::new(self, run, &log, dir, set_ids)
    }

    /// rsync's outcome in one of the worlds.
    fn theirs(&self, world: &World, side: &str) -> Outcome {
        let dir = world.scratch.join(side);
        let mut command = self.command(OsStr::new("timeout"), &dir, world.as_nobody);
        command.args(["300", "rsync"]);
        self.finish(command, &dir)
    }

    fn mine(&self, programs: &Programs, world: &World, side: &str) -> Outcome {
        let dir = world.scratch.join(side);
        let mut command = self.command(programs.flexsync.as_os_str(), &dir, world.as_nobody);
        command.args(["--backend", tested(self.backend)]);
        command.args(["--jobs", if self.seed % 2 == 0 { "1" } else { "2" }]);
        self.finish(command, &dir)
    }

    /// Runs the programs; what differs between them, or between rsync and itself, and rsync's run.
    pub(crate) fn judge(&self, programs: &Programs, world: &World) -> (Result<(), String>, Run) {
        let [mine, theirs, again] = SIDES;
        let theirs = self.theirs(world, theirs);
        if exceptions::is_broken(&theirs.run) {
            return (Ok(()), theirs.run);
        }
        let again = self.theirs(world, again);
        if exceptions::is_broken(&again.run) {
            return (Ok(()), again.run);
        }
        if let Err(why) = self.compare(&again, &theirs) {
            return (Err(format!("rsync differs from itself: {why}")), theirs.run);
        }
        let result = self.compare(&self.mine(programs, world, mine), &theirs);
        (result, theirs.run)
    }

    fn compare(&self, left: &Outcome, right: &Outcome) -> Result<(), String> {
        let mut why = String::new();
        let (mine, theirs) = (left.run.status, right.run.status);
        if mine != theirs && !exceptions::may_fail(self, &left.run, &right.run) {
            why += &format!("status {mine} {theirs}\n");
        }
        let [mine, theirs] = [left, right].map(|outcome| {
            let lines = exceptions::lines(self, outcome, right);
            exceptions::without_failed(self, lines, left, right)
        });
        difference(&mut why, "line", &mine, &theirs);
        let [mine, theirs] = [left, right]
            .map(|outcome| exceptions::without_failed(self, outcome.log.clone(), left, right));
        difference(&mut why, "log", &mine, &theirs);
        let figures = |run: &Run| exceptions::figures(self, run, &right.run);
        difference(
            &mut why,
            "figure",
            &figures(&left.run),
            &figures(&right.run),
        );
        let excused = exceptions::excused(self, left, right);
        let paths: BTreeSet<_> = left.tree.keys().chain(right.tree.keys()).collect();
        for path in paths {
            let seen = (left.tree.get(path), right.tree.get(path));
            if seen.0 != seen.1 && !excused.contains(&**path) {
                why += &format!("file {path:?}\n- {:?}\n+ {:?}\n", seen.0, seen.1);
            }
        }
        let pairs = |links: &BTreeMap<PathBuf, PathBuf>| -> Vec<String> {
            let of_excused = links.iter().filter(|(path, _)| excused.contains(&***path));
            let spared: BTreeSet<_> = of_excused.map(|(_, first)| first).collect();
            let links = links.iter().filter(|(_, first)| !spared.contains(first));
            links
                .map(|(path, first)| format!("{path:?} is {first:?}"))
                .collect()
        };
        difference(&mut why, "link", &pairs(&left.links), &pairs(&right.links));
        if self.has("-U") || self.has("-UU") {
            let times = |outcome: &Outcome| -> Vec<String> {
                let used = outcome.used.iter();
                let used = used.filter(|(path, _)| {
                    let excused = excused.contains(&***path);
                    !excused && exceptions::is_use_compared(self, path, right)
                });
                used.map(|(path, time)| format!("{path:?} {time}"))
                    .collect()
            };
            difference(&mut why, "used", &times(left), &times(right));
        }
        if why.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{why}stderr {:?}\nstderr {:?}",
            left.run.stderr, right.run.stderr
        ))
    }

    /// What differs in a new world, if anything does.
    pub(crate) fn judge_anew(&self, programs: &Programs) -> Option<String> {
        self.judge(programs, &world::plant(self.seed, self.several_names))
            .0
            .err()
    }

    /// The same with no option that it takes not to agree, and what differs then.
    pub(crate) fn smallest(mut self, programs: &Programs, mut why: String) -> (Self, String) {
        let mut index = 0;
        while index < self.options.len() {
            let mut smaller = self.clone();
            smaller.options.remove(index);
            match smaller.judge_anew(programs) {
                Some(reason) => (self, why) = (smaller, reason),
                None => index += 1,
            }
        }
        (self, why)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.as_nobody { ", as nobody" } else { "" };
        write!(f, "{}{whose}: {}", self.backend, self.options.join(" "))?;
        for path in &self.from {
            write!(f, " \"{}\"", path.escape_ascii())?;
        }
        write!(f, " {}", self.to)
    }
}

impl Outcome {
    fn new(case: &Case, run: Run, log: &str, dir: &Path, set_ids: BTreeSet<PathBuf>) -> Self {
        // Before anything is read, which changes them.
        let used = used(dir);
        let mut tree = snapshot(dir, Times::Compare);
        for (path, seen) in &mut tree {
            // Logs are made in the world itself.
            // With -U and without -t rsync sets the first second before 1970 where it sets extended attributes.
            if is_fresh(seen.mtime.0) || seen.mtime.0 == -1 || path.as_os_str().is_empty() {
                seen.mtime = (i64::MAX, 0);
            }
        }
        let (mut links, mut first) = (BTreeMap::new(), BTreeMap::new());
        for path in tree.keys() {
            let metadata = fs::symlink_metadata(dir.join(path)).unwrap();
            if metadata.is_dir() {
                continue;
            }
            if metadata.nlink() > 1 {
                let first = first.entry(metadata.ino()).or_insert(path);
                links.insert(path.clone(), first.clone());
            }
        }
        let log = exceptions::logged(case, log);
        Self {
            run,
            log,
            tree,
            links,
            set_ids,
            used,
        }
    }
}

/// The times of last access of the files in a world's destination that were not used just now.
fn used(dir: &Path) -> BTreeMap<PathBuf, i64> {
    let dst = dir.join("dst");
    let all = dst.is_dir().then(|| paths(&dst)).into_iter().flatten();
    let all = all.filter_map(|path| {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let used = metadata.is_file() && !is_fresh(metadata.atime());
        let path = path.strip_prefix(dir).unwrap().to_owned();
        used.then_some((path, metadata.atime()))
    });
    all.collect()
}

/// What has set-ID bits in a world's destination, if there is one.
fn set_ids(dir: &Path) -> BTreeSet<PathBuf> {
    let dst = dir.join("dst");
    let has_some = |path: &PathBuf| fs::symlink_metadata(path).unwrap().mode() & 0o6000 != 0;
    let all = dst.is_dir().then(|| paths(&dst)).into_iter().flatten();
    let all = all.filter(has_some);
    all.map(|path| path.strip_prefix(dir).unwrap().to_owned())
        .collect()
}

fn difference(why: &mut String, what: &str, left: &[String], right: &[String]) {
    for (sign, one, other) in [('-', left, right), ('+', right, left)] {
        let mut other = other.to_vec();
        for line in one {
            match other.iter().position(|found| found == line) {
                Some(at) => drop(other.swap_remove(at)),
                None => {
                    let shown = match line.char_indices().rev().nth(200) {
                        Some((at, _)) => &line[at..],
                        None => line,
                    };
                    *why += &format!("{sign} {what} {shown}\n");
                }
            }
        }
    }
}

/// The lines about files, without what each program says in its own way.
pub(crate) fn said(run: &Run) -> Vec<String> {
    // With -vv and --stats it has a paragraph of each process's memory in between.
    let is_memory =
        |line: &&str| line.starts_with("rsync[") || line.starts_with("  ") && line.ends_with(')');
    let files = run.stdout.lines();
    let files = files.take_while(|line| !line.starts_with("Number of files: "));
    let files = files.filter(|line| !is_memory(line));
    let stdout = files.collect::<Vec<_>>().join("\n");
    lines(&Run {
        status: run.status,
        stdout,
        stderr: String::new(),
    })
}
