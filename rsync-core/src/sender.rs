// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sender: walks over the source and answers requests for files, many at once.

mod fill;

use crate::error::{Action, Cause};
use crate::event::Event;
use crate::io::{CHUNK, c_name, source_flags};
use crate::jobs::{Jobs, begin};
use crate::list::{Attributes, FileId, Kind};
use crate::matcher::Matcher;
use crate::message::{Delta, End, FromSender, Request, ToSender};
use crate::opened::Opened;
use crate::options::Append;
use crate::run::Run;
use crate::search::{Recorder, Search};
use crate::sent::{Sent, SentMap};
use crate::signature::Signature;
use crate::source::Sources;
use crate::strong::FileSum;
use crate::token::{Collector, OwnedToken, Token};
use crate::walk::Walker;
use crate::xattrs::Origin;
use async_channel::{Receiver, Sender};
use futures_util::future::{Fuse, FutureExt as _, ready};
use futures_util::stream::FusedStream as _;
use futures_util::{StreamExt as _, select_biased};
use libflexsc::Errno;
use libflexsc::op::{Lseek, Unlinkat};
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

/// Sends the file list and the files that are asked for, until nobody can ask any more.
pub(crate) async fn send(
    run: &Run<'_>,
    sources: Sources,
    requests: Receiver<ToSender>,
    out: Sender<FromSender>,
) {
    let sent = SentMap::default();
    let listed = Cell::new(false);
    let walk = async {
        Walker::new(run, &sent, &out).walk(sources).await;
        listed.set(true);
    };
    let server = Server {
        run,
        sent: &sent,
        listed: &listed,
        out: &out,
        ends: RefCell::default(),
    };
    futures_util::join!(walk, server.serve(requests));
    out.close();
}

struct Server<'a, 'o> {
    run: &'a Run<'o>,
    sent: &'a SentMap,
    /// Whether the file list is complete.
    listed: &'a Cell<bool>,
    out: &'a Sender<FromSender>,
    /// Ends of files that wait to go together: where both sides have a thread, one may wake the other for each message.
    ends: RefCell<Vec<(FileId, End)>>,
}

/// So many ends of files do not wait for more.
const TOGETHER: usize = 16;

impl Server<'_, '_> {
    async fn serve(&self, requests: Receiver<ToSender>) {
        // They may be closed by another thread, after they were seen to be open.
        let mut requests = pin!(requests.fuse());
        let mut answers = Jobs::new();
        let plain = self.run.io.plain;
        // Names of files with several that are to be removed when all names are listed: one that is removed before
        // makes the others look like files with fewer.
        let mut later = Vec::new();
        loop {
            // Nobody asks any more who has not seen the whole list, but where the receiving side has failed.
            if self.listed.get() || requests.is_terminated() {
                for (dir, file, attributes) in later.drain(..) {
                    let remove = self.remove(dir, file, attributes);
                    begin(&answers, plain, Box::pin(remove)).await;
                }
            }
            let mut waiting = match self.ends.borrow().is_empty() {
                true => Fuse::terminated(),
                false => ready(()).fuse(),
            };
            select_biased! {
                message = requests.select_next_some() => match message {
                    ToSender::Release(dir) => drop(self.sent.borrow_mut().remove(&dir)),
                    ToSender::Request(request) => {
                        let dir = self.sent.borrow().get(&request.file.dir).cloned();
                        begin(&answers, plain, Box::pin(self.answer(dir, request))).await;
                    }
                    ToSender::Done { file, attributes } => {
                        let dir = self.sent.borrow().get(&file.dir).cloned();
                        if self.run.options.groups(&attributes) && !self.listed.get() {
                            later.push((dir, file, attributes));
                            continue;
                        }
                        let remove = self.remove(dir, file, attributes);
                        begin(&answers, plain, Box::pin(remove)).await;
                    }
                },
                () = answers.select_next_some() => {}
                // Nothing else is to be done.
                () = waiting => self.send_ends().await,
                complete => {
                    if later.is_empty() {
                        return;
                    }
                }
            }
        }
    }

    /// Sends a file, and in any case an end of it.
    async fn answer(&self, dir: Option<Rc<Sent>>, request: Request) {
        let file = request.file;
        if request.into.is_none() {
            // This may take long, and those that are ready are not to wait for it.
            self.send_ends().await;
        }
        let last = match dir {
            Some(dir) => self.file(&dir, request).await,
            None => End::Failed { vanished: false }.into(),
        };
        if !matches!(last.end, End::Filled { .. }) {
            return self.delta(file, last.tokens, Some(last.end)).await;
        }
        self.ends.borrow_mut().push((file, last.end));
        if self.ends.borrow().len() >= TOGETHER {
            self.send_ends().await;
        }
    }

    async fn send_ends(&self) {
        let ends = self.ends.take();
        if !ends.is_empty() {
            self.tell(FromSender::Ends(ends)).await;
        }
    }

    /// Removes a file that the destination has, unless it is another one by now.
    async fn remove(&self, dir: Option<Rc<Sent>>, file: FileId, read: Attributes) {
        let Some(dir) = dir else { return };
        let Some((held, name, path)) = dir.locate(&self.run.io, file.index).await else {
            return;
        };
        let held = match held {
            Ok(held) => held,
            Err(errno) => return self.run.fail_errno(path, Action::RemoveSource, errno),
        };
        let same = |now: &Attributes| {
            (now.kind, now.inode, now.size, now.mtime)
                == (read.kind, read.inode, read.size, read.mtime)
        };
        if self.run.options.follows_links() && dir.is_linked(file.index) {
            // It is in a directory that may be anywhere.
            let cause = Cause::Errno(Errno::ELOOP);
            return self.run.fail(path, Action::RemoveSource, cause);
        }
        let entry = dir.list().get(file.index);
        let followed = entry.is_some_and(|entry| entry.followed);
        let flags = if followed {
            0
        } else {
            libc::AT_SYMLINK_NOFOLLOW
        };
        let now = match self.run.io.statx(held.at(), name, flags).await {
            Ok(own) => self.run.faked_at(&held, name, own).await,
            Err(errno) => Err((Action::Stat, errno.into())),
        };
        let cause = match now {
            Ok(now) if same(&now) => {
                let op = Unlinkat::new(held.at(), c_name(name), 0);
                match self.run.io.handle.submit(op).await {
                    Ok(()) => {
                        let path = dir.place(file.index);
                        return self.run.event(Event::RemovedSource(&path));
                    }
                    Err(errno) => Cause::Errno(errno),
                }
            }
            Ok(_) => Cause::Replaced,
            Err((_, cause)) => cause,
        };
        self.run.fail(path, Action::RemoveSource, cause);
    }

    async fn delta(&self, file: FileId, tokens: Vec<OwnedToken>, end: Option<End>) {
        if tokens.is_empty() && end.is_none() {
            return;
        }
        self.tell(FromSender::Delta(Delta { file, tokens, end }))
            .await;
    }

    /// Sends tokens, in messages of about [`CHUNK`] bytes, so that their number bounds what waits for the receiving side. Returns
    /// what is left, which is less.
    async fn tokens(&self, file: FileId, tokens: Vec<OwnedToken>) -> Vec<OwnedToken> {
        let (mut message, mut weight) = (Vec::new(), 0);
        for token in tokens {
            weight += token.weight();
            message.push(token);
            if weight >= CHUNK as u64 {
                self.delta(file, std::mem::take(&mut message), None).await;
                weight = 0;
            }
        }
        message
    }

    async fn tell(&self, message: FromSender) {
        let weight = message.weight();
        self.run.stats().sent += weight;
        self.run.pace.keep(&self.run.io.handle, weight).await;
        // Fails only when the receiving side has gone, and then nobody wants the message.
        let _ = self.out.send(message).await;
    }

    /// Sends all but the last message of a file.
    async fn file(&self, dir: &Sent, request: Request) -> Last {
        let io = &self.run.io;
        let (Some((held, name, path)), Some(entry)) = (
            dir.locate(io, request.file.index).await,
            dir.list().get(request.file.index),
        ) else {
            return End::Failed { vanished: false }.into();
        };
        let failed = |action, cause| {
            let vanished = matches!(cause, Cause::Errno(Errno::ENOENT));
            self.run.fail(path.clone(), action, cause);
            Last::from(End::Failed { vanished })
        };
        let flags = source_flags(entry.followed);
        let opened = match held {
            Ok(held) => io.open(held.at(), name, flags, 0).await,
            Err(errno) => Err(errno),
        };
        let file = match opened {
            Ok(file) => file,
            Err(errno) => return failed(Action::Open, errno.into()),
        };
        let mut source = Opened {
            file,
            size: entry.attributes.size,
            mtime: entry.attributes.mtime,
            fresh: None,
        };
        if request.again {
            let fake = self.run.options.fakes(Origin::Source);
            match io.look_held(&source.file, fake).await {
                // It may be something else by now.
                Ok(fresh) if fresh.kind != Kind::Regular => return End::Changed.into(),
                Ok(fresh) => {
                    source.size = fresh.size;
                    source.mtime = fresh.mtime;
                    source.fresh = Some(self.run.options.as_sent(fresh));
                }
                Err((action, cause)) => return failed(action, cause),
            }
        }
        let last = match (request.into, request.signature) {
            (Some(into), _) => {
                // Nobody but the receiving side has it when this is over.
                let into = io.hold(into);
                self.fill(&source, &into).await
            }
            (None, Some(signature)) => {
                let matcher = (signature, request.in_place);
                let sent = self.differences(&source, request.file, &path, matcher);
                Box::pin(sent).await
            }
            (None, None) => Box::pin(self.whole(&source, request.file, request.start)).await,
        };
        // What closing a file says that was only read does not matter.
        let _ = source.file.close().await;
        last.unwrap_or_else(|errno| failed(Action::Read, errno.into()))
    }

    /// Sends all of a file from the byte `start` on.
    async fn whole(&self, source: &Opened, file: FileId, start: u64) -> Result<Last, Errno> {
        let io = &self.run.io;
        let mut sum = None;
        let mut read = start;
        if start > source.size {
            return Ok(End::Changed.into());
        }
        if start > 0 {
            let options = self.run.options;
            if options.append == Some(Append::Verify) {
                let mut over = FileSum::new(options.transfer_sum);
                io.sum(&source.file, start, &mut over).await?;
                sum = Some(over);
            }
            let op = Lseek::new(source.file.fd(), start as i64, libc::SEEK_SET);
            io.handle.submit(op).await?;
        }
        let complete = |tokens, sum: Option<FileSum>| Last {
            tokens,
            end: End::Complete {
                digest: sum.map(FileSum::finish),
                fresh: source.fresh,
            },
        };
        if start == source.size && self.run.options.atimes {
            // To look whether there is something all the same would change the time of last access.
            return match source.has_changed(io).await? {
                true => Ok(End::Changed.into()),
                false => Ok(complete(Vec::new(), sum)),
            };
        }
        loop {
            // Room for one byte too many: a read that leaves it empty has seen the end of the file.
            let (count, mut buf) = io
                .read(
                    &source.file,
                    io.buffer((source.size - read).saturating_add(1)),
                )
                .await;
            let count = count?;
            let room = count < buf.len();
            buf.truncate(count);
            read += count as u64;
            if let Some(sum) = &mut sum {
                sum.update(&buf);
            }
            self.run.stats().matching.literal += count as u64;
            self.run.advance(|progress| progress.moved += count as u64);
            if read > source.size || count == 0 && read < source.size {
                return Ok(End::Changed.into());
            }
            let tokens = if count == 0 {
                Vec::new()
            } else {
                vec![OwnedToken::Data(buf)]
            };
            if count == 0 || room && read == source.size {
                if source.has_changed(io).await? {
                    return Ok(End::Changed.into());
                }
                return Ok(complete(tokens, sum));
            }
            self.delta(file, tokens, None).await;
        }
    }

    /// Sends a file as differences to a basis.
    async fn differences(
        &self,
        source: &Opened,
        file: FileId,
        path: &[u8],
        (signature, in_place): (Signature, bool),
    ) -> Result<Last, Errno> {
        let io = &self.run.io;
        let kept = self.run.options.searches.then(|| signature.clone());
        let mut recorder = kept.as_ref().map(|kept| Recorder::new(*kept.layout()));
        let mut matcher = match in_place {
            true => Matcher::in_place(signature),
            false => Matcher::new(signature),
        };
        matcher = matcher.threads(self.run.options.threads);
        let mut collector = Collector::new();
        let mut take = |collector: &mut Collector, token: Token<'_>| {
            if let Some(recorder) = &mut recorder {
                recorder.push(&token);
            }
            collector.push(token);
        };
        let mut read = 0u64;
        loop {
            // Room for one byte too many, as above.
            let rest = source.size.saturating_sub(read).saturating_add(1);
            let (window, room) = matcher.lend(rest.min(CHUNK as u64) as usize);
            let most = room.len();
            let (count, window) = io.read_part(&source.file, window, room).await;
            let count = count?;
            read += count as u64;
            self.run.advance(|progress| progress.moved += count as u64);
            matcher.take_back(window, count, &mut |token| take(&mut collector, token));
            if count == 0 || read > source.size || count < most && read == source.size {
                break;
            }
            let rest = self.tokens(file, collector.take()).await;
            self.delta(file, rest, None).await;
        }
        let (digest, stats) = matcher.finish(&mut |token| take(&mut collector, token));
        let tokens = self.tokens(file, collector.take()).await;
        self.run.stats().matching += stats;
        if let (Some(signature), Some(recorder)) = (&kept, &recorder) {
            self.run.event(Event::Searched(Search {
                path,
                size: read,
                signature,
                matches: recorder.matches(),
                stats: &stats,
            }));
        }
        if read != source.size || source.has_changed(io).await? {
            return Ok(End::Changed.into());
        }
        let end = End::Complete {
            digest: Some(digest),
            fresh: source.fresh,
        };
        Ok(Last { tokens, end })
    }
}

/// The last message of a file.
struct Last {
    tokens: Vec<OwnedToken>,
    end: End,
}

impl From<End> for Last {
    fn from(end: End) -> Self {
        Self {
            tokens: Vec::new(),
            end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Layout;
    use crate::engine::Sync;
    use crate::event::Event;
    use crate::filter::FilterList;
    use crate::options::Options;
    use crate::strong::BlockSum;
    use crate::teller::Teller;
    use crate::token::MAX_DATA;
    use libflexsc::{Context, Handle, task::block_on};
    use std::fs;
    use std::sync::Arc;

    const WAITING: usize = 4;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    fn weight(message: &FromSender) -> u64 {
        match message {
            FromSender::Delta(_) => message.weight(),
            other => panic!("{other:?}"),
        }
    }

    /// What a receiver that takes nothing has waiting is bounded by the number of messages: none is long, however much a
    /// search comes to know at once.
    #[test]
    fn what_waits_for_a_slow_receiver_is_bounded() {
        let root = std::env::temp_dir().join(format!("rsync-core-slow-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let new = noise(7 << 20);
        fs::write(root.join("file"), &new).unwrap();
        // Two threads go over 2 MiB before anything is told of them.
        for threads in [1, 2] {
            let mut options = Options::archive();
            options.threads = threads;
            let mut sync = Sync::new(options);
            sync = sync.source(root.join("file"));
            let handle = Handle::new(Context::direct());
            let mut observer = |_: Event<'_>| {};
            let teller = Teller::new(&mut observer);
            let run = Run::new(&handle, sync.options(), &teller);
            let (out, from) = async_channel::bounded(WAITING);
            let (to, requests) = async_channel::bounded(1);
            let longest = 8 + CHUNK as u64 + 4 + MAX_DATA as u64;
            let (mut all, mut messages) = (0, 0);
            block_on(&handle, async {
                let filters =
                    FilterList::read(&run.io, &sync.options().filters, false, false).await;
                let filters = Arc::new(filters.unwrap());
                let sources = sync.select(&run, &filters).await.unwrap();
                let mut sending = pin!(send(&run, sources, requests, out));
                let mut turn = async || {
                    let over = futures_util::poll!(&mut sending).is_ready();
                    crate::io::yield_now().await;
                    over
                };
                while from.len() < 2 {
                    assert!(!turn().await);
                }
                let Ok(FromSender::Directory(listing)) = from.try_recv() else {
                    panic!("the list comes first");
                };
                assert!(matches!(from.try_recv(), Ok(FromSender::ListEnd { .. })));
                let old = vec![7; 1 << 20];
                let layout = Layout::new(old.len() as u64, None).unwrap();
                let request = Request {
                    file: FileId {
                        dir: listing.id,
                        index: 0,
                    },
                    signature: Signature::of(&old, layout, BlockSum::default()),
                    in_place: false,
                    start: 0,
                    again: false,
                    into: None,
                };
                to.try_send(ToSender::Request(request)).unwrap();
                to.close();
                while !from.is_full() {
                    assert!(!turn().await);
                }
                for _ in 0..100 {
                    assert!(!turn().await, "it does not wait for who takes nothing");
                }
                let mut over = false;
                while !over || !from.is_empty() {
                    over = over || turn().await;
                    while let Ok(message) = from.try_recv() {
                        let weight = weight(&message);
                        assert!(weight <= longest, "{weight} bytes, {threads} threads");
                        all += weight;
                        messages += 1;
                    }
                }
            });
            assert!(all > new.len() as u64 && messages > 20, "{all} {messages}");
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
