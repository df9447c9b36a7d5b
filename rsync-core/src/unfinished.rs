// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file under its temporary name, until it is put in its place, kept, or removed.

use crate::fake::own_mode;
use crate::io::{CHUNK, Held, c_name};
use crate::list::{FileId, Kind};
use crate::run::Run;
use crate::xattrs::Origin;
use libflexsc::Errno;
use libflexsc::op::{Fchmod, Fsync, Pread, Renameat2, Timespec, Unlinkat, Utimensat};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// How many names are tried for one temporary file.
const ATTEMPTS: usize = 100;

/// How a temporary file is made. It may have to be read, to be copied to another file system.
const MAKE: i32 = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Unfinished {
    /// The directory that it is in, and its name there.
    pub(crate) dir: Rc<Held>,
    pub(crate) name: Vec<u8>,
    /// The directory that it goes to, and the name that it gets.
    pub(crate) to: Rc<Held>,
    pub(crate) becomes: Vec<u8>,
    /// Whether it has its name already, and is written there.
    in_place: bool,
    /// Open as long as it is written.
    file: RefCell<Option<Rc<Held>>>,
    /// The bytes that it has.
    pub(crate) written: Cell<u64>,
    /// The mode that it is to have.
    mode: Option<u32>,
}

impl Unfinished {
    /// The file, as long as it is written.
    pub(crate) fn file(&self) -> Result<Rc<Held>, Errno> {
        self.file.borrow().clone().ok_or(Errno::EBADF)
    }

    /// Takes the file, to be closed.
    pub(crate) fn take(&self) -> Option<Held> {
        Rc::into_inner(self.file.borrow_mut().take()?)
    }
}

impl Run<'_> {
    /// Makes a temporary file in `dir` that becomes `becomes`.
    pub(crate) async fn make_temporary(
        &self,
        dir: &Held,
        becomes: &[u8],
        mode: u32,
    ) -> Result<(Held, Vec<u8>), Errno> {
        for _ in 0..ATTEMPTS {
            let name = self.temps.name(becomes);
            match self.io.open(dir.at(), &name, MAKE, mode).await {
                Ok(file) => return Ok((file, name)),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EEXIST)
    }

    /// Makes a temporary file in `dir` that goes to the directory `to`. It begins with the mode `first`; `last` is the one
    /// that it is to have.
    pub(crate) async fn begin(
        &self,
        id: FileId,
        (dir, to): (Rc<Held>, Rc<Held>),
        becomes: &[u8],
        (first, last): (u32, Option<u32>),
    ) -> Result<Rc<Unfinished>, Errno> {
        let (file, name) = self.make_temporary(&dir, becomes, first).await?;
        let unfinished = Rc::new(Unfinished {
            dir,
            name,
            to,
            becomes: becomes.to_vec(),
            in_place: false,
            file: RefCell::new(Some(Rc::new(file))),
            written: Cell::new(0),
            mode: last.map(|mode| match self.options.fakes(Origin::Destination) {
                true => own_mode(Kind::Regular, mode),
                false => mode,
            }),
        });
        let known = &self.unfinished;
        known.borrow_mut().insert(id, unfinished.clone());
        Ok(unfinished)
    }

    /// Has a file of `dir` that has its name already written there.
    pub(crate) fn begin_in_place(
        &self,
        id: FileId,
        dir: Rc<Held>,
        name: &[u8],
        file: Held,
    ) -> Rc<Unfinished> {
        let unfinished = Rc::new(Unfinished {
            dir: dir.clone(),
            name: name.to_vec(),
            to: dir,
            becomes: name.to_vec(),
            in_place: true,
            file: RefCell::new(Some(Rc::new(file))),
            written: Cell::new(0),
            mode: None,
        });
        let known = &self.unfinished;
        known.borrow_mut().insert(id, unfinished.clone());
        unfinished
    }

    /// Deals with everything that is unfinished when nobody goes on with it.
    pub(crate) async fn abandon(&self) {
        let unfinished = self.unfinished.take();
        for file in unfinished.into_values() {
            self.give_up(&file).await;
        }
    }

    /// Keeps a file that is not complete, if that is wanted, else removes it.
    pub(crate) async fn give_up(&self, unfinished: &Unfinished) {
        let kept = self.options.keeps_partial() && unfinished.written.get() > 0;
        let kept = kept && !unfinished.in_place;
        if !kept || self.keep(unfinished).await.is_err() {
            self.discard(unfinished).await;
        }
    }

    /// Removes a temporary file. What is written in its place stays as it is.
    pub(crate) async fn discard(&self, unfinished: &Unfinished) {
        if let Some(file) = unfinished.take() {
            let _ = file.close().await;
        }
        if unfinished.in_place {
            return;
        }
        let Unfinished { dir, name, .. } = unfinished;
        let op = Unlinkat::new(dir.at(), c_name(name), 0);
        // What is left behind is not worth a second message.
        let _ = self.io.handle.submit(op).await;
    }

    /// Keeps what came of a file.
    async fn keep(&self, unfinished: &Unfinished) -> Result<(), Errno> {
        let Unfinished { to, becomes, .. } = unfinished;
        let holding = match self.options.holding_dir() {
            Some(_) => Some(self.make_holding(to).await?),
            None => None,
        };
        if let Some(holding) = &holding {
            // One that was kept before and is longer has more to give.
            let before = self.io.stat(holding.at(), becomes).await;
            if before.is_ok_and(|before| before.size > unfinished.written.get()) {
                return Err(Errno::EEXIST);
            }
        }
        let dir = holding.as_ref().unwrap_or(to);
        let Some(file) = unfinished.take() else {
            // It is complete, and has its attributes.
            return self.rename(unfinished, dir).await;
        };
        self.mark_kept(&file, unfinished.mode).await;
        let moved = match self.rename(unfinished, dir).await {
            Err(Errno::EXDEV) => self.keep_copy(&file, unfinished, dir).await,
            moved => moved,
        };
        let _ = file.close().await;
        moved
    }

    /// Gives a file that is kept its mode and, where it might be taken for the whole or for a newer one, the time of 1970.
    async fn mark_kept(&self, file: &Held, mode: Option<u32>) {
        if let Some(mode) = mode {
            let _ = self.io.handle.submit(Fchmod::new(file.fd(), mode)).await;
        }
        if self.options.holding_dir().is_none() {
            let times = [Timespec::OMIT, Timespec::new(0, 0)];
            let op = Utimensat::of(file.fd(), times);
            let _ = self.io.handle.submit(op).await;
        }
    }

    /// Keeps a copy of a file on another file system.
    async fn keep_copy(
        &self,
        file: &Held,
        unfinished: &Unfinished,
        dir: &Rc<Held>,
    ) -> Result<(), Errno> {
        let copy = self.copy(file, unfinished, dir).await?;
        if let Some(file) = copy.take() {
            self.mark_kept(&file, copy.mode).await;
            let _ = file.close().await;
        }
        let renamed = self.rename(&copy, dir).await;
        let old = if renamed.is_ok() { unfinished } else { &copy };
        self.discard(old).await;
        renamed
    }

    /// Gives a file the name that it becomes, in `dir`.
    pub(crate) async fn rename(&self, unfinished: &Unfinished, dir: &Held) -> Result<(), Errno> {
        if unfinished.in_place {
            return Ok(());
        }
        let (from, to) = (c_name(&unfinished.name), c_name(&unfinished.becomes));
        let op = Renameat2::new(unfinished.dir.at(), from, dir.at(), to, 0);
        self.io.handle.submit(op).await
    }

    /// A copy of a file's contents, under a temporary name in `dir`.
    async fn copy(
        &self,
        file: &Held,
        unfinished: &Unfinished,
        dir: &Rc<Held>,
    ) -> Result<Unfinished, Errno> {
        let becomes = unfinished.becomes.clone();
        let (copy, name) = self.make_temporary(dir, &becomes, 0o600).await?;
        let new = Unfinished {
            dir: dir.clone(),
            name,
            to: unfinished.to.clone(),
            becomes,
            in_place: false,
            file: RefCell::new(Some(Rc::new(copy))),
            written: unfinished.written.clone(),
            mode: unfinished.mode,
        };
        let target = new.file()?;
        match self.copy_contents(file, &target).await {
            Ok(()) => Ok(new),
            Err(errno) => {
                self.discard(&new).await;
                Err(errno)
            }
        }
    }

    /// Writes all that is in a file, whose position stays, to another.
    pub(crate) async fn copy_contents(&self, file: &Held, copy: &Held) -> Result<(), Errno> {
        let (mut offset, mut hole) = (0, false);
        let mut buf = self.io.buffer(CHUNK as u64);
        loop {
            let (count, back) = self
                .io
                .handle
                .submit(Pread::new(file.fd(), buf, offset))
                .await;
            buf = back;
            match count {
                Ok(0) => break,
                Ok(count) => {
                    buf.truncate(count);
                    offset += count as u64;
                }
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            }
            let (written, back) = match self.options.sparse {
                true => self.io.write_sparse(copy, buf, None).await,
                false => self.io.write(copy, buf).await,
            };
            written?;
            buf = back;
            hole = self.options.sparse && buf.last() == Some(&0);
            buf.resize(CHUNK, 0);
        }
        self.io.recycle(buf);
        match hole {
            true => self.io.set_length(copy, offset).await,
            false => Ok(()),
        }
    }

    /// Has a file that was written on the disk, if that is wanted.
    pub(crate) async fn sync(&self, file: &Held) -> Result<(), Errno> {
        match self.options.fsync {
            true => self.io.handle.submit(Fsync::new(file.fd())).await,
            false => Ok(()),
        }
    }

    /// Closes a complete file, which has its attributes, once it is on the disk if that is wanted. Nobody else may use it.
    pub(crate) async fn close(&self, unfinished: &Unfinished) -> Result<(), Errno> {
        let synced = self.sync(&*unfinished.file()?).await;
        match unfinished.take() {
            Some(file) => synced.and(file.close().await),
            None => synced,
        }
    }

    /// Copies a complete file, whose attributes are not set yet, to the file system that it goes to, if it is on another one:
    /// into `dir`, where it goes. A copy takes its place.
    pub(crate) async fn bring_home(
        &self,
        id: FileId,
        unfinished: Rc<Unfinished>,
        dir: Rc<Held>,
    ) -> Result<Rc<Unfinished>, Errno> {
        let (here, there) = (&unfinished.dir, &dir);
        let (here, there) = (self.io.stat_held(here), self.io.stat_held(there));
        if here.await?.inode.0 == there.await?.inode.0 {
            return Ok(unfinished);
        }
        let file = unfinished.file()?;
        let copy = Rc::new(self.copy(&file, &unfinished, &dir).await?);
        drop(file);
        let known = &self.unfinished;
        known.borrow_mut().insert(id, copy.clone());
        self.discard(&unfinished).await;
        Ok(copy)
    }
}
