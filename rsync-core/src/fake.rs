// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--fake-super`: attributes that only the superuser may set are kept in an extended attribute, and devices, named pipes,
//! sockets and symbolic links as regular files: rsync(1).
//!
//! The attribute is `user.rsync.%stat`, such as `20660 1,3 0:6`: type and mode in octal, the numbers of a device, owner and
//! group. A file whose own attributes say the same has none. Attributes that are not those of users are kept as
//! `user.rsync.NAME`, and access control lists as `user.rsync.%aacl` and `user.rsync.%dacl`.

use crate::error::{Action, Cause};
use crate::io::{self, Held, Io, SOURCE, c_name};
use crate::list::{Attributes, Kind};
use crate::node::making;
use crate::run::Run;
use crate::side::{Changes, Side};
use crate::spec::join;
use crate::xattrs::{Origin, Whose};
use futures_util::future::LocalBoxFuture;
use libflexsc::Errno;
use libflexsc::op::{Fchmod, Fsync, Lgetxattr, Unlinkat};
use std::ffi::{CStr, CString};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Where type, mode, owner and device are kept.
const STAT: &CStr = c"user.rsync.%stat";

/// Where an access control list is kept.
pub(crate) const ACCESS: &CStr = c"user.rsync.%aacl";

/// Where that of what is made in a directory is kept.
pub(crate) const DEFAULT: &CStr = c"user.rsync.%dacl";

/// What stands before the names of attributes that are not those of users.
const PREFIX: &[u8] = b"user.rsync.";

/// Room for what is kept, bytes; twice of what is ever written.
const ROOM: usize = 128;

/// The longest target of a symbolic link that Linux has, bytes.
const LONGEST_TARGET: usize = 4095;

/// How a file that stands for something is made.
const MAKE: i32 = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;

/// Why what `--fake-super` has kept of a file makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FakeError {
    /// The attribute is not a mode, a device, an owner and a group.
    Syntax,
    /// The mode has a type in it that no file has, or bits that no mode has.
    Mode(u32),
    /// A directory is said to be something else, or something else a directory.
    Directory,
    /// The file is said to be a symbolic link, and what is in it is no target of one.
    Target,
}

impl fmt::Display for FakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("user.rsync.%stat is not \"MODE MAJOR,MINOR UID:GID\""),
            Self::Mode(mode) => write!(f, "user.rsync.%stat has the mode {mode:o}, as no file has"),
            Self::Directory => {
                f.write_str("user.rsync.%stat makes a directory of it or, if it is one, something else")
            }
            Self::Target => f.write_str(
                "user.rsync.%stat makes a symbolic link of it, and what is in it is no target of one",
            ),
        }
    }
}

impl std::error::Error for FakeError {}

/// What is kept of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    kind: Kind,
    mode: u32,
    uid: u32,
    gid: u32,
    rdev: u64,
}

impl From<&Attributes> for Stat {
    fn from(file: &Attributes) -> Self {
        Self {
            kind: file.kind,
            mode: file.mode,
            uid: file.uid,
            gid: file.gid,
            rdev: file.rdev,
        }
    }
}

impl Stat {
    /// Reads the value of the attribute.
    fn parse(value: &[u8]) -> Result<Self, FakeError> {
        let value = std::str::from_utf8(value).map_err(|_| FakeError::Syntax)?;
        let mut fields = value.split_ascii_whitespace();
        let mut next = || fields.next().ok_or(FakeError::Syntax);
        let (mode, device, owner) = (next()?, next()?, next()?);
        if fields.next().is_some() {
            return Err(FakeError::Syntax);
        }
        let pair = |text: &str, between: char| {
            let (one, other) = text.split_once(between)?;
            Some((one.parse::<u32>().ok()?, other.parse::<u32>().ok()?))
        };
        let mode = u32::from_str_radix(mode, 8).map_err(|_| FakeError::Syntax)?;
        let (major, minor) = pair(device, ',').ok_or(FakeError::Syntax)?;
        let (uid, gid) = pair(owner, ':').ok_or(FakeError::Syntax)?;
        // That number means nobody to the kernel.
        if uid == u32::MAX || gid == u32::MAX {
            return Err(FakeError::Syntax);
        }
        let kind = kind(mode & !0o7777).ok_or(FakeError::Mode(mode))?;
        let rdev = match kind.is_device() {
            true => libc::makedev(major, minor),
            false => 0,
        };
        Ok(Self {
            kind,
            mode: mode & 0o7777,
            uid,
            gid,
            rdev,
        })
    }

    /// The value of the attribute.
    fn value(&self) -> Vec<u8> {
        let Self { mode, uid, gid, .. } = self;
        let mode = self.kind.type_bits() | mode;
        let (major, minor) = (libc::major(self.rdev), libc::minor(self.rdev));
        format!("{mode:o} {major},{minor} {uid}:{gid}").into_bytes()
    }

    /// The mode of the file that this is kept of.
    fn own_mode(&self) -> u32 {
        own_mode(self.kind, self.mode)
    }

    /// A file of which this is kept, as it is in the transfer.
    fn over(self, own: Attributes) -> Result<Attributes, FakeError> {
        let Self {
            kind,
            mode,
            uid,
            gid,
            rdev,
        } = self;
        if (kind == Kind::Directory) != (own.kind == Kind::Directory) {
            return Err(FakeError::Directory);
        }
        Ok(Attributes {
            kind,
            mode,
            uid,
            gid,
            rdev,
            ..own
        })
    }
}

/// The kind with these type bits of a mode.
fn kind(bits: u32) -> Option<Kind> {
    const KINDS: [Kind; 7] = [
        Kind::Regular,
        Kind::Directory,
        Kind::Symlink,
        Kind::CharDevice,
        Kind::BlockDevice,
        Kind::Fifo,
        Kind::Socket,
    ];
    KINDS.into_iter().find(|kind| kind.type_bits() == bits)
}

/// The mode of a file that is said to have another one: nothing that gives rights of others, and all of its owner.
pub(crate) fn own_mode(kind: Kind, mode: u32) -> u32 {
    let least = if kind == Kind::Directory {
        0o700
    } else {
        0o600
    };
    mode & 0o777 | least
}

/// Whether a file can have such attributes.
fn can_have(kind: Kind) -> bool {
    matches!(kind, Kind::Regular | Kind::Directory)
}

/// The name of the attribute that one is kept as.
pub(crate) fn kept_as(name: &CStr) -> CString {
    match name.to_bytes().starts_with(b"user.") {
        true => name.to_owned(),
        false => c_name(&[PREFIX, name.to_bytes()].concat()),
    }
}

/// The name of the attribute that one stands for, its own for most; none if it stands for no attribute.
pub(crate) fn stands_for(name: &CStr) -> Option<CString> {
    let name = name.to_bytes();
    match name.strip_prefix(PREFIX) {
        Some([b'%', ..]) => None,
        Some(kept) if kept.contains(&b'.') => Some(c_name(kept)),
        _ if name.starts_with(b"system.") => None,
        _ => Some(c_name(name)),
    }
}

/// What was read, if there is anything.
fn there(read: Result<Vec<u8>, Errno>) -> Result<Option<Vec<u8>>, (Action, Cause)> {
    match read {
        Ok(value) => Ok(Some(value)),
        // Not all file systems have them.
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
        Err(Errno::ERANGE) => Err((Action::ReadFake, FakeError::Syntax.into())),
        Err(errno) => Err((Action::ReadFake, errno.into())),
    }
}

/// A file as it is in the transfer.
fn over(own: Attributes, read: Result<Vec<u8>, Errno>) -> Result<Attributes, (Action, Cause)> {
    if !can_have(own.kind) {
        return Ok(own);
    }
    let Some(value) = there(read)? else {
        return Ok(own);
    };
    let faked = Stat::parse(&value).and_then(|stat| stat.over(own));
    faked.map_err(|error| (Action::ReadFake, error.into()))
}

/// The attributes of a file as it is in the transfer, asked for: small, as there are many at a time, which are moved about.
pub(crate) enum Look {
    Own(io::Stat),
    Fake(LocalBoxFuture<'static, Result<Attributes, (Action, Cause)>>),
}

impl Future for Look {
    type Output = Result<Attributes, (Action, Cause)>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Own(own) => {
                let found = Pin::new(own).poll(context);
                found.map(|found| found.map_err(|errno| (Action::Stat, errno.into())))
            }
            Self::Fake(both) => both.as_mut().poll(context),
        }
    }
}

impl Io {
    /// As [`stat`](Self::stat), and with `fake` what is kept of the file; the calls are posted at once.
    pub(crate) fn look(&self, dir: &Held, name: &[u8], fake: bool) -> Look {
        let own = self.stat(dir.at(), name);
        if !fake {
            return Look::Own(own);
        }
        let path = Whose::path(dir, name);
        let kept = self
            .handle
            .submit(Lgetxattr::new(path, STAT.to_owned(), ROOM));
        Look::Fake(Box::pin(async move {
            let own = own.await;
            // Nothing that was posted is left behind.
            let kept = kept.await;
            over(own.map_err(|errno| (Action::Stat, errno.into()))?, kept)
        }))
    }

    /// As [`stat_held`](Self::stat_held), and with `fake` what is kept of the file.
    pub(crate) async fn look_held(
        &self,
        file: &Held,
        fake: bool,
    ) -> Result<Attributes, (Action, Cause)> {
        let own = self.stat_held(file).await;
        let own = own.map_err(|errno| (Action::Stat, errno.into()))?;
        self.faked(Whose::Open(file), own, fake).await
    }

    /// A file whose own attributes are known, with `fake` as it is in the transfer.
    pub(crate) async fn faked(
        &self,
        whose: Whose<'_>,
        own: Attributes,
        fake: bool,
    ) -> Result<Attributes, (Action, Cause)> {
        match fake && can_have(own.kind) {
            true => over(own, whose.get(self, STAT).await),
            false => Ok(own),
        }
    }

    /// What is in a regular file that stands for a symbolic link; `ELOOP` if it is one itself.
    async fn kept_target(&self, dir: &Held, name: &[u8]) -> Result<Vec<u8>, Cause> {
        let target = self.read_file(dir.at(), name, SOURCE, LONGEST_TARGET).await;
        let wrong = |target: &Vec<u8>| target.is_empty() || target.contains(&0);
        match target {
            Ok(target) if wrong(&target) => Err(FakeError::Target.into()),
            Err(Errno::EFBIG) => Err(FakeError::Target.into()),
            target => Ok(target?),
        }
    }
}

impl Run<'_> {
    /// A file of the source whose own attributes were found at a path below a directory, as it is in the transfer.
    pub(crate) async fn faked_at(
        &self,
        dir: &Held,
        path: &[u8],
        own: Attributes,
    ) -> Result<Attributes, (Action, Cause)> {
        let fake = self.options.fakes(Origin::Source);
        // The directory itself where a symbolic link leads to it.
        let inner = match own.kind {
            Kind::Directory if fake => join(path, b"."),
            _ => path.to_vec(),
        };
        self.io.faked(Whose::Named(dir, &inner), own, fake).await
    }

    /// The target of a regular file of the source that stands for a symbolic link; none if it does not.
    pub(crate) async fn fake_link(
        &self,
        dir: &Held,
        name: &[u8],
    ) -> Result<Option<Vec<u8>>, (Action, Cause)> {
        if !self.options.fakes(Origin::Source) {
            return Ok(None);
        }
        match self.io.kept_target(dir, name).await {
            Ok(target) => Ok(Some(target)),
            Err(Cause::Errno(Errno::ELOOP)) => Ok(None),
            Err(cause) => Err((Action::ReadLink, cause)),
        }
    }
}

impl Side<'_, '_> {
    /// Whether the destination's files stand for others.
    pub(crate) fn fakes(&self) -> bool {
        self.run.options.fakes(Origin::Destination)
    }

    /// The attributes of a name in a directory, as they are in the transfer; the calls are posted at once.
    pub(crate) fn look(&self, dir: &Held, name: &[u8]) -> Look {
        self.run.io.look(dir, name, self.fakes())
    }

    /// An open file whose own attributes are known, as it is in the transfer.
    pub(crate) async fn faked_held(
        &self,
        file: &Held,
        own: Attributes,
    ) -> Result<Attributes, (Action, Cause)> {
        let io = &self.run.io;
        io.faked(Whose::Open(file), own, self.fakes()).await
    }

    /// The attributes of an open file, as they are in the transfer.
    pub(crate) async fn look_held(&self, file: &Held) -> Result<Attributes, (Action, Cause)> {
        self.run.io.look_held(file, self.fakes()).await
    }

    /// Whether a name in a directory, which has the right kind, is a symbolic link with this target.
    pub(crate) async fn is_fake_link(&self, dir: &Held, name: &[u8], target: &[u8]) -> bool {
        let kept = self.run.io.kept_target(dir, name).await;
        kept.is_ok_and(|kept| kept == target)
    }

    /// Makes a regular file that stands for something of another kind; true if that went well. Of one that did not nothing is left.
    pub(crate) async fn make_fake(
        &self,
        dir: &Held,
        (name, mode): (&[u8], u32),
        (want, target): (&Attributes, &[u8]),
        changes: Changes,
        path: &[u8],
    ) -> bool {
        let io = &self.run.io;
        let action = making(want.kind);
        let file = match io.open(dir.at(), name, MAKE, mode).await {
            Ok(file) => file,
            Err(errno) => {
                self.fail(path, action, errno);
                return false;
            }
        };
        let made = async {
            if want.kind == Kind::Symlink {
                let (written, _) = io.write(&file, target.to_vec()).await;
                written.map_err(|errno| (action, errno.into()))?;
            }
            let node = Some((want.kind, want.rdev));
            self.keep_stat(Whose::Open(&file), node, changes).await?;
            let synced = match self.run.options.fsync {
                true => io.handle.submit(Fsync::new(file.fd())).await,
                false => Ok(()),
            };
            let closed = synced.and(file.close().await);
            closed.map_err(|errno| (action, errno.into()))
        };
        let Err((action, cause)) = made.await else {
            return true;
        };
        self.fail(path, action, cause);
        let _ = io
            .handle
            .submit(Unlinkat::new(dir.at(), c_name(name), 0))
            .await;
        false
    }

    /// Keeps owner and mode of a file; true if that went well. `node` is its kind and device, if it stands for one.
    pub(crate) async fn keep_fake(
        &self,
        whose: Whose<'_>,
        node: Option<(Kind, u64)>,
        changes: Changes,
        path: &[u8],
    ) -> bool {
        let kept = self.keep_stat(whose, node, changes).await;
        kept.map_err(|(action, cause)| self.fail(path, action, cause))
            .is_ok()
    }

    async fn keep_stat(
        &self,
        whose: Whose<'_>,
        node: Option<(Kind, u64)>,
        changes: Changes,
    ) -> Result<(), (Action, Cause)> {
        let io = &self.run.io;
        let own = match whose {
            Whose::Open(file) => io.stat_held(file).await,
            Whose::Named(dir, name) => io.stat(dir.at(), name).await,
        };
        let own = own.map_err(|errno| (Action::Stat, errno.into()))?;
        if !can_have(own.kind) {
            // As it was made without the option. It stays, unless something is to be kept of it.
            return match changes.owner() || changes.mode.is_some() {
                true => Err((Action::SetFake, Errno::EPERM.into())),
                false => Ok(()),
            };
        }
        let kept = there(whose.get(io, STAT).await)?;
        let have = match &kept {
            Some(value) => Stat::parse(value).map_err(|error| (Action::ReadFake, error.into()))?,
            None => Stat::from(&own),
        };
        let (kind, rdev) = node.unwrap_or((own.kind, 0));
        let want = Stat {
            kind,
            rdev,
            mode: changes.mode.unwrap_or(have.mode),
            uid: changes.uid.unwrap_or(have.uid),
            gid: changes.gid.unwrap_or(have.gid),
        };
        // First, since who may not write to a file may not set its attributes.
        let mode = want.own_mode();
        if mode != own.mode {
            let set = match whose {
                Whose::Open(file) => io.handle.submit(Fchmod::new(file.fd(), mode)).await,
                Whose::Named(dir, name) => self.set_mode(dir, name, own.kind, mode).await,
            };
            set.map_err(|errno| (Action::SetMode, errno.into()))?;
        }
        let says_itself = want
            == Stat {
                mode,
                ..Stat::from(&own)
            };
        let set = match (says_itself, kept) {
            (true, None) => Ok(()),
            (true, Some(_)) => whose.remove(io, STAT).await,
            (false, Some(kept)) if kept == want.value() => Ok(()),
            (false, _) => whose.set(io, STAT, want.value()).await,
        };
        set.map_err(|errno| (Action::SetFake, errno.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_kept_is_as_rsync_keeps_it() {
        let device = Stat {
            kind: Kind::BlockDevice,
            mode: 0o4640,
            uid: 0,
            gid: 6,
            rdev: libc::makedev(300, 7000),
        };
        assert_eq!(device.value(), b"64640 300,7000 0:6");
        assert_eq!(Stat::parse(b"64640 300,7000 0:6"), Ok(device));
        assert_eq!(device.own_mode(), 0o640);
        let directory = Stat::parse(b"42005 0,0 1:2").unwrap();
        assert_eq!(directory.own_mode(), 0o705);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        use FakeError::{Mode, Syntax};
        for (value, error) in [
            ("", Syntax),
            ("100644", Syntax),
            ("100644 0,0 0", Syntax),
            ("100644 0 0:0", Syntax),
            ("100644 0,0 0:0 x", Syntax),
            ("100844 0,0 0:0", Syntax),
            ("100644 0,0 -1:0", Syntax),
            ("100644 0,0 0:4294967295", Syntax),
            ("100644 0,0 99999999999:0", Syntax),
            ("644 0,0 0:0", Mode(0o644)),
            ("0 0,0 0:0", Mode(0)),
            ("1100644 0,0 0:0", Mode(0o1_100_644)),
        ] {
            assert_eq!(Stat::parse(value.as_bytes()), Err(error), "{value}");
        }
        assert_eq!(Stat::parse(b"\xff"), Err(Syntax));
    }

    #[test]
    fn names_of_attributes_are_kept_behind_a_prefix() {
        for (name, kept) in [
            (c"user.a", c"user.a"),
            (c"trusted.a", c"user.rsync.trusted.a"),
            (c"security.capability", c"user.rsync.security.capability"),
            (c"user.rsync.a", c"user.rsync.a"),
        ] {
            assert_eq!(&*kept_as(name), kept);
            assert_eq!(stands_for(kept).as_deref(), Some(name));
        }
        for itself in [c"trusted.a", c"security.a"] {
            assert_eq!(stands_for(itself).as_deref(), Some(itself));
        }
        for none in [STAT, ACCESS, DEFAULT, c"system.posix_acl_access"] {
            assert_eq!(stands_for(none), None);
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Stat::parse(&value);
        }

        #[test]
        fn what_was_written_is_read(
            kind in 0..7usize, mode in 0..0o10000u32, uid in 0..u32::MAX, gid in 0..u32::MAX,
            major in 0..1u32 << 12, minor in 0..1u32 << 20,
        ) {
            let bits = [0o100_000, 0o40_000, 0o120_000, 0o20_000, 0o60_000, 0o10_000, 0o140_000][kind];
            let kind = super::kind(bits).unwrap();
            let rdev = if kind.is_device() { libc::makedev(major, minor) } else { 0 };
            let stat = Stat { kind, mode, uid, gid, rdev };
            prop_assert_eq!(Stat::parse(&stat.value()), Ok(stat));
        }
    }
}
