// SPDX-License-Identifier: MIT OR Apache-2.0

//! What arguments name, ready to be walked over: a tree of the directories that lead to it.
//!
//! Without `--relative` there is only the root of the tree. With it, `a/b/c` is the entry `c` of the directory `b`, whose
//! other entries take no part.

use crate::filter::{self, Scope, Written};
use crate::io::{Held, Io, Links, WAY};
use crate::list::{Attributes, Extent, Kind};
use crate::spec::join;
use libflexsc::Errno;
use std::collections::HashMap;
use std::rc::Rc;

/// A directory that sources are reached from.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) dir: Rc<Held>,
    /// The path below `dir` that leads to it by symbolic links, if an argument names some; else empty.
    pub(crate) links: Vec<u8>,
    /// Its path as given.
    pub(crate) path: Vec<u8>,
    /// Where it is in the transfer; empty for most.
    pub(crate) at: Vec<u8>,
    /// Whether paths of the transfer that begin here are shown with a slash before them.
    pub(crate) absolute: bool,
    /// The filter rules around what is taken from it.
    pub(crate) scope: Rc<Scope>,
}

/// A source directory: where it is below its root.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) root: Rc<Root>,
    pub(crate) path: Vec<u8>,
    /// The filter rules around it and, once it was opened, in it.
    pub(crate) scope: Rc<Scope>,
    /// The device of what the argument names.
    pub(crate) device: u64,
    /// The argument's number.
    pub(crate) argument: u32,
}

impl Part {
    /// Opens it.
    pub(crate) async fn open(&self, io: &Io, flags: i32) -> Result<Rc<Held>, Errno> {
        let Root { dir, links, .. } = &*self.root;
        let linked;
        let dir = match &links[..] {
            // This one is open already, to be reached through.
            b"" if self.path.is_empty() && flags == WAY => return Ok(dir.clone()),
            b"" => &**dir,
            links => {
                linked = io.open(dir.at(), links, WAY & !libc::O_NOFOLLOW, 0).await?;
                &linked
            }
        };
        let opened = io.beneath(dir, &self.path, flags, Links::Refuse).await;
        opened.map(Rc::new)
    }

    /// The directory `name` in it, to which a symbolic link leads if it is `followed`.
    pub(crate) fn inner(&self, name: &[u8], followed: bool) -> Self {
        let path = join(&self.path, name);
        if !followed {
            return Self {
                path,
                ..self.clone()
            };
        }
        let root = Root {
            dir: self.root.dir.clone(),
            links: join(&self.root.links, &path),
            path: join(&self.root.path, &path),
            at: join(&self.root.at, &path),
            absolute: self.root.absolute,
            scope: self.scope.clone(),
        };
        Self {
            root: Rc::new(root),
            path: Vec::new(),
            ..self.clone()
        }
    }

    /// Where it is in the transfer.
    pub(crate) fn place(&self) -> Vec<u8> {
        join(&self.root.at, &self.path)
    }

    /// Whether a filter rule hides an entry.
    pub(crate) fn hides(&self, name: &[u8], directory: bool) -> bool {
        !self.scope.is_empty() && self.hiding(name, directory).is_some()
    }

    /// The filter rule that hides an entry, if one does.
    pub(crate) fn hiding(&self, name: &[u8], directory: bool) -> Option<&Written> {
        let path = join(&self.place(), name);
        self.scope.excluding(filter::Side::Sender, &path, directory)
    }

    /// Its path, without a dot for the contents of a directory.
    pub(crate) fn origin(&self) -> Vec<u8> {
        let root = &self.root.path[..];
        join(root.strip_suffix(b"/.").unwrap_or(root), &self.path)
    }

    /// The path of `name` in it, as the user would write it.
    pub(crate) fn display(&self, name: &[u8]) -> Vec<u8> {
        join(&join(&self.root.path, &self.path), name)
    }
}

/// What arguments name in one directory of the transfer.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// In the order of the arguments.
    pub(crate) items: Vec<Item>,
    /// The directories that lead to more.
    pub(crate) inner: HashMap<Vec<u8>, Named>,
}

/// What one argument names.
#[derive(Debug)]
pub(crate) struct Item {
    /// The argument's number.
    pub(crate) argument: u32,
    /// The directory that the argument's path begins at.
    pub(crate) root: Rc<Root>,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// The contents of the directory.
    Contents { attributes: Attributes },
    /// An entry of it.
    Entry {
        name: Vec<u8>,
        attributes: Attributes,
        extent: Extent,
        /// Whether a symbolic link leads to it.
        followed: bool,
    },
    /// Something that is not there, and is not to be at the destination either.
    Missing { name: Vec<u8> },
}

impl Named {
    /// The directory at `path`, which is made where the tree does not have it.
    pub(crate) fn directory(&mut self, path: &[u8]) -> &mut Self {
        let names = path.split(|byte| *byte == b'/');
        names
            .filter(|name| !name.is_empty())
            .fold(self, |named, name| {
                named.inner.entry(name.to_vec()).or_default()
            })
    }

    /// Whether arguments name nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.inner.is_empty()
    }

    /// The only thing that is named, if that is no directory.
    pub(crate) fn single(&self) -> Option<&Item> {
        let [item] = &self.items[..] else {
            return None;
        };
        let is_file = match &item.what {
            What::Contents { .. } => false,
            What::Entry { attributes, .. } => attributes.kind != Kind::Directory,
            What::Missing { .. } => true,
        };
        (is_file && self.inner.is_empty()).then_some(item)
    }

    /// All that is named, with the path of the directory that it is in.
    pub(crate) fn all(&self) -> Vec<(Rc<[u8]>, &Item)> {
        let mut all = Vec::new();
        let mut stack = vec![(Rc::from(&b""[..]), self)];
        while let Some((path, named)) = stack.pop() {
            all.extend(named.items.iter().map(|item| (Rc::clone(&path), item)));
            let inner = named.inner.iter();
            stack.extend(inner.map(|(name, named)| (Rc::from(join(&path, name)), named)));
        }
        all
    }
}

/// The source, ready to be walked over.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) named: Named,
    /// The attributes that the root of the transfer is to have.
    pub(crate) root: Option<Attributes>,
    /// What the only entry is called at the destination, if not as it is called here.
    pub(crate) rename: Option<Vec<u8>>,
    /// The destination's device and inode number: it is left out.
    pub(crate) destination: Option<(u64, u64)>,
    /// Whether all arguments could be looked at.
    pub(crate) complete: bool,
    /// Whether one name may come more than once.
    pub(crate) repeated: bool,
}
