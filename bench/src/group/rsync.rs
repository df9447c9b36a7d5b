// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group rsync: what flexsync's syncs of a tree cost by backend, beside those of stock rsync.

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use crate::{
    backend::Kind,
    error::Error,
    measure::{Plan, Row},
    program::Program,
    report::Report,
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

/// What is synced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    First,
    Again,
    Changed,
}

/// Name, what is synced, whether stock rsync does it, and what it is.
const CASES: [(&str, Sync, bool, &str); 6] = [
    ("first", Sync::First, false, "flexsync -a to nothing"),
    ("first-stock", Sync::First, true, "the same by rsync"),
    (
        "again",
        Sync::Again,
        false,
        "flexsync -a with nothing to do",
    ),
    ("again-stock", Sync::Again, true, "the same by rsync"),
    (
        "changed",
        Sync::Changed,
        false,
        "flexsync -a --delete --no-whole-file of 1 % of the files and 16 edits of the large one",
    ),
    ("changed-stock", Sync::Changed, true, "the same by rsync"),
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
    few: bool,
    plan: &mut Plan,
    report: &mut Report,
) -> Result<(), Error> {
    let mut kinds = plan.usable(kinds);
    kinds.retain(|kind| kind.of_programs().is_some());
    let failed = |error| Error::Case("rsync", error);
    let files = FILES[usize::from(few)];
    let tree = Tree::make(&plan.places.disk, files, LARGE[usize::from(few)]).map_err(failed)?;
    let mut rows: Vec<Row> = Vec::new();
    for (name, sync, stock, _) in CASES {
        if !names.contains(&name) {
            continue;
        }
        let by: Vec<_> = match stock {
            // It makes plain calls, whoever else is measured.
            true => vec![Kind::Direct],
            false => kinds.clone(),
        };
        let begin = rows.len();
        rows.extend(by.iter().map(|&kind| Row::new("rsync", name, 1, kind, 1)));
        let command = |kind: Kind| tree.command(sync, stock, kind);
        let mut times = 0;
        let mut prepare = |kind: Kind| {
            times += 1;
            match sync {
                Sync::First => tree.clear(stock, kind),
                Sync::Again => Ok(()),
                Sync::Changed => tree.change(times),
            }
        };
        let mut program = Program {
            name,
            units: files,
            prepare: &mut prepare,
            command: &command,
            printed: &mut |_, _| {},
        };
        plan.measure_long(&mut rows[begin..], &mut program)?;
        report.rows(&rows[begin..])?;
    }
    report.details(&rows, 1, |_| None);
    for (name, _, _, about) in CASES {
        if rows.iter().any(|row| row.case == name) {
            println!("{name:<14} {about}");
        }
    }
    println!(
        "{files} files of 1 KiB and a large one, on the disk; the figures are of the whole run, by file\n"
    );
    Ok(())
}

/// A tree, and its copies beside it; removed with it.
struct Tree {
    root: PathBuf,
    files: usize,
    large: usize,
    born: SystemTime,
}

impl Tree {
    fn make(parent: &Path, files: usize, large: usize) -> io::Result<Self> {
        let root = parent.join(format!("flexsc-bench-rsync-{}", std::process::id()));
        let tree = Self {
            root,
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
        // Each block differs from all others.
        let words = (0..large as u64 / 8).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let bytes: Vec<_> = words.flat_map(u64::to_le_bytes).collect();
        fs::write(tree.source().join("large"), bytes)?;
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
    fn copy(&self, stock: bool, kind: Kind) -> PathBuf {
        let name = if stock { "stock" } else { kind.name() };
        self.root.join(format!("copy-{name}"))
    }

    fn command(&self, sync: Sync, stock: bool, kind: Kind) -> Command {
        let mut command = Command::new(if stock { "rsync" } else { "flexsync" });
        if let (false, Some(backend)) = (stock, kind.of_programs()) {
            command.arg(format!("--backend={backend}"));
        }
        command.arg("-a");
        if sync == Sync::Changed {
            command.args(["--delete", "--no-whole-file"]);
        }
        let mut source = self.source().into_os_string();
        source.push("/");
        command.arg(source).arg(self.copy(stock, kind));
        command
    }

    /// There is no copy.
    fn clear(&self, stock: bool, kind: Kind) -> io::Result<()> {
        match fs::remove_dir_all(self.copy(stock, kind)) {
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

impl Drop for Tree {
    fn drop(&mut self) {
        // What cannot be removed is left: there is nobody to tell.
        let _ = fs::remove_dir_all(&self.root);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let root = tree.root.clone();
        drop(tree);
        assert!(!root.exists());
    }
}
