// SPDX-License-Identifier: MIT OR Apache-2.0

//! The receiver: makes files of tokens, beside the old ones, and then puts them in their place.

mod in_place;
mod mode;
mod unwritten;

use crate::basis::{Basis, Data};
use crate::error::{Action, Cause};
use crate::io::{CHUNK, Held};
use crate::jobs::{Jobs, begin};
use crate::list::{Attributes, FileId, Kind};
use crate::message::{Delta, End, FromSender, ToGenerator, whole_weight};
use crate::options::Append;
use crate::patch::{self, PatchError};
use crate::side::Side;
use crate::sparse::Punch;
use crate::strong::{Digest, FileSum};
use crate::tell::Moved;
use crate::token::OwnedToken;
use crate::transfer::Transfer;
use crate::unfinished::Unfinished;
use async_channel::{Receiver, Sender};
use futures_util::{FutureExt as _, StreamExt as _, select_biased};
use libflexsc::op::Pread;
use libflexsc::{Errno, IoBuf as _, SharedFd};
use rustc_hash::FxHashMap;
use std::pin::pin;
use std::rc::Rc;

pub(crate) use mode::MadeWith;

/// How many messages of one file wait for it to be written.
const BACKLOG: usize = 4;

/// Passes the file list on and receives files, until the sender stops.
pub(crate) async fn receive(side: &Side<'_, '_>, inbox: Receiver<FromSender>) {
    // It may be closed by another thread, after it was seen to be open.
    let mut inbox = pin!(inbox.fuse());
    let mut writing: FxHashMap<FileId, Sender<Delta>> = FxHashMap::default();
    let mut files = Jobs::new();
    let plain = side.run.io.plain;
    loop {
        select_biased! {
            () = files.select_next_some() => {}
            message = inbox.select_next_some() => match message {
                // The generator's inbox has no bound: the sender's permits bound what can be in it.
                FromSender::Directory(listing) => drop(side.to_generator.try_send(ToGenerator::Directory(listing))),
                FromSender::ListEnd { complete } => {
                    drop(side.to_generator.try_send(ToGenerator::ListEnd { complete }));
                }
                FromSender::Ends(ends) => {
                    for (file, end) in ends {
                        side.answered(file);
                        let (tokens, end) = (Vec::new(), Some(end));
                        let delta = Delta { file, tokens, end };
                        begin(&files, plain, Box::pin(side.receive(delta, None))).await;
                    }
                }
                FromSender::Delta(delta) => {
                    let (file, ends) = (delta.file, delta.end.is_some());
                    if ends {
                        side.answered(file);
                    }
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
                        None if ends => drop(begin(&files, plain, Box::pin(side.receive(delta, None))).await),
                        None => {
                            let (writer, rest) = async_channel::bounded(BACKLOG);
                            begin(&files, plain, Box::pin(side.receive(delta, Some(rest)))).await;
                            writing.insert(file, writer);
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

/// Whether only who writes can meet this.
fn is_of_writing(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG | Errno::EROFS | Errno::EPERM
    )
}

impl Side<'_, '_> {
    /// Takes note of a file of the source that could not be read.
    fn note_unread(&self, unread: bool) {
        self.unread.set(self.unread.get() | unread);
    }

    /// Takes note that all has come that was requested.
    fn answered(&self, file: FileId) {
        let transfers = self.transfers.borrow();
        let soon = transfers.get(&file).map(|transfer| transfer.soon.take());
        if soon == Some(true) {
            self.outbox.answered();
        }
    }

    /// Receives one file, of which more may come.
    async fn receive(&self, first: Delta, rest: Option<Receiver<Delta>>) {
        // What nobody asked for is not written anywhere.
        let transfer = self.transfers.borrow().get(&first.file).cloned();
        let Some(transfer) = transfer else { return };
        let mut output = Output::new(self, &transfer);
        let mut delta = first;
        let end = loop {
            output.take(delta.tokens).await;
            match delta.end {
                Some(end) => break end,
                None => match &rest {
                    Some(rest) => match rest.recv().await {
                        Ok(next) => delta = next,
                        Err(_) => break End::Failed { vanished: false },
                    },
                    None => break End::Failed { vanished: false },
                },
            }
        };
        self.end(&transfer, output, end).await;
    }

    /// Makes the file that the sender is to fill; `None` if that fails, of which it is told at the end.
    pub(crate) async fn begin(&self, transfer: &Transfer) -> Option<SharedFd> {
        let mut output = Output::new(self, transfer);
        let made = match output.temp().await {
            Ok(temp) => temp.file().map_err(|errno| (Action::Write, errno.into())),
            Err(failure) => Err(failure),
        };
        let file = made.map_err(|failure| output.failed = Some(failure)).ok();
        transfer.begun.replace(Begun {
            temp: output.temp,
            made_with: output.made_with,
            failed: output.failed,
        });
        file.map(|file| file.fd())
    }

    /// Ends a file, or has it requested once more.
    async fn end(&self, transfer: &Transfer, output: Output<'_, '_>, end: End) {
        let Some(retry) = output.finish(end).await else {
            return self.finished(transfer).await;
        };
        transfer.again.set(true);
        transfer.basis.replace(None);
        let _ = self.to_generator.try_send(match retry {
            Retry::AtOnce => ToGenerator::Again(transfer.id),
            Retry::WithRoom => ToGenerator::WithRoom(transfer.id),
        });
    }
}

/// What was done for a file before it came.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    temp: Option<Rc<Unfinished>>,
    made_with: Option<u32>,
    failed: Option<(Action, Cause)>,
}

/// When a file is requested once more.
#[derive(Clone, Copy)]
enum Retry {
    AtOnce,
    /// When nothing else is in transfer.
    WithRoom,
}

/// A file that is being written.
struct Output<'a, 'o> {
    side: &'a Side<'a, 'o>,
    transfer: &'a Transfer,
    basis: Option<Rc<Basis>>,
    temp: Option<Rc<Unfinished>>,
    /// The mode that that was made with.
    made_with: Option<u32>,
    /// Whether all so far is what the old version has there, and nothing of it was written.
    unwritten: bool,
    /// Bytes that are still to be written.
    gathered: Vec<u8>,
    /// How far the file has come, what is gathered included.
    at: u64,
    /// How far it is written, and where the hole begins that it has there.
    position: u64,
    hole: Option<u64>,
    /// Where somebody asks for it.
    sum: Option<FileSum>,
    /// Bytes that came for it.
    came: u64,
    failed: Option<(Action, Cause)>,
}

impl<'a, 'o> Output<'a, 'o> {
    fn new(side: &'a Side<'a, 'o>, transfer: &'a Transfer) -> Self {
        let basis = transfer.basis.borrow().clone();
        let begun = transfer.begun.take();
        let options = side.run.options;
        let verified = transfer.start.get() > 0 && options.append == Some(Append::Verify);
        let sum = (basis.is_some() || verified || options.sums_whole_files())
            .then(|| FileSum::new(options.transfer_sum));
        Self {
            side,
            transfer,
            unwritten: unwritten::begins(side, transfer, basis.as_deref()),
            basis,
            temp: begun.temp,
            made_with: begun.made_with,
            gathered: Vec::new(),
            at: transfer.start.get(),
            position: transfer.start.get(),
            hole: None,
            sum,
            came: 0,
            failed: begun.failed,
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
            if let Err(failure) = Box::pin(self.token(token)).await {
                self.failed = Some(failure);
            }
        }
    }

    async fn token(&mut self, token: OwnedToken) -> Result<(), (Action, Cause)> {
        match token {
            OwnedToken::Data(data) if self.basis.is_none() => {
                // The part that is there comes first in the checksum.
                self.temp().await?;
                self.add(&data);
                let buf = self.write(data).await?;
                self.side.run.io.recycle(buf);
                Ok(())
            }
            OwnedToken::Data(data) => {
                if self.unwritten {
                    Box::pin(self.write_common()).await?;
                }
                self.add(&data);
                self.gathered.extend_from_slice(&data);
                self.flush(CHUNK).await
            }
            OwnedToken::Blocks { first, count } => self.blocks(first, count).await,
        }
    }

    /// Sums up what is literal.
    fn add(&mut self, data: &[u8]) {
        self.at += data.len() as u64;
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
        let same = range.start == self.at;
        if self.unwritten && same && self.at == 0 {
            Box::pin(self.look_ahead()).await;
        }
        if self.unwritten && !same {
            Box::pin(self.write_common()).await?;
        }
        // In its own place, what stays need not be written.
        let stays = basis.in_place && same;
        if stays {
            self.flush(0).await?;
        }
        let length = range.end - range.start;
        self.at += length;
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
            match stays || self.unwritten {
                true => self.gathered.clear(),
                false => self.flush(CHUNK).await?,
            }
        }
        if stays {
            self.skip(length).await?;
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
        let temp = self.temp().await?;
        let failed = |errno: Errno| (Action::Write, errno.into());
        let file = temp.file().map_err(failed)?;
        let length = data.len() as u64;
        let io = &self.side.run.io;
        let (result, buf) = match self.side.run.options.sparse {
            true => io.write_sparse(&file, data, self.punch()).await,
            false => io.write(&file, data).await,
        };
        result.map_err(failed)?;
        self.position += length;
        if self.side.run.options.sparse {
            let zeros = buf.iter().rev().take_while(|byte| **byte == 0).count() as u64;
            let all = self.hole.filter(|_| zeros == length);
            self.hole = all.or((zeros > 0).then_some(self.position - zeros));
        }
        temp.written.set(temp.written.get() + length);
        Ok(buf)
    }

    /// What may be where the file is written: the old version, or room for it.
    fn punch(&self) -> Option<Punch> {
        let options = self.side.run.options;
        let old = self.old().filter(|_| options.in_place());
        let again = options.in_place() && self.transfer.again.get();
        let there = options.preallocate || old.is_some() || again;
        there.then_some(Punch {
            position: self.position,
            // What a first attempt has made of it is not known.
            length: match again {
                true => u64::MAX,
                false => self.position.max(old.map_or(0, |old| old.size)),
            },
        })
    }

    /// The temporary file, made on first use.
    async fn temp(&mut self) -> Result<Rc<Unfinished>, (Action, Cause)> {
        if let Some(temp) = &self.temp {
            return Ok(temp.clone());
        }
        let action = match self.side.run.options.in_place() {
            true => Action::Write,
            false => Action::MakeTemporary,
        };
        if self.side.run.options.in_place() {
            self.clear_way().await?;
        }
        let made = self.make_temp().await;
        let temp = made.map_err(|errno| (action, errno.into()))?;
        self.temp = Some(temp.clone());
        if self.side.run.options.preallocate {
            let length = self.want().map_or(0, |want| want.size);
            let file = temp.file().map_err(|errno| (Action::Write, errno.into()))?;
            let allocated = Box::pin(self.side.run.io.preallocate(&file, length)).await;
            allocated.map_err(|errno| (Action::Allocate, errno.into()))?;
        }
        Ok(temp)
    }

    /// Removes the directory whose place the file takes.
    async fn clear_way(&self) -> Result<(), (Action, Cause)> {
        let (side, target, name) = (self.side, &self.transfer.target, self.name());
        let found = self.transfer.found;
        let Some(found) = found.filter(|found| found.kind == Kind::Directory) else {
            return Ok(());
        };
        if self.transfer.again.get() {
            // The first attempt may have removed it.
            let dir = side.directory(target).await;
            let dir = dir.map_err(|errno| (Action::OpenDirectory, errno.into()))?;
            let now = side.run.io.stat(dir.at(), name).await;
            if !now.is_ok_and(|now| now.kind == Kind::Directory) {
                return Ok(());
            }
        }
        let path = target.join(name);
        let cleared = Box::pin(side.clear_way(target, name, &path, &found)).await;
        cleared.map_err(|cause| (Action::MakeWay, cause))
    }

    async fn make_temp(&mut self) -> Result<Rc<Unfinished>, Errno> {
        let (side, transfer) = (self.side, self.transfer);
        if side.run.options.in_place() {
            return Box::pin(self.open_in_place()).await;
        }
        let want = self.want().ok_or(Errno::ENOENT)?;
        let (dir, to) = match side.temp_place().await {
            Some(dir) => (dir, side.directory(&transfer.target).await?),
            None => {
                let dir = side.workplace(&transfer.target, &transfer.list).await?;
                (dir.clone(), dir)
            }
        };
        let narrow = |mode| {
            let xattrs = transfer.list.xattrs_of(self.name());
            xattrs.map_or(mode, |xattrs| xattrs.narrow(mode))
        };
        let modes = (self.first_mode(), self.mode(&want).map(narrow));
        self.made_with = Some(modes.0);
        // Also if it is removed again.
        transfer.target.dirty.set(true);
        side.run
            .begin(transfer.id, (dir, to), self.name(), modes)
            .await
    }

    /// Takes note of a file that the sender has written.
    fn filled(&mut self, size: u64) {
        self.came += whole_weight(size);
        self.at = size;
        self.position = size;
        if let Some(temp) = &self.temp {
            temp.written.set(size);
        }
    }

    /// Whether a file that failed is worth a second attempt, and when.
    fn retry(&self, cause: &Cause) -> Option<Retry> {
        let side = self.side;
        match cause {
            _ if self.transfer.again.get() => None,
            Cause::Changed | Cause::Patch(_) => Some(Retry::AtOnce),
            // What others have written of a file that fails, too, goes. But not in its own place.
            Cause::Errno(Errno::ENOSPC | Errno::EDQUOT)
                if !side.run.options.in_place() && side.transfers.borrow().len() > 1 =>
            {
                Some(Retry::WithRoom)
            }
            _ => None,
        }
    }

    /// Ends the file, unless it is to be requested again.
    async fn finish(mut self, end: End) -> Option<Retry> {
        let result = match end {
            End::Complete { digest, fresh } => match self.failed.take() {
                None => self.complete(digest, fresh).await,
                Some(failure) => Err(Some(failure)),
            },
            End::Filled { size, fresh } => {
                self.filled(size);
                self.complete(None, fresh).await
            }
            End::NotFilled { action, errno } => {
                // Of a copy inside of the kernel nobody can tell which side had it, but for what only writing can meet.
                self.side.note_unread(!is_of_writing(errno));
                Err(Some((action, errno.into())))
            }
            End::Changed => Err(Some((Action::Update, Cause::Changed))),
            End::Failed { vanished } => {
                self.side.note_unread(!vanished);
                Err(None)
            }
        };
        let Err(failure) = result else { return None };
        let retry = failure.as_ref().and_then(|(_, cause)| self.retry(cause));
        if let Some(temp) = self.temp.take() {
            let run = self.side.run;
            run.unfinished.borrow_mut().remove(&self.transfer.id);
            // What is no part of the source is not kept, nor what has no place.
            let wrong = matches!(
                failure,
                Some((_, Cause::Changed | Cause::Patch(_)) | (Action::MakeWay, _))
            );
            match wrong || retry.is_some() {
                true => Box::pin(run.discard(&temp)).await,
                false => Box::pin(run.give_up(&temp)).await,
            }
        }
        match failure {
            _ if retry.is_some() => {}
            Some((action, cause)) => {
                self.side
                    .fail(&self.transfer.target.join(self.name()), action, cause)
            }
            // The sender has said why.
            None => {}
        }
        retry
    }

    /// Checks the file, gives it its attributes and puts it in its place.
    async fn complete(
        &mut self,
        digest: Option<Digest>,
        fresh: Option<Attributes>,
    ) -> Result<(), Option<(Action, Cause)>> {
        let (side, name, target) = (self.side, self.name(), &self.transfer.target);
        let (options, id) = (side.run.options, self.transfer.id);
        let path = target.join(name);
        let Some(want) = fresh.or(self.want()) else {
            return Err(None);
        };
        let stays = match self.unwritten {
            true => Box::pin(self.stays(&want)).await?,
            false => None,
        };
        if !self.gathered.is_empty() {
            Box::pin(self.flush(0)).await?;
        }
        if stays.is_none() {
            Box::pin(self.temp()).await?;
        }
        let sum = self.sum.take().map(FileSum::finish);
        if (self.basis.is_some() || digest.is_some()) && digest != sum {
            return Err(Some((Action::Update, Cause::Patch(PatchError::Digest))));
        }
        let well = match stays {
            Some(changes) => Box::pin(self.set_old(changes, &path)).await,
            None => self.put_written(&want, &path).await,
        }?;
        if !options.delay_updates {
            side.release_held(target, name).await;
        }
        target.dirty.set(true);
        match self.transfer.lead.take() {
            Some(lead) if options.delay_updates => lead.hold(),
            Some(lead) => lead.settle(None),
            None => {}
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
            let compared = self.transfer.model.as_ref().or(found);
            let compared = (compared, self.transfer.unlike);
            side.transferred(&self.transfer.list, &entry, &path, compared, moved);
            let index = id.index;
            if options.delay_updates {
                let (list, found) = (&self.transfer.list, self.transfer.found);
                side.delay(target, list, index, found, well.then_some(want));
            } else if well {
                side.done(target, index, &want, found).await;
            }
        }
        Ok(())
    }

    /// Gives the file that was written its attributes and puts it in its place. Whether all attributes could be set.
    async fn put_written(
        &mut self,
        want: &Attributes,
        path: &[u8],
    ) -> Result<bool, (Action, Cause)> {
        let (side, name, target) = (self.side, self.name(), &self.transfer.target);
        let (options, id) = (side.run.options, self.transfer.id);
        let mut temp = self.temp().await?;
        if side.temp_dir.is_some() && !options.in_place() {
            let failed = |errno: Errno| (Action::MakeTemporary, errno.into());
            let dir = Box::pin(side.workplace(target, &self.transfer.list)).await;
            let home = side.run.bring_home(id, temp, dir.map_err(failed)?);
            temp = Box::pin(home).await.map_err(failed)?;
            self.temp = Some(temp.clone());
        }
        let owner = match self.old().filter(|_| options.in_place()) {
            Some(old) => side.owner(want, old.uid, Some(old.gid)),
            None => side.new_owner(want, target),
        };
        let mut changes = side.changes_of_written(want, owner, self.mode(want));
        let file = temp.file().map_err(|errno| (Action::Write, errno.into()))?;
        changes.mode = self.mode_left(&file, &changes).await;
        self.cut(&file).await?;
        // A failure here is reported; the contents are good and stay.
        let xattrs = self.transfer.list.xattrs_of(name);
        let well = side.set_written(&file, changes, xattrs, path).await;
        drop(file);
        let result = match side.run.close(&temp).await {
            Ok(()) => self.put_in_place(&temp, path).await,
            Err(errno) => Err((Action::Write, errno.into())),
        };
        result?;
        self.temp = None;
        side.run.unfinished.borrow_mut().remove(&id);
        Ok(well)
    }

    /// Gives a complete file its name, or has it wait for the end.
    async fn put_in_place(&self, temp: &Unfinished, path: &[u8]) -> Result<(), (Action, Cause)> {
        let side = self.side;
        let dir = &temp.to;
        if !side.run.options.in_place() {
            self.clear_way().await?;
        }
        if side.run.options.delay_updates {
            let hold = |errno: Errno| (Action::Hold, errno.into());
            let holding = Box::pin(side.run.make_holding(dir)).await.map_err(hold)?;
            return side.run.rename(temp, &holding).await.map_err(hold);
        }
        if !side.run.options.in_place() {
            let kept = side.keep_old(dir, path, self.transfer.found.as_ref());
            kept.await
                .map_err(|(action, errno)| (action, errno.into()))?;
        }
        let renamed = side.run.rename(temp, dir).await;
        renamed.map_err(|errno| (Action::Rename, errno.into()))
    }
}
