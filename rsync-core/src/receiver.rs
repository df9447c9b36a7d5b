// SPDX-License-Identifier: MIT OR Apache-2.0

//! The receiver: makes files of tokens, beside the old ones, and then puts them in their place.

use crate::backup::Backup;
use crate::error::{Action, Cause};
use crate::io::{CHUNK, Held, c_name};
use crate::list::{Attributes, FileId, Kind};
use crate::message::{Delta, End, FromSender, ToGenerator};
use crate::patch::{self, PatchError};
use crate::side::{Changes, Side};
use crate::strong::{Digest, FileSum};
use crate::tell::Moved;
use crate::token::OwnedToken;
use crate::transfer::{Basis, Data, Transfer};
use async_channel::{Receiver, Sender};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _, select_biased};
use libflexsc::op::{Fsync, Pread, Renameat2, Unlinkat};
use libflexsc::{Errno, IoBuf as _};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;

/// How many messages of one file wait for it to be written.
const BACKLOG: usize = 4;

/// How many names are tried for one temporary file.
const ATTEMPTS: usize = 100;

/// Passes the file list on and receives files, until the sender stops.
pub(crate) async fn receive(side: &Side<'_, '_>, inbox: Receiver<FromSender>) {
    let mut inbox = pin!(inbox);
    let mut writing: HashMap<FileId, Sender<Delta>> = HashMap::new();
    let mut files = FuturesUnordered::new();
    loop {
        select_biased! {
            () = files.select_next_some() => {}
            message = inbox.select_next_some() => match message {
                // The generator's inbox has no bound: the sender's permits bound what can be in it.
                FromSender::Directory(listing) => drop(side.to_generator.try_send(ToGenerator::Directory(listing))),
                FromSender::ListEnd { complete } => {
                    drop(side.to_generator.try_send(ToGenerator::ListEnd { complete }));
                }
                FromSender::Delta(delta) => {
                    let (file, ends) = (delta.file, delta.end.is_some());
                    match writing.get(&file) {
                        Some(writer) => {
                            let mut sent = pin!(writer.send(delta).fuse());
                            loop {
                                select_biased! {
                                    _ = sent => break,
                                    () = files.select_next_some() => {}
                                }
                            }
                        }
                        None => {
                            let (writer, rest) = async_channel::bounded(BACKLOG);
                            files.push(side.receive(delta, rest));
                            if !ends {
                                writing.insert(file, writer);
                            }
                        }
                    }
                    if ends {
                        writing.remove(&file);
                    }
                }
            },
            complete => return,
        }
    }
}

impl Side<'_, '_> {
    /// Receives one file.
    async fn receive(&self, first: Delta, rest: Receiver<Delta>) {
        // What nobody asked for is not written anywhere.
        let transfer = self.transfers.borrow().get(&first.file).cloned();
        let Some(transfer) = transfer else { return };
        let mut output = Output::new(self, &transfer);
        let mut delta = first;
        let end = loop {
            output.take(delta.tokens).await;
            match delta.end {
                Some(end) => break end,
                None => match rest.recv().await {
                    Ok(next) => delta = next,
                    Err(_) => break End::Failed,
                },
            }
        };
        let again = output.finish(end).await;
        if again && !transfer.again.replace(true) {
            transfer.basis.replace(None);
            let _ = self.to_generator.try_send(ToGenerator::Again(transfer.id));
        } else {
            self.finished(&transfer).await;
        }
    }
}

/// A file that is being written.
struct Output<'a, 'o> {
    side: &'a Side<'a, 'o>,
    transfer: &'a Transfer,
    basis: Option<Rc<Basis>>,
    temp: Option<Temp>,
    /// Bytes that are still to be written.
    gathered: Vec<u8>,
    /// Where somebody asks for it.
    sum: Option<FileSum>,
    /// Bytes that came for it.
    came: u64,
    failed: Option<(Action, Cause)>,
}

/// A temporary file.
struct Temp {
    dir: Rc<Held>,
    file: Held,
    name: Vec<u8>,
}

impl<'a, 'o> Output<'a, 'o> {
    fn new(side: &'a Side<'a, 'o>, transfer: &'a Transfer) -> Self {
        let basis = transfer.basis.borrow().clone();
        let options = side.run.options;
        let sum = (basis.is_some() || options.digests && !options.checksum)
            .then(|| FileSum::new(options.transfer_sum));
        Self {
            side,
            transfer,
            basis,
            temp: None,
            gathered: Vec::new(),
            sum,
            came: 0,
            failed: None,
        }
    }

    fn name(&self) -> &'a [u8] {
        let transfer = self.transfer;
        transfer
            .list
            .get(transfer.id.index)
            .map(|entry| transfer.list.name(entry))
            .unwrap_or_default()
    }

    fn want(&self) -> Option<Attributes> {
        self.transfer
            .list
            .get(self.transfer.id.index)
            .map(|entry| entry.attributes)
    }

    /// Writes what tokens stand for. After a failure they are only taken off the sender.
    async fn take(&mut self, tokens: Vec<OwnedToken>) {
        for token in tokens {
            self.came += token.weight();
            if self.failed.is_some() {
                return;
            }
            if let Err(failure) = self.token(token).await {
                self.failed = Some(failure);
            }
        }
    }

    async fn token(&mut self, token: OwnedToken) -> Result<(), (Action, Cause)> {
        match token {
            OwnedToken::Data(data) if self.basis.is_none() => {
                self.add(&data);
                let buf = self.write(data).await?;
                self.side.run.io.recycle(buf);
                Ok(())
            }
            OwnedToken::Data(data) => {
                self.add(&data);
                self.gathered.extend_from_slice(&data);
                self.flush(CHUNK).await
            }
            OwnedToken::Blocks { first, count } => self.blocks(first, count).await,
        }
    }

    /// Sums up what is literal.
    fn add(&mut self, data: &[u8]) {
        if let Some(sum) = &mut self.sum {
            sum.update(data);
        }
    }

    /// Appends blocks of the basis.
    async fn blocks(&mut self, first: u32, count: u32) -> Result<(), (Action, Cause)> {
        let update = |error: PatchError| (Action::Update, Cause::Patch(error));
        let none = PatchError::NoSuchBlock {
            first,
            count,
            blocks: 0,
        };
        let basis = self.basis.clone().ok_or(update(none))?;
        let mut range = patch::range(&basis.layout, first, count).map_err(update)?;
        while !range.is_empty() {
            let start = self.gathered.len();
            let room = (CHUNK - start.min(CHUNK - 1)) as u64;
            let length = (range.end - range.start).min(room) as usize;
            match &basis.data {
                Data::Memory(data) => {
                    let at = range.start as usize;
                    let blocks = data.get(at..at + length).ok_or(update(PatchError::Basis))?;
                    self.gathered.extend_from_slice(blocks);
                }
                Data::File(file) => self.read(file, range.start, length).await?,
            }
            if let Some(sum) = &mut self.sum {
                sum.update(&self.gathered[start..]);
            }
            range.start += length as u64;
            self.flush(CHUNK).await?;
        }
        Ok(())
    }

    /// Appends `length` bytes of the basis, from `offset` on.
    async fn read(
        &mut self,
        file: &Held,
        offset: u64,
        length: usize,
    ) -> Result<(), (Action, Cause)> {
        let start = self.gathered.len();
        self.gathered.resize(start + length, 0);
        let mut done = 0;
        while done < length {
            let buf = std::mem::take(&mut self.gathered).slice(start + done..);
            let op = Pread::new(file.fd(), buf, offset + done as u64);
            let (count, buf) = self.side.run.io.handle.submit(op).await;
            self.gathered = buf.into_inner();
            match count {
                Ok(0) => return Err((Action::Update, Cause::Patch(PatchError::Basis))),
                Ok(count) => done += count,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err((Action::ReadBasis, errno.into())),
            }
        }
        Ok(())
    }

    /// Writes what was gathered, if it is at least `least` bytes.
    async fn flush(&mut self, least: usize) -> Result<(), (Action, Cause)> {
        if self.gathered.is_empty() || self.gathered.len() < least {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.gathered = self.write(gathered).await?;
        self.gathered.clear();
        Ok(())
    }

    /// Writes a buffer, and gives it back.
    async fn write(&mut self, data: Vec<u8>) -> Result<Vec<u8>, (Action, Cause)> {
        let io = &self.side.run.io;
        let temp = self.temp().await?;
        let (result, buf) = io.write(&temp.file, data).await;
        result
            .map(|()| buf)
            .map_err(|errno| (Action::Write, errno.into()))
    }

    /// The temporary file, made on first use.
    async fn temp(&mut self) -> Result<&Temp, (Action, Cause)> {
        if self.temp.is_none() {
            self.temp = Some(
                self.make_temp()
                    .await
                    .map_err(|errno| (Action::MakeTemporary, errno.into()))?,
            );
        }
        self.temp
            .as_ref()
            .ok_or((Action::MakeTemporary, Errno::ENOENT.into()))
    }

    async fn make_temp(&self) -> Result<Temp, Errno> {
        const FLAGS: i32 = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let side = self.side;
        let dir = side
            .workplace(&self.transfer.target, &self.transfer.list)
            .await?;
        let want = self.want().ok_or(Errno::ENOENT)?;
        // Until owner and mode are set only the owner may do anything, unless the kernel's default is what is asked for.
        let mode = if self.has_default_mode() {
            want.mode & 0o777
        } else {
            want.mode & 0o700
        };
        for _ in 0..ATTEMPTS {
            let name = side.temps.name(self.name());
            match side.run.io.open(dir.at(), &name, FLAGS, mode).await {
                Ok(file) => return Ok(Temp { dir, file, name }),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EEXIST)
    }

    /// Whether the file gets the mode that the kernel gives: the source's, less the umask.
    fn has_default_mode(&self) -> bool {
        !self.side.run.options.perms && self.old().is_none()
    }

    /// The old file.
    fn old(&self) -> Option<Attributes> {
        self.transfer
            .found
            .filter(|found| found.kind == Kind::Regular)
    }

    /// The mode of the old file, which stays unless the source's is to be copied.
    fn old_mode(&self, want: &Attributes) -> Option<u32> {
        self.old().map(|old| self.side.kept_bits(want, &old))
    }

    /// Ends the file; true if it is to be requested again.
    async fn finish(mut self, end: End) -> bool {
        let result = match end {
            End::Complete { digest, fresh } => match self.failed.take() {
                None => self.complete(digest, fresh).await,
                Some(failure) => Err(Some(failure)),
            },
            End::Changed => Err(Some((Action::Update, Cause::Changed))),
            End::Failed => Err(None),
        };
        let Err(failure) = result else { return false };
        if let Some(temp) = self.temp.take() {
            let _ = temp.file.close().await;
            // What is left behind is not worth a second message.
            let _ = self
                .side
                .run
                .io
                .handle
                .submit(Unlinkat::new(temp.dir.at(), c_name(&temp.name), 0))
                .await;
        }
        match failure {
            Some((_, Cause::Changed | Cause::Patch(_))) if !self.transfer.again.get() => {
                return true;
            }
            Some((action, cause)) => {
                self.side
                    .fail(&self.transfer.target.join(self.name()), action, cause)
            }
            // The sender has said why.
            None => {}
        }
        false
    }

    /// Keeps what the file replaces, if that is wanted.
    async fn keep_old(&self, dir: &Held, path: &[u8]) -> Result<(), Errno> {
        let old = self.transfer.found;
        match old.filter(|old| old.kind != Kind::Directory) {
            Some(_) => self.side.back_up(dir, path, Backup::Link).await,
            None => Ok(()),
        }
    }

    /// Checks the file, gives it its attributes and puts it in its place.
    async fn complete(
        &mut self,
        digest: Option<Digest>,
        fresh: Option<Attributes>,
    ) -> Result<(), Option<(Action, Cause)>> {
        self.flush(0).await?;
        let sum = self.sum.take().map(FileSum::finish);
        if self.basis.is_some() && digest != sum {
            return Err(Some((Action::Update, Cause::Patch(PatchError::Digest))));
        }
        self.temp().await?;
        let (side, name, target) = (self.side, self.name(), &self.transfer.target);
        let options = side.run.options;
        let path = target.join(name);
        let (Some(temp), Some(want)) = (self.temp.as_ref(), fresh.or(self.want())) else {
            return Err(None);
        };
        let (uid, gid) = side.new_owner(&want, target);
        let mode = if options.perms {
            Some(want.mode)
        } else {
            self.old_mode(&want)
        };
        let mtime = options.times.then_some(want.mtime);
        // A failure here is reported; the contents are good and stay.
        let well = side
            .set_open(
                &temp.file,
                Changes {
                    uid,
                    gid,
                    mode,
                    mtime,
                },
                &path,
            )
            .await;
        let Some(Temp {
            dir,
            file,
            name: temp_name,
        }) = self.temp.take()
        else {
            return Err(None);
        };
        let synced = match options.fsync {
            true => side.run.io.handle.submit(Fsync::new(file.fd())).await,
            false => Ok(()),
        };
        let closed = synced.and(file.close().await);
        let result = match closed {
            Ok(()) => match self.keep_old(&dir, &path).await {
                Ok(()) => {
                    let op =
                        Renameat2::new(dir.at(), c_name(&temp_name), dir.at(), c_name(name), 0);
                    side.run
                        .io
                        .handle
                        .submit(op)
                        .await
                        .map_err(|errno| (Action::Rename, errno))
                }
                Err(errno) => Err((Action::BackUp, errno)),
            },
            Err(errno) => Err((Action::Write, errno)),
        };
        if let Err((action, errno)) = result {
            let _ = side
                .run
                .io
                .handle
                .submit(Unlinkat::new(dir.at(), c_name(&temp_name), 0))
                .await;
            return Err(Some((action, errno.into())));
        }
        target.dirty.set(true);
        if let Some(lead) = self.transfer.lead.take() {
            lead.settle(None);
        }
        if let Some(entry) = self.transfer.list.get(self.transfer.id.index) {
            let moved = Moved {
                sent: self.came,
                received: self.transfer.sums,
                digest: sum.filter(|_| options.digests),
            };
            let mut entry = *entry;
            entry.attributes = want;
            let found = self.transfer.found.as_ref();
            side.transferred(&self.transfer.list, &entry, &path, found, moved);
            if well {
                let index = self.transfer.id.index;
                side.done(target, index, &want, found).await;
            }
        }
        Ok(())
    }
}
