// SPDX-License-Identifier: MIT OR Apache-2.0

//! The rules that hold in one directory: those for everywhere, and those of per-directory files.

use super::Written;
use super::read::{FilterList, Item, Shown};
use super::rule::{DirMerge, Rule};
use crate::error::Cause;
use crate::io::{Held, Io, c_name};
use crate::spec::join;
use libflexsc::op::Readlinkat;
use libflexsc::{At, Errno};
use std::borrow::Cow;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::sync::Arc;

/// The longest per-directory file, bytes.
const LONGEST: usize = 1 << 20;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The sender, which leaves out what is excluded.
    Sender,
    /// The receiver, which does not delete what is excluded.
    Receiver,
    /// The receiver, in a directory that it deletes.
    Removing,
}

/// Where a pattern that begins with a slash begins.
#[derive(Debug)]
enum Base {
    /// In this directory of the transfer.
    Within(Vec<u8>),
    /// In this directory above the transfer, its path without the first slash.
    Above(Vec<u8>),
}

/// The rules of one per-directory file, and those that they come before.
#[derive(Debug)]
struct Level {
    base: Base,
    rules: Vec<Shown>,
    outer: Option<Rc<Level>>,
}

/// The rules in one directory.
#[derive(Debug)]
pub(crate) struct Scope {
    list: Arc<FilterList>,
    /// One for each per-directory file.
    levels: Vec<Option<Rc<Level>>>,
    /// The path of the transfer's root from the root directory on, without the first slash; empty when not needed.
    root: Rc<[u8]>,
}

/// What cannot be read, and why.
pub(crate) type Wrong = (Vec<u8>, Cause);

impl Scope {
    /// The rules around what is transferred: the contents of `root` or, if it is `above`, some entries of it.
    pub(crate) async fn around(
        io: &Io,
        list: &Arc<FilterList>,
        root: &Held,
        above: bool,
    ) -> Result<Rc<Self>, Wrong> {
        let mut scope = Self {
            list: list.clone(),
            levels: list.merges.iter().map(|_| None).collect(),
            root: Rc::default(),
        };
        if !list.is_absolute() {
            return Ok(Rc::new(scope));
        }
        let link = format!("/proc/self/fd/{}", root.fd().as_raw_fd());
        let path = io
            .handle
            .submit(Readlinkat::new(At::Cwd, c_name(link.as_bytes())))
            .await
            .map_err(|errno| (link.into_bytes(), Cause::Errno(errno)))?;
        let path = path.strip_prefix(b"/").unwrap_or(&path).to_vec();
        for (index, merge) in list.merges.iter().enumerate() {
            if !merge.above {
                continue;
            }
            let slashes = (0..path.len()).filter(|at| path[*at] == b'/');
            let ends = std::iter::once(0).chain(slashes);
            let last = (above && !path.is_empty()).then_some(path.len());
            // The root directory is above itself only when something in it is transferred.
            let ends = ends.filter(|_| above || !path.is_empty()).chain(last);
            let mut level = None;
            for end in ends {
                let base = &path[..end];
                let name = [b"/", base, b"/", &merge.name[..]].concat();
                level = read_level(io, list, merge, At::Cwd, &name, level, || {
                    Base::Above(base.to_vec())
                })
                .await?;
            }
            scope.levels[index] = level;
        }
        scope.root = path.into();
        Ok(Rc::new(scope))
    }

    /// The rules in a directory that is in this one; `path` is its path in the transfer.
    pub(crate) async fn enter(
        self: &Rc<Self>,
        io: &Io,
        dir: &Held,
        path: &[u8],
    ) -> Result<Rc<Self>, Wrong> {
        if self.levels.is_empty() {
            return Ok(self.clone());
        }
        let mut levels = Vec::with_capacity(self.levels.len());
        for (merge, outer) in self.list.merges.iter().zip(&self.levels) {
            let (list, outer) = (&self.list, outer.clone());
            let base = || Base::Within(path.to_vec());
            let level = read_level(io, list, merge, dir.at(), &merge.name, outer, base).await;
            levels.push(level.map_err(|(name, cause)| (join(path, &name), cause))?);
        }
        Ok(Rc::new(Self {
            list: self.list.clone(),
            levels,
            root: self.root.clone(),
        }))
    }

    /// Whether there are no rules, so that nothing is excluded.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a file is excluded: hidden from the file list or protected from deletion. `path` is its path in the transfer.
    pub(crate) fn excludes(&self, side: Side, path: &[u8], directory: bool) -> bool {
        self.excluding(side, path, directory).is_some()
    }

    /// The rule that [`excludes`](Self::excludes) a file, if one does.
    pub(crate) fn excluding(&self, side: Side, path: &[u8], directory: bool) -> Option<&Written> {
        let file = File {
            scope: self,
            side,
            path,
            directory,
        };
        let first = self.list.items.iter().find_map(|item| match item {
            Item::Rule(rule) => file.decides(rule, None).then_some(rule),
            Item::DirMerge(index) => {
                let mut level = self.levels.get(*index)?.as_ref();
                while let Some(Level { base, rules, outer }) = level.map(|level| &**level) {
                    let decided = rules.iter().find(|rule| file.decides(rule, Some(base)));
                    if decided.is_some() {
                        return decided;
                    }
                    level = outer.as_ref();
                }
                None
            }
        });
        let (rule, written) = first?;
        (!rule.include).then_some(&**written)
    }
}

/// Reads a per-directory file and puts its rules before those of the directories above.
async fn read_level(
    io: &Io,
    list: &FilterList,
    merge: &DirMerge,
    at: At,
    name: &[u8],
    outer: Option<Rc<Level>>,
    base: impl FnOnce() -> Base,
) -> Result<Option<Rc<Level>>, Wrong> {
    let outer = outer.filter(|_| merge.inherited);
    let data = match io.read_file(at, name, libc::O_NOFOLLOW, LONGEST).await {
        Ok(data) => data,
        // A directory of that name has no rules.
        Err(Errno::ENOENT | Errno::EISDIR) => return Ok(outer),
        Err(errno) => return Err((name.to_vec(), Cause::Errno(errno))),
    };
    let base = base();
    let shown = match &base {
        Base::Within(dir) => join(dir, name),
        Base::Above(_) => name.to_vec(),
    };
    match list.per_directory(&data, merge, &shown) {
        Ok((rules, cleared)) => Ok(Some(Rc::new(Level {
            base,
            rules,
            outer: outer.filter(|_| !cleared),
        }))),
        Err((line, reason)) => Err((name.to_vec(), Cause::Filter { line, reason })),
    }
}

/// A file that rules are asked about.
struct File<'a> {
    scope: &'a Scope,
    side: Side,
    path: &'a [u8],
    directory: bool,
}

impl File<'_> {
    /// Whether a rule includes or excludes it.
    fn decides(&self, (rule, _): &Shown, base: Option<&Base>) -> bool {
        let counts = rule.sides.is_none_or(|sides| match self.side {
            Side::Sender => sides.sender,
            Side::Receiver => sides.receiver,
            Side::Removing => sides.receiver && !rule.perishable,
        });
        counts && self.matches(rule, base) != rule.negated
    }

    fn matches(&self, rule: &Rule, base: Option<&Base>) -> bool {
        let anchored = rule.pattern.is_anchored();
        let path = match base {
            _ if rule.absolute => Some(Cow::Owned(self.absolute())),
            Some(Base::Within(base)) if anchored => below(self.path, base).map(Cow::Borrowed),
            Some(Base::Above(base)) if anchored => {
                below(&self.absolute(), base).map(|path| Cow::Owned(path.to_vec()))
            }
            _ => Some(Cow::Borrowed(self.path)),
        };
        path.is_some_and(|path| rule.pattern.matches(&path, self.directory))
    }

    fn absolute(&self) -> Vec<u8> {
        join(&self.scope.root, self.path)
    }
}

/// The part of a path that is below a directory.
fn below<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    match directory {
        [] => Some(path),
        _ => path.strip_prefix(directory)?.strip_prefix(b"/"),
    }
}
