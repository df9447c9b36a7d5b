// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group rsync: what flexsync's syncs of a tree cost by backend, beside those of stock rsync, and how much memory they take.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use crate::{
    backend::Kind,
    error::Error,
    measure::{Meter, Plan, Row},
    program::Program,
    report::{Peaks, Report},
    scratch::Scratch,
};

/// Small files of the tree: many, and few. And bytes of its one large file.
const FILES: [usize; 2] = [5000, 500];
const LARGE: [usize; 2] = [16 << 20, 1 << 20];
const SMALL: usize = 1024;
/// Files of a directory.
const DIRECTORY: usize = 100;
/// Of so many small files one is changed, and so many places of the large one.
const ONE_OF: usize = 100;
const EDITS: usize = 16;

/// What is asked for of the tree.
pub(crate) struct Trees<'a> {
    /// Where it and its copies are.
    pub(crate) parent: &'a Path,
    /// Few small files, and a large one that is not very large.
    pub(crate) few: bool,
    /// So many small files instead.
    pub(crate) files: Option<usize>,
    /// A large file of so many MiB instead, or none.
    pub(crate) large: Option<usize>,
}

/// What is synced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    First,
    Again,
    Sums,
    Changed,
}

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Flexsync,
    /// By plain calls, on both CPUs.
    Both,
    Stock,
    Copy,
}

/// Name, what is synced, by whom, and what it is.
const CASES: [(&str, Sync, By, &str); 12] = [
    (
        "first",
        Sync::First,
        By::Flexsync,
        "flexsync -a to nothing, on the CPUs of the backend",
    ),
    (
        "first-both",
        Sync::First,
        By::Both,
        "the same by plain calls, on both CPUs",
    ),
    ("first-stock", Sync::First, By::Stock, "the same by rsync"),
    ("first-cp", Sync::First, By::Copy, "the same by cp -a"),
    (
        "again",
        Sync::Again,
        By::Flexsync,
        "flexsync -a with nothing to do",
    ),
    (
        "again-both",
        Sync::Again,
        By::Both,
        "the same by plain calls, on both CPUs",
    ),
    ("again-stock", Sync::Again, By::Stock, "the same by rsync"),
    (
        "sums",
        Sync::Sums,
        By::Flexsync,
        "flexsync -a -c with nothing to do",
    ),
    (
        "sums-both",
        Sync::Sums,
        By::Both,
        "the same by plain calls, on both CPUs",
    ),
    ("sums-stock", Sync::Sums, By::Stock, "the same by rsync"),
    (
        "changed",
        Sync::Changed,
        By::Flexsync,
        "flexsync -a --delete --no-whole-file of 1 % of the files and 16 edits of the large one",
    ),
    (
        "changed-stock",
        Sync::Changed,
        By::Stock,
        "the same by rsync",
    ),
];

/// The names of the cases.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|(name, ..)| *name)
}

/// Measures and prints those cases that have one of these names.
///
/// # Errors
///
/// The first that goes wrong.
pub(crate) fn run(
    names: &[&str],
    kinds: &[Kind],
    trees: &Trees<'_>,
    plan: &mut Plan,
    report: &mut Report,
) -> Result<(), Error> {
    let mut kinds = plan.usable(kinds);
    kinds.retain(|kind| kind.of_programs().is_some());
    let failed = |error| Error::Case("rsync", error);
    let files = trees.files.unwrap_or(FILES[usize::from(trees.few)]);
    let large = trees.large.map(|mib| mib << 20);
    let large = large.unwrap_or(LARGE[usize::from(trees.few)]);
    let tree = Tree::make(trees.parent, files, large).map_err(failed)?;
    let mut rows: Vec<Row> = Vec::new();
    let mut peaks = Peaks::new();
    for (name, sync, by, _) in CASES {
        if !names.contains(&name) || by == By::Both && plan.cpus.there.is_none() {
            continue;
        }
        let columns: Vec<_> = match by {
            By::Flexsync => kinds.clone(),
            // They make plain calls, whoever else is measured.
            By::Both | By::Stock | By::Copy => vec![Kind::Direct],
        };
        let begin = rows.len();
        let columns = columns.iter();
        rows.extend(columns.map(|&kind| Row::new("rsync", name, 1, kind, 1)));
        let command = |kind: Kind| tree.command(sync, by, kind);
        let mut times = 0;
        let mut prepare = |kind: Kind| {
            times += 1;
            match sync {
                Sync::First => tree.clear(by, kind),
                Sync::Again | Sync::Sums => Ok(()),
                Sync::Changed => tree.change(times),
            }
        };
        // Where times are taken nobody is to have fewer CPUs than the one that is compared.
        let other = matches!(by, By::Stock | By::Copy) && matches!(plan.meter, Meter::Time);
        let mut program = Program {
            name,
            units: files,
            both: by == By::Both || other,
            prepare: &mut prepare,
            command: &command,
            ended: &mut |kind, ended| {
                let peak = peaks.entry((name, kind.name())).or_default();
                *peak = ended.peak.max(*peak);
            },
        };
        plan.measure_long(&mut rows[begin..], &mut program)?;
        report.rows(&rows[begin..])?;
    }
    report.details(&rows, 1, |_| None);
    report.peaks("rsync", &peaks)?;
    for (name, _, _, about) in CASES {
        if rows.iter().any(|row| row.case == name) {
            println!("{name:<14} {about}");
        }
    }
    let large = match large >> 20 {
        0 => String::new(),
        mib => format!(" and one of {mib} MiB"),
    };
    println!(
        "{files} files of 1 KiB{large}, in {}; the figures are of the whole run, by small file\n",
        trees.parent.display(),
    );
    Ok(())
}

/// Writes a file of so many bytes, no two blocks of which are alike, nor are those of two seeds.
pub(crate) fn noise(path: &Path, bytes: usize, seed: u64) -> io::Result<()> {
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    for word in 0..bytes as u64 / 8 {
        // splitmix64 of a counter: https://prng.di.unimi.it/splitmix64.c
        let mut mixed = (word + (seed << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        file.write_all(&(mixed ^ (mixed >> 31)).to_le_bytes())?;
    }
    file.flush()
}

/// A tree, and its copies beside it.
struct Tree {
    root: Scratch,
    files: usize,
    large: usize,
    born: SystemTime,
}

impl Tree {
    fn make(parent: &Path, files: usize, large: usize) -> io::Result<Self> {
        let tree = Self {
            root: Scratch::new(parent, "rsync")?,
            files,
            large,
            born: SystemTime::now() - Duration::from_secs(1_000_000),
        };
        for number in 0..files {
            let path = tree.file(number);
            if number % DIRECTORY == 0 {
                fs::create_dir_all(path.parent().unwrap_or(&path))?;
            }
            fs::write(path, vec![number as u8; SMALL])?;
        }
        if large > 0 {
            noise(&tree.source().join("large"), large, 0)?;
        }
        Ok(tree)
    }

    fn source(&self) -> PathBuf {
        self.root.join("source")
    }

    fn file(&self, number: usize) -> PathBuf {
        let directory = (number / DIRECTORY).to_string();
        self.source().join(directory).join(number.to_string())
    }

    /// Who copies has a copy of its own.
    fn copy(&self, by: By, kind: Kind) -> PathBuf {
        let name = match by {
            By::Flexsync => kind.name(),
            By::Both => "both",
            By::Stock => "stock",
            By::Copy => "cp",
        };
        self.root.join(format!("copy-{name}"))
    }

    fn command(&self, sync: Sync, by: By, kind: Kind) -> Command {
        let mut command = Command::new(match by {
            By::Flexsync | By::Both => "flexsync",
            By::Stock => "rsync",
            By::Copy => "cp",
        });
        if let (By::Flexsync | By::Both, Some(backend)) = (by, kind.of_programs()) {
            command.arg(format!("--backend={backend}"));
        }
        command.arg("-a");
        match sync {
            Sync::First | Sync::Again => {}
            Sync::Sums => drop(command.arg("-c")),
            Sync::Changed => drop(command.args(["--delete", "--no-whole-file"])),
        }
        let mut source = self.source().into_os_string();
        source.push(if by == By::Copy { "/." } else { "/" });
        command.arg(source).arg(self.copy(by, kind));
        command
    }

    /// There is no copy.
    fn clear(&self, by: By, kind: Kind) -> io::Result<()> {
        match fs::remove_dir_all(self.copy(by, kind)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Changes the same files each time, to something else.
    fn change(&self, times: u64) -> io::Result<()> {
        let modified = self.born + Duration::from_secs(times);
        for number in (0..self.files).step_by(ONE_OF) {
            let file = fs::File::create(self.file(number))?;
            file.write_all_at(&vec![times as u8; SMALL], 0)?;
            file.set_modified(modified)?;
        }
        if self.large == 0 {
            return Ok(());
        }
        let large = fs::File::options()
            .write(true)
            .open(self.source().join("large"))?;
        for edit in 0..EDITS {
            let at = self.large / EDITS * edit + self.large / EDITS / 2;
            large.write_all_at(&times.to_le_bytes(), at as u64)?;
        }
        large.set_modified(modified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_by_cp_is_that_of_the_contents() {
        let parent = std::env::temp_dir().join(format!("flexsc-bench-cp-{}", std::process::id()));
        let tree = Tree::make(&parent, 2, 0).unwrap();
        let mut command = tree.command(Sync::First, By::Copy, Kind::Direct);
        assert!(command.status().unwrap().success());
        let copied = tree.copy(By::Copy, Kind::Direct).join("0/1");
        assert_eq!(fs::read(copied).unwrap(), [1; SMALL]);
        assert!(!tree.source().join("large").exists());
        drop(tree);
        fs::remove_dir(parent).unwrap();
    }

    #[test]
    fn a_change_changes_one_of_a_hundred_files_and_the_large_one() {
        let tree = Tree::make(&std::env::temp_dir(), 300, 64 << 10).unwrap();
        let seen = || -> Vec<_> {
            let large = [tree.source().join("large")];
            let files = (0..300).map(|number| tree.file(number)).chain(large);
            files
                .map(|path| {
                    (
                        fs::metadata(&path).unwrap().modified().unwrap(),
                        fs::read(path).unwrap(),
                    )
                })
                .collect()
        };
        tree.change(1).unwrap();
        let before = seen();
        tree.change(2).unwrap();
        let differ = before
            .iter()
            .zip(&seen())
            .filter(|(old, new)| old.0 != new.0 && old.1 != new.1)
            .count();
        assert_eq!(differ, 4);
        let root = tree.root.to_path_buf();
        drop(tree);
        assert!(!root.exists());
    }
}
