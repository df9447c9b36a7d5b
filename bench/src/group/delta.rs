// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group delta: what it costs to bring one large file up to date from an old version of it, by flexsync and stock rsync.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use crate::{
    backend::Kind,
    error::Error,
    group::rsync::noise,
    measure::{Meter, Plan, Row},
    program::Program,
    report::{Peaks, Report},
    scratch::Scratch,
};

/// Length of the file in MiB, and with few steps.
pub(crate) const MIB: [usize; 2] = [256, 16];
/// So many places differ, in so many bytes each.
const EDITS: usize = 256;
const EDIT: usize = 64;
/// So many bytes are new at the beginning.
const SHIFT: usize = 37;

/// What the old version is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Old {
    Same,
    Edited,
    Shifted,
    Unrelated,
}

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// By plain calls, on one CPU.
    One,
    /// The same, on both.
    Both,
    /// rsync, on both where times are taken.
    Stock,
}

/// Name, what the old version is, and by whom it is brought up to date.
const CASES: [(&str, Old, By); 12] = [
    ("same", Old::Same, By::One),
    ("same-both", Old::Same, By::Both),
    ("same-stock", Old::Same, By::Stock),
    ("edits", Old::Edited, By::One),
    ("edits-both", Old::Edited, By::Both),
    ("edits-stock", Old::Edited, By::Stock),
    ("shifted", Old::Shifted, By::One),
    ("shifted-both", Old::Shifted, By::Both),
    ("shifted-stock", Old::Shifted, By::Stock),
    ("unrelated", Old::Unrelated, By::One),
    ("unrelated-both", Old::Unrelated, By::Both),
    ("unrelated-stock", Old::Unrelated, By::Stock),
];

/// The names of the cases.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|(name, ..)| *name)
}

/// Measures and prints those cases that have one of these names, with a file of so many MiB below `parent`.
///
/// # Errors
///
/// The first that goes wrong.
pub(crate) fn run(
    names: &[&str],
    parent: &Path,
    mib: usize,
    plan: &mut Plan,
    report: &mut Report,
) -> Result<(), Error> {
    let failed = |error| Error::Case("delta", error);
    let files = Files::make(parent, mib << 20).map_err(failed)?;
    let mut rows: Vec<Row> = Vec::new();
    let mut peaks = Peaks::new();
    for (name, old, by) in CASES {
        if !names.contains(&name) || by == By::Both && plan.cpus.there.is_none() {
            continue;
        }
        let stock = by == By::Stock && matches!(plan.meter, Meter::Time);
        let mut program = Program {
            name,
            units: mib,
            both: by == By::Both || stock,
            prepare: &mut |_| files.prepare(old),
            command: &|_| files.command(by),
            ended: &mut |kind, ended| {
                let peak = peaks.entry((name, kind.name())).or_default();
                *peak = ended.peak.max(*peak);
            },
        };
        let mut row = [Row::new("delta", name, 1, Kind::Direct, 1)];
        plan.measure_long(&mut row, &mut program)?;
        files.check().map_err(|error| Error::Case(name, error))?;
        report.rows(&row)?;
        rows.extend(row);
    }
    report.details(&rows, 1, |_| None);
    report.peaks("delta", &peaks)?;
    println!(
        "same           the old version is the same but for its time, and has to be read to know that"
    );
    println!("edits          it differs in {EDITS} places of {EDIT} bytes");
    println!("shifted        it lacks the first {SHIFT} bytes");
    println!("unrelated      nothing of it is in the new one");
    println!("-both          flexsync on both CPUs");
    println!("-stock         by rsync");
    println!(
        "one file of {mib} MiB in {}, -a --no-whole-file; the figures are of the whole run, by MiB\n",
        parent.display(),
    );
    Ok(())
}

/// The new version, and where an old one becomes it.
struct Files {
    root: Scratch,
    length: usize,
    born: SystemTime,
}

impl Files {
    fn make(parent: &Path, length: usize) -> io::Result<Self> {
        let files = Self {
            root: Scratch::new(parent, "delta")?,
            length,
            born: SystemTime::now() - Duration::from_secs(1_000_000),
        };
        for dir in [files.source(), files.copy()] {
            fs::create_dir_all(dir)?;
        }
        noise(&files.source().join("file"), length, 0)?;
        noise(&files.root.join("unrelated"), length, 1)?;
        Ok(files)
    }

    fn source(&self) -> PathBuf {
        self.root.join("source")
    }

    fn copy(&self) -> PathBuf {
        self.root.join("copy")
    }

    /// There is an old version.
    fn prepare(&self, old: Old) -> io::Result<()> {
        let (new, copy) = (self.source().join("file"), self.copy().join("file"));
        match old {
            Old::Same | Old::Edited => drop(fs::copy(new, &copy)?),
            Old::Unrelated => drop(fs::copy(self.root.join("unrelated"), &copy)?),
            Old::Shifted => {
                let mut new = File::open(new)?;
                new.seek(SeekFrom::Start(SHIFT as u64))?;
                io::copy(&mut new, &mut File::create(&copy)?)?;
            }
        }
        let file = File::options().write(true).open(copy)?;
        if old == Old::Edited {
            for edit in 0..EDITS {
                let at = self.length / EDITS * edit + self.length / EDITS / 2;
                file.write_all_at(&[0; EDIT], at as u64)?;
            }
        }
        file.set_modified(self.born)
    }

    fn command(&self, by: By) -> Command {
        let mut command = match by {
            By::One | By::Both => {
                let mut command = Command::new("flexsync");
                command.arg("--backend=direct");
                command
            }
            By::Stock => Command::new("rsync"),
        };
        command.args(["-a", "--no-whole-file"]);
        let mut source = self.source().into_os_string();
        source.push("/");
        command.arg(source).arg(self.copy());
        command
    }

    /// Who was fast has to be right, too.
    fn check(&self) -> io::Result<()> {
        let mut files = [self.source(), self.copy()]
            .map(|dir| File::open(dir.join("file")))
            .into_iter();
        let (Some(new), Some(copy)) = (files.next(), files.next()) else {
            return Ok(());
        };
        let (mut new, mut copy) = (io::BufReader::new(new?), io::BufReader::new(copy?));
        let mut blocks = [vec![0; 1 << 16], vec![0; 1 << 16]];
        loop {
            let [one, other] = &mut blocks;
            let count = new.read(one)?;
            let same =
                copy.read_exact(&mut other[..count]).is_ok() && one[..count] == other[..count];
            if !same || count == 0 && copy.read(other)? > 0 {
                return Err(io::Error::other("the copy is not what the source is"));
            }
            if count == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_differ_from_the_new_one_as_they_are_called() {
        let files = Files::make(&std::env::temp_dir(), 1 << 20).unwrap();
        let new = fs::read(files.source().join("file")).unwrap();
        let old = |old| {
            files.prepare(old).unwrap();
            fs::read(files.copy().join("file")).unwrap()
        };
        assert_eq!(old(Old::Same), new);
        files.check().unwrap();
        assert_eq!(old(Old::Shifted), new[SHIFT..]);
        assert!(files.check().is_err());
        let edited = old(Old::Edited);
        let differ = new.iter().zip(&edited).filter(|(new, old)| new != old);
        assert!((EDITS * EDIT * 9 / 10..=EDITS * EDIT).contains(&differ.count()));
        assert!(files.check().is_err());
        let unrelated = old(Old::Unrelated);
        let same = new
            .chunks(512)
            .filter(|block| unrelated.chunks(512).any(|other| other == *block));
        assert_eq!((same.count(), unrelated.len()), (0, new.len()));
    }
}
