// SPDX-License-Identifier: MIT OR Apache-2.0

//! Directories that temporary files are made in: which of those that are there were left by a run that was killed.
//!
//! Whoever makes temporary files in a directory first locks it for reading, with a lock of the open file (`F_OFD_SETLK`),
//! which the kernel takes back when the run ends, however it ends. Whoever finds temporary files asks after that whether
//! anybody holds such a lock: each file in sight was made under one, so that without a lock all of them were left behind.
//! Nobody ever waits for anybody. Where directories cannot be locked, as on NFS, nothing can be proven and nothing is
//! removed.
//!
//! Neither flock(2), which scripts use on a destination for themselves, nor a process number in the name, which
//! means nothing in another container or on another machine, would do.

use crate::event::Event;
use crate::io::{Held, c_name};
use crate::list::DirList;
use crate::names::Names;
use crate::side::Side;
use crate::target::Target;
use crate::temp::is_temporary;
use libflexsc::op::Unlinkat;
use libflexsc::{Errno, FileType};
use nix::fcntl::{FcntlArg, fcntl};
use std::rc::Rc;

/// Whether the makers of temporary files still work in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Makers {
    /// No one does.
    None,
    /// Somebody does, perhaps another part of this process.
    Some,
    /// The file system does not say.
    Unknown,
}

/// The lock of a whole file, of this type.
fn lock(l_type: i32) -> libc::flock {
    libc::flock {
        l_type: l_type as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Says that temporary files are made in a directory, for as long as it is held open.
fn announce(dir: &Held) {
    // Without locks the run goes on; others then leave its files alone as well.
    let _ = fcntl(dir.fd(), FcntlArg::F_OFD_SETLK(&lock(libc::F_RDLCK)));
}

fn makers(dir: &Held) -> Makers {
    let mut found = lock(libc::F_WRLCK);
    match fcntl(dir.fd(), FcntlArg::F_OFD_GETLK(&mut found)) {
        Ok(_) if i32::from(found.l_type) == libc::F_UNLCK => Makers::None,
        Ok(_) => Makers::Some,
        Err(_) => Makers::Unknown,
    }
}

/// Whether something may be a temporary file: all but directories are replaced by renaming.
fn looks_temporary(name: &[u8], d_type: u8) -> bool {
    let file_type = FileType::from_d_type(d_type);
    is_temporary(name) && !matches!(file_type, FileType::Directory | FileType::Unknown)
}

impl Side<'_, '_> {
    /// The open directory, to make temporary files in. The first time, what a killed run left in it is removed, unless
    /// `list` has it: then it is data like any other.
    pub(crate) async fn workplace(
        &self,
        target: &Target,
        list: &DirList,
    ) -> Result<Rc<Held>, Errno> {
        let dir = self.directory(target).await?;
        if !target.claimed.is_initialized() {
            let claim = || self.claim(target, list, &dir);
            Box::pin(target.claimed.get_or_init(claim)).await;
        }
        Ok(dir)
    }

    async fn claim(&self, target: &Target, list: &DirList, dir: &Held) {
        if !target.fresh.get() && !target.clean.get() {
            let mut names = Names::new();
            // Whatever was read is looked at. That not all could be is no reason to do nothing else.
            let _ = names.read(&self.run.io, dir).await;
            let left = names
                .iter()
                .filter(|(name, d_type)| looks_temporary(name, *d_type) && !list.contains(name));
            let left: Vec<_> = left.map(|(name, _)| name.to_vec()).collect();
            self.clean(target, dir, left).await;
        }
        announce(dir);
    }

    /// The directory for temporary files, if there is one for all of them. The first time, what killed runs left in it is
    /// removed.
    pub(crate) async fn temp_place(&self) -> Option<Rc<Held>> {
        let dir = self.temp_dir.as_ref()?;
        if !self.temp_dir_claimed.is_initialized() {
            let claim = || self.claim_temp_dir(dir);
            Box::pin(self.temp_dir_claimed.get_or_init(claim)).await;
        }
        Some(dir.clone())
    }

    async fn claim_temp_dir(&self, dir: &Held) {
        let mut names = Names::new();
        let _ = names.read(&self.run.io, dir).await;
        let left = names
            .iter()
            .filter(|(name, d_type)| looks_temporary(name, *d_type));
        let left: Vec<_> = left.map(|(name, _)| name.to_vec()).collect();
        self.remove_left(dir, &left).await;
        announce(dir);
    }

    /// Takes temporary files off the names in a directory that the source does not have. Those that were left behind are
    /// removed; the others are not to be deleted.
    pub(crate) async fn clean_extra(
        &self,
        target: &Target,
        dir: &Held,
        extra: &mut Vec<(Vec<u8>, u8)>,
    ) {
        let all = extra.len();
        let mut left = Vec::new();
        extra.retain_mut(|(name, d_type)| {
            let temporary = looks_temporary(name, *d_type);
            if temporary {
                left.push((std::mem::take(name), *d_type));
            }
            !temporary
        });
        target.clean.set(true);
        if extra.len() == all || self.run.options.dry_run {
            return;
        }
        if makers(dir) == Makers::Unknown {
            // As far as anybody can tell these are files like others.
            extra.append(&mut left);
            return;
        }
        let left = left.into_iter().map(|(name, _)| name).collect();
        self.clean(target, dir, left).await;
    }

    /// Removes temporary files that were found in a directory, unless they may still be in use.
    async fn clean(&self, target: &Target, dir: &Held, left: Vec<Vec<u8>>) {
        for name in self.remove_left(dir, &left).await {
            target.dirty.set(true);
            self.run.event(Event::Cleaned(&target.join(name)));
        }
    }

    /// As [`clean`](Self::clean), and gives back what is gone.
    async fn remove_left<'n>(&self, dir: &Held, left: &'n [Vec<u8>]) -> Vec<&'n [u8]> {
        let mut gone = Vec::new();
        if left.is_empty() || makers(dir) != Makers::None {
            return gone;
        }
        for name in left {
            let op = Unlinkat::new(dir.at(), c_name(name), 0);
            // One that stays is still recognised by the next run.
            if self.run.io.handle.submit(op).await.is_ok() {
                gone.push(&name[..]);
            }
        }
        gone
    }
}
