// SPDX-License-Identifier: MIT OR Apache-2.0

//! Extended attributes: which are copied, and how they are read, compared and set. Access control lists are two of them, which
//! are kept by themselves ([`Acls`]).
//!
//! Those of an open file are reached by its descriptor. Those of a name in a held directory are reached by
//! `/proc/self/fd/N/NAME`, which ends in the name itself and follows no symbolic link there, so that neither a link nor
//! a device, which cannot be opened, needs to be.

use crate::acl::{Acl, AclError};
use crate::error::{Action, Cause};
use crate::fake;
use crate::filter::FilterList;
use crate::io::{Held, Io, SOURCE, c_name};
use crate::item::Differences;
use crate::list::{Attributes, Kind};
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

/// Who may do what with a file.
const ACCESS: &CStr = c"system.posix_acl_access";

/// What files that are made in a directory begin with.
const DEFAULT: &CStr = c"system.posix_acl_default";

/// The extended attributes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Xattrs {
    /// What file it is.
    kind: Kind,
    named: BTreeMap<CString, Vec<u8>>,
    /// Not of what can have none, nor if they are not asked for.
    acls: Option<Acls>,
}

/// The access control lists of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Acls {
    /// The mode that a file with them is to have.
    mode: u32,
    /// One that says more than the mode.
    access: Option<Box<Acl>>,
    default: Option<Box<Acl>>,
}

/// What makes the extended attributes of a file those that it is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct XattrChanges {
    set: Vec<(CString, Vec<u8>)>,
    remove: Vec<CString>,
    access: Option<Acl>,
    default: Option<DefaultAcl>,
}

/// What becomes of a default access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DefaultAcl {
    Set(Acl),
    Remove,
}

/// In which extended attributes two files differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unlike {
    /// In access control lists.
    pub(crate) acls: bool,
    /// In others.
    pub(crate) others: bool,
}

impl Unlike {
    pub(crate) fn is_any(self) -> bool {
        self != Self::default()
    }
}

impl Differences {
    /// These, and those in extended attributes.
    pub(crate) fn and(self, unlike: Unlike) -> Self {
        Self {
            acl: unlike.acls,
            xattrs: unlike.others,
            ..self
        }
    }
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

impl Acls {
    /// Those of a file with this mode. One that says no more than that is none.
    fn new(mode: u32, access: Option<Acl>, default: Option<Acl>) -> Self {
        Self {
            mode,
            access: access.filter(Acl::is_extended).map(Box::new),
            default: default.map(Box::new),
        }
    }
}

impl XattrChanges {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is to be changed.
    pub(crate) fn unlike(&self) -> Unlike {
        Unlike {
            acls: self.access.is_some() || self.default.is_some(),
            others: !(self.set.is_empty() && self.remove.is_empty()),
        }
    }

    /// Those of access control lists.
    pub(crate) fn only_acls(self) -> Self {
        Self {
            access: self.access,
            default: self.default,
            ..Self::default()
        }
    }

    /// The mode that a file is to have if its access control list could not be set.
    pub(crate) fn narrow(&self, mode: u32) -> u32 {
        self.access.as_ref().map_or(mode, |acl| acl.narrow(mode))
    }

    /// Sets capabilities of a program once more, which it loses when it gets another owner.
    pub(crate) fn renew(&mut self, want: Option<&Xattrs>) {
        const LOST: &CStr = c"security.capability";
        let lost = want.and_then(|want| Some((LOST.to_owned(), want.named.get(LOST)?.clone())));
        let known = self.set.iter().any(|(name, _)| **name == *LOST);
        self.set.extend(lost.filter(|_| !known));
    }
}

impl Xattrs {
    /// About how many bytes they would take on a wire.
    pub(crate) fn weight(&self) -> u64 {
        let each = self.named.iter();
        let each = each.map(|(name, value)| name.as_bytes().len() + value.len() + 4);
        let acls = self.acls.iter();
        let acls = acls.flat_map(|acls| [&acls.access, &acls.default]);
        let acls = acls.flatten().map(|acl| acl.weight());
        (each.sum::<usize>() + acls.sum::<usize>()) as u64
    }

    /// The mode that a file may have while it does not have these.
    pub(crate) fn narrow(&self, mode: u32) -> u32 {
        let acl = self.acls.as_ref().and_then(|acls| acls.access.as_ref());
        acl.map_or(mode, |acl| acl.narrow(mode))
    }

    /// These as they are kept by files that stand for others.
    fn kept(&self) -> Self {
        let named = self.named.iter();
        let named = named.map(|(name, value)| (fake::kept_as(name), value.clone()));
        Self {
            named: named.collect(),
            ..self.clone()
        }
    }

    /// What makes `found` these, as far as they take part there.
    fn changes(
        &self,
        found: &Self,
        takes_part: impl Fn(&CStr) -> bool,
        map: impl Fn(&Acl) -> Acl,
    ) -> XattrChanges {
        let set = self.named.iter().filter(|(name, _)| takes_part(name));
        let set = set.filter(|(name, value)| found.named.get(*name) != Some(value));
        let gone = found.named.keys();
        let gone = gone.filter(|name| !self.named.contains_key(*name));
        let (mut access, mut default) = (None, None);
        if let (Some(want), Some(found)) = (&self.acls, &found.acls) {
            let wanted = want.access.as_deref().map(&map);
            let like = match (&wanted, &found.access) {
                (Some(wanted), Some(found)) => wanted.is_like(found),
                (wanted, found) => wanted.is_none() && found.is_none(),
            };
            access = (!like).then(|| wanted.unwrap_or_default().with_mode(want.mode));
            let wanted = want.default.as_deref().map(&map);
            default = (wanted.as_ref() != found.default.as_deref())
                .then(|| wanted.map_or(DefaultAcl::Remove, DefaultAcl::Set));
        }
        XattrChanges {
            access,
            default,
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
    let sender = origin == Origin::Source;
    if options.fakes(origin) {
        let keeps = |name: &CStr| {
            let decided = rules.and_then(|rules| rules.keeps_xattr(name.to_bytes(), sender));
            decided.unwrap_or(true)
        };
        // Whatever else a file of the destination has was not kept there.
        let can_be_kept = sender || name.to_bytes().starts_with(b"user.");
        let other = fake::stands_for(name).filter(|_| can_be_kept);
        return other.is_some_and(|other| keeps(name) && keeps(&other));
    }
    let name = name.to_bytes();
    let own = name.starts_with(b"user.rsync.%");
    let hidden = own && sender && !options.special_xattrs;
    let decided = rules.and_then(|rules| rules.keeps_xattr(name, sender));
    let acl = options.acls && [ACCESS, DEFAULT].iter().any(|acl| acl.to_bytes() == name);
    let allowed = decided.unwrap_or_else(|| match options.is_super() {
        true => !name.starts_with(b"system."),
        false => name.starts_with(b"user."),
    });
    allowed && !hidden && !acl
}

/// What an attribute that takes part is called: on the way from a file that stands for another one what it stands for.
fn known_as(name: &CStr, options: &Options, origin: Origin) -> CString {
    let other = match origin {
        Origin::Source if options.fakes(origin) => fake::stands_for(name),
        _ => None,
    };
    other.unwrap_or_else(|| name.to_owned())
}

impl Whose<'_> {
    /// The path by which a name in a held directory is reached.
    pub(crate) fn path(dir: &Held, name: &[u8]) -> CString {
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

    /// Whether a file surely has no extended attributes, access control lists included.
    pub(crate) async fn has_none(self, io: &Io) -> bool {
        self.list(io).await.is_ok_and(|names| names.is_empty())
    }

    /// Whether a directory surely gives no access control list to what is made in it.
    pub(crate) async fn passes_none_on(self, io: &Io) -> bool {
        let default = self.get(io, DEFAULT).await;
        matches!(default, Err(Errno::ENODATA | Errno::EOPNOTSUPP))
    }

    pub(crate) async fn get(self, io: &Io, attribute: &CStr) -> Result<Vec<u8>, Errno> {
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

    /// Those of a file of this kind and mode that take part.
    pub(crate) async fn read(
        self,
        run: &Run<'_>,
        origin: Origin,
        (kind, mode): (Kind, u32),
    ) -> Result<Xattrs, (Action, Cause)> {
        let (mut named, mut acls) = (BTreeMap::new(), None);
        if run.options.acls && kind != Kind::Symlink {
            let (read, action) = match run.options.fakes(origin) {
                true => {
                    let kept = self.kept_acls(&run.io, (kind, mode)).await;
                    (kept, Action::ReadFake)
                }
                false => (self.acls(&run.io, (kind, mode)).await, Action::ReadAcl),
            };
            acls = Some(read.map_err(|cause| (action, cause))?);
        }
        if run.options.xattrs {
            let read = self.named(run, origin).await;
            named = read.map_err(|errno| (Action::ReadXattrs, errno.into()))?;
        }
        Ok(Xattrs { kind, named, acls })
    }

    async fn acls(self, io: &Io, (kind, mode): (Kind, u32)) -> Result<Acls, Cause> {
        let access = self.acl(io, ACCESS, Acl::parse).await?;
        let default = match kind {
            Kind::Directory => self.acl(io, DEFAULT, Acl::parse).await?,
            _ => None,
        };
        Ok(Acls::new(mode, access, default))
    }

    /// Those that are kept of a file that stands for another one. It may have others itself.
    async fn kept_acls(self, io: &Io, (kind, mode): (Kind, u32)) -> Result<Acls, Cause> {
        let parse = |value: &[u8]| Acl::parse_kept(value, Some(mode));
        let access = self.acl(io, fake::ACCESS, parse).await?;
        let parse = |value: &[u8]| Acl::parse_kept(value, None);
        let default = match kind {
            Kind::Directory => self.acl(io, fake::DEFAULT, parse).await?,
            _ => None,
        };
        Ok(Acls::new(mode, access, default))
    }

    async fn acl(
        self,
        io: &Io,
        attribute: &CStr,
        parse: impl Fn(&[u8]) -> Result<Acl, AclError>,
    ) -> Result<Option<Acl>, Cause> {
        match self.get(io, attribute).await {
            Ok(value) => Ok(Some(parse(&value)?)),
            // Not all file systems have them.
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    async fn named(
        self,
        run: &Run<'_>,
        origin: Origin,
    ) -> Result<BTreeMap<CString, Vec<u8>>, Errno> {
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
                Ok(value) => {
                    let known = known_as(name, options, origin);
                    // What was kept goes before what the file has itself.
                    if *known != *name || !xattrs.contains_key(&known) {
                        xattrs.insert(known, value);
                    }
                }
                // It was removed meanwhile.
                Err(Errno::ENODATA) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(xattrs)
    }

    pub(crate) async fn set(self, io: &Io, attribute: &CStr, value: Vec<u8>) -> Result<(), Errno> {
        let attribute = attribute.to_owned();
        match self {
            Self::Open(file) => {
                let op = Fsetxattr::new(file.fd(), attribute, value, 0);
                io.handle.submit(op).await
            }
            Self::Named(dir, name) => {
                let op = Lsetxattr::new(Self::path(dir, name), attribute, value, 0);
                io.handle.submit(op).await
            }
        }
    }

    pub(crate) async fn remove(self, io: &Io, attribute: &CStr) -> Result<(), Errno> {
        let attribute = attribute.to_owned();
        let removed = match self {
            Self::Open(file) => {
                let op = Fremovexattr::new(file.fd(), attribute);
                io.handle.submit(op).await
            }
            Self::Named(dir, name) => {
                let op = Lremovexattr::new(Self::path(dir, name), attribute);
                io.handle.submit(op).await
            }
        };
        match removed {
            Err(Errno::ENODATA) => Ok(()),
            removed => removed,
        }
    }

    /// Makes changes, those of access control lists aside; what fails does not stop the others, and the first error comes back.
    async fn change(self, io: &Io, changes: &XattrChanges) -> Result<(), Errno> {
        let mut result = Ok(());
        for (attribute, value) in &changes.set {
            result = result.and(self.set(io, attribute, value.clone()).await);
        }
        for attribute in &changes.remove {
            result = result.and(self.remove(io, attribute).await);
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
        let (run, Some(want)) = (self.run, want) else {
            return XattrChanges::default();
        };
        let map = |acl: &Acl| {
            let acl = acl.clone();
            acl.mapped(|id| run.user(id), |id| run.group(id))
        };
        let changes = Box::pin(self.compare(whose, want, map)).await;
        changes.unwrap_or_else(|(action, cause)| {
            self.fail(path, action, cause);
            XattrChanges::default()
        })
    }

    async fn compare(
        &self,
        whose: Whose<'_>,
        want: &Xattrs,
        map: impl Fn(&Acl) -> Acl,
    ) -> Result<XattrChanges, (Action, Cause)> {
        let run = self.run;
        // A kept list is compared as it would be kept of the mode that is wanted.
        let mode = want.acls.as_ref().map_or(0, |acls| acls.mode);
        let file = (want.kind, mode);
        let found = whose.read(run, Origin::Destination, file).await?;
        let kept;
        let want = match self.fakes() {
            true => {
                kept = want.kept();
                &kept
            }
            false => want,
        };
        let rules = run.filters.get().map(|rules| &**rules);
        let takes_part = |name: &CStr| takes_part(name, run.options, Origin::Destination, rules);
        Ok(want.changes(&found, takes_part, map))
    }

    /// In which extended attributes a name in a directory, if that is there, is not as wanted.
    pub(crate) async fn unlike(
        &self,
        dir: Option<&Held>,
        name: &[u8],
        want: Option<&Xattrs>,
        path: &[u8],
    ) -> Unlike {
        let Some(dir) = dir else {
            return Unlike::default();
        };
        let changes = self.xattr_changes(Whose::Named(dir, name), want, path);
        changes.await.unlike()
    }

    /// Changes access control lists; true if that went well. A mode that is not that of the list is to be set after that.
    pub(crate) async fn set_acls(
        &self,
        whose: Whose<'_>,
        changes: &XattrChanges,
        path: &[u8],
    ) -> bool {
        let io = &self.run.io;
        let mut result = Ok(());
        if self.fakes() {
            let kept = self.keep_acls(whose, changes).await;
            return self.check(kept, path, Action::SetAcl);
        }
        if let Some(acl) = &changes.access {
            // One that says no more than a mode goes into that, at once with the removal of an older one.
            result = Box::pin(whose.set(io, ACCESS, acl.value())).await;
        }
        result = result.and(match &changes.default {
            Some(DefaultAcl::Set(acl)) => Box::pin(whose.set(io, DEFAULT, acl.value())).await,
            Some(DefaultAcl::Remove) => Box::pin(whose.remove(io, DEFAULT)).await,
            None => Ok(()),
        });
        self.check(result, path, Action::SetAcl)
    }

    /// Changes access control lists that are kept of a file that stands for another one.
    async fn keep_acls(&self, whose: Whose<'_>, changes: &XattrChanges) -> Result<(), Errno> {
        let io = &self.run.io;
        let access = match &changes.access {
            Some(acl) if acl.is_extended() => {
                let value = acl.kept_access();
                whose.set(io, fake::ACCESS, value).await
            }
            Some(_) => whose.remove(io, fake::ACCESS).await,
            None => Ok(()),
        };
        access.and(match &changes.default {
            Some(DefaultAcl::Set(acl)) => whose.set(io, fake::DEFAULT, acl.kept_default()).await,
            Some(DefaultAcl::Remove) => whose.remove(io, fake::DEFAULT).await,
            None => Ok(()),
        })
    }

    /// Changes extended attributes, access control lists aside; true if that went well.
    pub(crate) async fn set_xattrs(
        &self,
        whose: Whose<'_>,
        changes: &XattrChanges,
        path: &[u8],
    ) -> bool {
        if !changes.unlike().others {
            return true;
        }
        let io = &self.run.io;
        let mut result = Box::pin(whose.change(io, changes)).await;
        if result == Err(Errno::EACCES) {
            // Attributes of users are only set by whom the mode lets write, also through an open file.
            result = Box::pin(self.change_unprotected(whose, changes)).await;
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

    /// What makes the extended attributes of an open file those of another one of the destination, which is of this kind and has
    /// this mode.
    pub(crate) async fn xattrs_like(
        &self,
        from: &Held,
        to: &Held,
        model: &Attributes,
        path: &[u8],
    ) -> XattrChanges {
        let changes = async {
            let file = (model.kind, model.mode);
            let have = Whose::Open(from).read(self.run, Origin::Destination, file);
            let have = have.await?;
            self.compare(Whose::Open(to), &have, Acl::clone).await
        };
        changes.await.unwrap_or_else(|(action, cause)| {
            self.fail(path, action, cause);
            XattrChanges::default()
        })
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
