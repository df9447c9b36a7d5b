// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that stand in for missing ones as the basis of a transfer: rsync(1), `--fuzzy`.
//!
//! The files of the directory, and of those of other trees that stand for it, are listed when the first one is missing. One of the
//! same size and time is taken, else the one of the most similar name: the edit distance of the names and ten times that of their
//! suffixes, at most 24, as rsync's own figures have it. Numbers and what marks a backup are no suffixes. Of those equally near the
//! one is taken that differs last and least: `log.8` for `log.9`.

use crate::event::Event;
use crate::io::{DIRECTORY, Held};
use crate::list::{Attributes, Kind};
use crate::names::Names;
use crate::options::Fuzzy;
use crate::run::WINDOW;
use crate::side::Side;
use crate::spec::join;
use crate::target::{State, Target};
use crate::temp::is_temporary;
use crate::transfer::StandIn;
use libflexsc::{Errno, FileType};
use rapidfuzz::distance::levenshtein::{Args, BatchComparator};
use std::cmp::Reverse;
use std::rc::Rc;

/// The distance from which on names are not similar.
const MOST: usize = 24;

/// What a difference of the suffixes counts.
const SUFFIX: usize = 10;

/// The most files that are remembered of one directory: their names and 32 bytes each.
const CANDIDATES: usize = 65536;

/// How many names before and after that of the missing file are compared with it, so that cost grows no faster than the directory.
const NEAR: usize = 512;

/// A file that may stand in for others.
#[derive(Debug)]
struct Candidate {
    /// Where its name is in the arena.
    start: u32,
    length: u8,
    /// The other tree that it is of, by its number.
    tree: Option<u8>,
    size: u64,
    mtime: (i64, u32),
}

/// The files of a directory that may stand in for others, one tree's after the other's, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    arena: Vec<u8>,
    files: Vec<Candidate>,
}

impl Candidates {
    fn name(&self, file: &Candidate) -> &[u8] {
        let start = file.start as usize;
        &self.arena[start..start + usize::from(file.length)]
    }

    fn add(&mut self, tree: Option<u8>, name: &[u8], found: &Attributes) {
        let places = (u32::try_from(self.arena.len()), u8::try_from(name.len()));
        // No name of Linux is longer.
        let (Ok(start), Ok(length)) = places else {
            return;
        };
        self.arena.extend_from_slice(name);
        self.files.push(Candidate {
            start,
            length,
            tree,
            size: found.size,
            mtime: found.mtime,
        });
    }

    /// The file whose name is most similar.
    fn similar(&self, name: &[u8]) -> Option<&Candidate> {
        let names = BatchComparator::new(name.iter().copied());
        let suffixes = BatchComparator::new(suffix(name).iter().copied());
        let within = |most| Args::default().score_cutoff(most);
        let mut best = None;
        let mut least = MOST;
        let trees = self.files.chunk_by(|a, b| a.tree == b.tree);
        let near = trees.flat_map(|files| {
            let at = files.partition_point(|file| self.name(file) < name);
            &files[at.saturating_sub(NEAR)..files.len().min(at + NEAR)]
        });
        for file in near {
            let other = self.name(file);
            let bytes = other.iter().copied();
            let Some(distance) = names.distance_with_args(bytes, &within(least)) else {
                continue;
            };
            let bytes = suffix(other).iter().copied();
            let left = (least - distance) / SUFFIX;
            let Some(suffixes) = suffixes.distance_with_args(bytes, &within(left)) else {
                continue;
            };
            least = distance + SUFFIX * suffixes;
            let rank = (least, apart(name, other));
            if best.as_ref().is_none_or(|(best, _)| rank <= *best) {
                best = Some((rank, file));
            }
        }
        best.map(|(_, file)| file)
    }
}

/// How late and by how much two names begin to differ.
fn apart(name: &[u8], other: &[u8]) -> (Reverse<usize>, u8) {
    let same = name.iter().zip(other).take_while(|(a, b)| a == b).count();
    let at = |name: &[u8]| name.get(same).copied().unwrap_or(0);
    (Reverse(same), at(name).abs_diff(at(other)))
}

/// What follows the last dot of a name, but for numbers and what marks a backup: `gz` of `a.tar.gz.1~`.
fn suffix(name: &[u8]) -> &[u8] {
    let mut rest = name;
    loop {
        while let [stem @ .., b'~'] = rest {
            rest = stem;
        }
        let dot = rest.iter().rposition(|byte| *byte == b'.');
        // A name that begins with a dot is a hidden one.
        let Some(dot) = dot.filter(|dot| *dot > 0) else {
            return b"";
        };
        let last = &rest[dot + 1..];
        let number = last.strip_prefix(b"~").unwrap_or(last);
        let mark = matches!(last, b"bak" | b"old" | b"orig");
        if !mark && !number.iter().all(u8::is_ascii_digit) {
            return last;
        }
        rest = &rest[..dot];
    }
}

impl Side<'_, '_> {
    /// What stands in for a file that is missing, if something does.
    pub(crate) async fn stand_in(
        &self,
        target: &Target,
        name: &[u8],
        want: &Attributes,
    ) -> Option<StandIn> {
        let options = self.run.options;
        options.fuzzy?;
        // Of a whole file no basis is of use, and what is held is a better one.
        if options.whole_file || want.size == 0 || self.holds(target, name).await {
            return None;
        }
        let known = target.candidates.borrow().clone();
        let candidates = known.get_or_init(|| self.candidates(target)).await;
        let same = |file: &&Candidate| {
            let found = Attributes {
                mtime: file.mtime,
                ..*want
            };
            file.size == want.size && self.same_time(want, &found)
        };
        let same = candidates.files.iter().find(same);
        let file = same.or_else(|| candidates.similar(name))?;
        let found = candidates.name(file);
        let dir = match file.tree {
            None => self.directory(target).await.ok()?,
            Some(tree) => {
                let others = self.alternates_of(target).await;
                others.get(usize::from(tree))?.clone()?
            }
        };
        let others = options.alternates.iter().flat_map(|others| &others.dirs);
        let tree = file
            .tree
            .and_then(|tree| others.into_iter().nth(tree.into()));
        self.run.event(Event::StandIn {
            path: &target.join(name),
            basis: &join(&target.path, found),
            tree: tree.map(|tree| &tree[..]),
            same: same.is_some(),
        });
        Some(StandIn {
            dir,
            name: found.to_vec(),
            size: file.size,
            guessed: true,
        })
    }

    /// The files that may stand in for those that are missing in a directory. What cannot be read has none.
    async fn candidates(&self, target: &Target) -> Candidates {
        let mut candidates = Candidates::default();
        if target.state() == State::Ready && !target.fresh.get() {
            if let Ok(dir) = self.directory(target).await {
                let _ = self.add_candidates(&mut candidates, None, &dir).await;
            }
        }
        if self.run.options.fuzzy == Some(Fuzzy::Everywhere) {
            let others = self.alternates_of(target).await;
            for (tree, dir) in (0..).zip(others.iter()) {
                if let Some(dir) = dir {
                    let _ = self.add_candidates(&mut candidates, Some(tree), dir).await;
                }
            }
        }
        candidates
    }

    async fn add_candidates(
        &self,
        candidates: &mut Candidates,
        tree: Option<u8>,
        dir: &Rc<Held>,
    ) -> Result<(), Errno> {
        let io = &self.run.io;
        // The one that is held may have been read to its end, or be read by somebody else just now.
        let own = io.open(dir.at(), b".", DIRECTORY, 0).await?;
        let mut names = Names::new();
        let read = names.read(io, &own).await;
        let _ = own.close().await;
        let is_file = |d_type| {
            matches!(
                FileType::from_d_type(d_type),
                FileType::Regular | FileType::Unknown
            )
        };
        let names = names.sorted().into_iter();
        let names = names.filter(|(name, d_type)| is_file(*d_type) && !is_temporary(name));
        let room = CANDIDATES - candidates.files.len();
        let names: Vec<_> = names.take(room).map(|(name, _)| name).collect();
        for names in names.chunks(WINDOW) {
            let posted: Vec<_> = names.iter().map(|name| io.stat(dir.at(), name)).collect();
            for (name, stat) in names.iter().zip(posted) {
                // What has gone by now stands in for nothing.
                let found = stat.await.ok();
                if let Some(found) =
                    found.filter(|found| found.kind == Kind::Regular && found.size > 0)
                {
                    candidates.add(tree, name, &found);
                }
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similar<'n>(name: &str, others: &[&'n str]) -> Option<&'n str> {
        let mut candidates = Candidates::default();
        let found = Attributes {
            kind: Kind::Regular,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 1,
            mtime: (0, 0),
            atime: 0,
            links: 1,
            inode: (0, 0),
            rdev: 0,
        };
        for other in others {
            candidates.add(None, other.as_bytes(), &found);
        }
        let found = candidates.similar(name.as_bytes())?;
        let found = candidates.name(found);
        others
            .iter()
            .copied()
            .find(|other| other.as_bytes() == found)
    }

    #[test]
    fn numbers_and_marks_of_backups_are_no_suffixes() {
        let cases = [
            ("a.txt", "txt"),
            ("a.tar.gz", "gz"),
            ("a.txt~", "txt"),
            ("a.txt.bak", "txt"),
            ("a.txt.~12~", "txt"),
            ("a.txt.orig.1", "txt"),
            ("liba.so.6.0.1", "so"),
            ("a.1", ""),
            ("1.0", ""),
            (".profile", ""),
            (".profile.old", ""),
            ("a", ""),
            ("a.", ""),
            ("~", ""),
            ("", ""),
        ];
        for (name, expected) in cases {
            assert_eq!(suffix(name.as_bytes()), expected.as_bytes(), "{name}");
        }
    }

    #[test]
    fn the_most_similar_name_is_found() {
        let long = "a123456789012345678901234.txt";
        let cases: [(&str, &[&str], Option<&str>); 9] = [
            ("a.txt", &["a.txt.bak", "b.txt", "a.doc"], Some("b.txt")),
            ("f.tar.gz", &["f.tar.bz2", "f1.tar.gz"], Some("f1.tar.gz")),
            (
                "2024.log",
                &["2014.log", "2021.log", "2023.log", "3024.log"],
                Some("2023.log"),
            ),
            ("log.3", &["log.1", "log.2"], Some("log.2")),
            ("abc", &["xyz"], Some("xyz")),
            ("a.txt", &["a.c"], None),
            (long, &["a.txt"], Some("a.txt")),
            (&long.replace('a', "aa"), &["a.txt"], None),
            ("a", &[], None),
        ];
        for (name, others, expected) in cases {
            assert_eq!(similar(name, others), expected, "{name} {others:?}");
        }
    }

    #[test]
    fn of_many_files_those_near_the_missing_one_are_compared() {
        let names: Vec<_> = (0..NEAR).map(|number| format!("b{number:05}")).collect();
        let mut others: Vec<_> = names[1..].iter().map(|name| &name[..]).collect();
        others.push("zfile");
        assert_eq!(similar("afile", &others), Some("zfile"));
        others.insert(0, &names[0]);
        assert_ne!(similar("afile", &others), Some("zfile"));
    }

    #[test]
    fn a_candidate_is_small() {
        assert!(size_of::<Candidate>() <= 32);
    }
}
