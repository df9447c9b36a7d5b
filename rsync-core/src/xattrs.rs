// SPDX-License-Identifier: MIT OR Apache-2.0

//! Extended attributes: which are copied, and how they are read, compared and set.
//!
//! Those of an open file are reached by its descriptor. Those of a name in a held directory are reached by
//! `/proc/self/fd/N/NAME`, which ends in the name itself and follows no symbolic link there, so that neither a link nor
//! a device, which cannot be opened, needs to be.

use crate::error::Action;
use crate::filter::FilterList;
use crate::io::{Held, Io, SOURCE, c_name};
use crate::list::Kind;
use crate::options::Options;
use crate::run::Run;
use crate::side::Side;
use libflexsc::Errno;
use libflexsc::op::{
    Fchmod, Fgetxattr, Flistxattr, Fremovexattr, Fsetxattr, Lgetxattr, Llistxattr, Lremovexattr,
    Lsetxattr,
};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::AsRawFd as _;

/// Room that suffices mostly, bytes.
const FIRST: usize = 1024;

/// The most bytes that Linux has in a value, or in a list of names.
const MOST: usize = 65536;

/// The extended attributes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Xattrs(BTreeMap<CString, Vec<u8>>);

/// What makes the extended attributes of a file those that it is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct XattrChanges {
    set: Vec<(CString, Vec<u8>)>,
    remove: Vec<CString>,
}

/// Which side of the transfer a file is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Source,
    Destination,
}

/// A file whose extended attributes are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose<'a> {
    /// It is open.
    Open(&'a Held),
    /// It has this name in a directory that may be open to be reached through only.
    Named(&'a Held, &'a [u8]),
}

impl XattrChanges {
    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// Sets capabilities of a program once more, which it loses when it gets another owner.
    pub(crate) fn renew(&mut self, want: Option<&Xattrs>) {
        const LOST: &CStr = c"security.capability";
        let lost = want.and_then(|want| Some((LOST.to_owned(), want.0.get(LOST)?.clone())));
        let known = self.set.iter().any(|(name, _)| **name == *LOST);
        self.set.extend(lost.filter(|_| !known));
    }
}

impl Xattrs {
    /// About how many bytes they would take on a wire.
    pub(crate) fn weight(&self) -> u64 {
        let each = self.0.iter();
        let each = each.map(|(name, value)| name.as_bytes().len() + value.len() + 4);
        each.sum::<usize>() as u64
    }

    /// What makes `found` these, as far as they take part there.
    fn changes(&self, found: &Self, takes_part: impl Fn(&CStr) -> bool) -> XattrChanges {
        let set = self.0.iter().filter(|(name, _)| takes_part(name));
        let set = set.filter(|(name, value)| found.0.get(*name) != Some(value));
        let gone = found.0.keys().filter(|name| !self.0.contains_key(*name));
        XattrChanges {
            set: set
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            remove: gone.cloned().collect(),
        }
    }
}

/// Whether an attribute takes part. Rules decide if there are any; else for the superuser all do but those of the system, for
/// others those of users. What rsync keeps in attributes of its own is only sent if that is asked for.
fn takes_part(name: &CStr, options: &Options, origin: Origin, rules: Option<&FilterList>) -> bool {
    let name = name.to_bytes();
    let sender = origin == Origin::Source;
    let own = name.starts_with(b"user.rsync.%");
    let hidden = own && sender && !options.special_xattrs;
    let decided = rules.and_then(|rules| rules.keeps_xattr(name, sender));
    let allowed = decided.unwrap_or_else(|| match options.acts_as_root() {
        true => !name.starts_with(b"system."),
        false => name.starts_with(b"user."),
    });
    allowed && !hidden
}

impl Whose<'_> {
    fn path(dir: &Held, name: &[u8]) -> CString {
        let dir = format!("/proc/self/fd/{}/", dir.fd().as_raw_fd());
        c_name(&[dir.as_bytes(), name].concat())
    }

    /// The names of all of them, each with a NUL byte at its end.
    async fn list(self, io: &Io) -> Result<Vec<u8>, Errno> {
        let list = |room| async move {
            match self {
                Self::Open(file) => io.handle.submit(Flistxattr::new(file.fd(), room)).await,
                Self::Named(dir, name) => {
                    let op = Llistxattr::new(Self::path(dir, name), room);
                    io.handle.submit(op).await
                }
            }
        };
        match list(FIRST).await {
            Err(Errno::ERANGE) => list(MOST).await,
            // Nor does it have any then.
            Err(Errno::EOPNOTSUPP) => Ok(Vec::new()),
            listed => listed,
        }
    }

    async fn get(self, io: &Io, attribute: &CStr) -> Result<Vec<u8>, Errno> {
        let get = |room| async move {
            let attribute = attribute.to_owned();
            match self {
                Self::Open(file) => {
                    let op = Fgetxattr::new(file.fd(), attribute, room);
                    io.handle.submit(op).await
                }
                Self::Named(dir, name) => {
                    let op = Lgetxattr::new(Self::path(dir, name), attribute, room);
                    io.handle.submit(op).await
                }
            }
        };
        match get(FIRST).await {
            Err(Errno::ERANGE) => get(MOST).await,
            got => got,
        }
    }

    /// Those that take part.
    pub(crate) async fn read(self, run: &Run<'_>, origin: Origin) -> Result<Xattrs, Errno> {
        let (io, options) = (&run.io, run.options);
        let rules = run.filters.get().map(|rules| &**rules);
        let listed = self.list(io).await?;
        let mut xattrs = BTreeMap::new();
        let names = listed.split_inclusive(|byte| *byte == 0);
        for name in names.filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
            if !takes_part(name, options, origin, rules) {
                continue;
            }
            match self.get(io, name).await {
                Ok(value) => drop(xattrs.insert(name.to_owned(), value)),
                // It was removed meanwhile.
                Err(Errno::ENODATA) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(Xattrs(xattrs))
    }

    /// Makes changes; what fails does not stop the others, and the first error comes back.
    async fn change(self, io: &Io, changes: &XattrChanges) -> Result<(), Errno> {
        let mut result = Ok(());
        for (attribute, value) in &changes.set {
            let (attribute, value) = (attribute.clone(), value.clone());
            let set = match self {
                Self::Open(file) => {
                    let op = Fsetxattr::new(file.fd(), attribute, value, 0);
                    io.handle.submit(op).await
                }
                Self::Named(dir, name) => {
                    let op = Lsetxattr::new(Self::path(dir, name), attribute, value, 0);
                    io.handle.submit(op).await
                }
            };
            result = result.and(set);
        }
        for attribute in &changes.remove {
            let removed = match self {
                Self::Open(file) => {
                    let op = Fremovexattr::new(file.fd(), attribute.clone());
                    io.handle.submit(op).await
                }
                Self::Named(dir, name) => {
                    let op = Lremovexattr::new(Self::path(dir, name), attribute.clone());
                    io.handle.submit(op).await
                }
            };
            result = result.and(match removed {
                Err(Errno::ENODATA) => Ok(()),
                removed => removed,
            });
        }
        result
    }
}

impl Side<'_, '_> {
    /// What makes the extended attributes of a file those that are wanted: nothing where they are not kept, or not known. That
    /// they cannot be read is reported.
    pub(crate) async fn xattr_changes(
        &self,
        whose: Whose<'_>,
        want: Option<&Xattrs>,
        path: &[u8],
    ) -> XattrChanges {
        let (options, Some(want)) = (self.run.options, want) else {
            return XattrChanges::default();
        };
        if !options.xattrs {
            return XattrChanges::default();
        }
        match whose.read(self.run, Origin::Destination).await {
            Ok(found) => {
                let rules = self.run.filters.get().map(|rules| &**rules);
                want.changes(&found, |name| {
                    takes_part(name, options, Origin::Destination, rules)
                })
            }
            Err(errno) => {
                self.fail(path, Action::ReadXattrs, errno);
                XattrChanges::default()
            }
        }
    }

    /// Whether the extended attributes of a name in a directory, if that is there, are not those that are wanted.
    pub(crate) async fn xattrs_differ(
        &self,
        dir: Option<&Held>,
        name: &[u8],
        want: Option<&Xattrs>,
        path: &[u8],
    ) -> bool {
        let Some(dir) = dir else { return false };
        let changes = self.xattr_changes(Whose::Named(dir, name), want, path);
        !changes.await.is_empty()
    }

    /// Changes extended attributes; true if that went well.
    pub(crate) async fn set_xattrs(
        &self,
        whose: Whose<'_>,
        changes: &XattrChanges,
        path: &[u8],
    ) -> bool {
        if changes.is_empty() {
            return true;
        }
        let io = &self.run.io;
        let mut result = whose.change(io, changes).await;
        if result == Err(Errno::EACCES) {
            // Attributes of users are only set by whom the mode lets write, also through an open file.
            result = self.change_unprotected(whose, changes).await;
        }
        self.check(result, path, Action::SetXattrs)
    }

    /// Changes extended attributes of a file while its owner may write to it.
    async fn change_unprotected(
        &self,
        whose: Whose<'_>,
        changes: &XattrChanges,
    ) -> Result<(), Errno> {
        let io = &self.run.io;
        let opened;
        let file = match whose {
            Whose::Open(file) => file,
            Whose::Named(dir, name) => {
                // To open a device can mean anything.
                match io.stat(dir.at(), name).await?.kind {
                    Kind::Regular | Kind::Directory => {}
                    _ => return Err(Errno::EACCES),
                }
                opened = io.open(dir.at(), name, SOURCE, 0).await?;
                &opened
            }
        };
        let mode = io.stat_held(file).await?.mode;
        if mode & 0o200 != 0 {
            return Err(Errno::EACCES);
        }
        let chmod = |mode| io.handle.submit(Fchmod::new(file.fd(), mode));
        chmod(mode | 0o200).await?;
        let changed = Whose::Open(file).change(io, changes).await;
        chmod(mode).await?;
        changed
    }

    /// Gives an open file the extended attributes of another one of the destination.
    pub(crate) async fn copy_xattrs(&self, from: &Held, to: &Held, path: &[u8]) {
        if !self.run.options.xattrs {
            return;
        }
        match Whose::Open(from).read(self.run, Origin::Destination).await {
            Ok(have) => {
                let changes = self.xattr_changes(Whose::Open(to), Some(&have), path).await;
                self.set_xattrs(Whose::Open(to), &changes, path).await;
            }
            Err(errno) => self.fail(path, Action::ReadXattrs, errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Identity;

    #[test]
    fn whose_attributes_take_part_is_as_for_rsync() {
        let user = Identity {
            uid: 1,
            gid: 1,
            groups: Vec::new(),
        };
        let root = Identity {
            uid: 0,
            ..user.clone()
        };
        let takes = |name: &str, identity: &Identity, special, origin| {
            let options = Options {
                identity: identity.clone(),
                special_xattrs: special,
                ..Options::default()
            };
            takes_part(&CString::new(name).unwrap(), &options, origin, None)
        };
        for (name, of_user, of_root) in [
            ("user.a", true, true),
            ("trusted.a", false, true),
            ("security.capability", false, true),
            ("system.posix_acl_access", false, false),
            ("user.rsync.a", true, true),
        ] {
            for origin in [Origin::Source, Origin::Destination] {
                assert_eq!(takes(name, &user, false, origin), of_user, "{name}");
                assert_eq!(takes(name, &root, false, origin), of_root, "{name}");
            }
        }
        let own = "user.rsync.%stat";
        assert!(!takes(own, &root, false, Origin::Source));
        assert!(takes(own, &root, true, Origin::Source));
        assert!(takes(own, &user, false, Origin::Destination));
    }
}
