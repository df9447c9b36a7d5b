// SPDX-License-Identifier: MIT OR Apache-2.0
//! A round: a context, as much of everything as it takes, and at any moment something is ended early.

use std::time::Duration;

use futures_lite::future::yield_now;
use libflexsc::{
    At, Backend, Context, Errno, Handle, On, Operation,
    backend::{Kind, Options},
    op::{
        Accept4, Chain, Close, Nop, Openat, Poll, Pread, Pwrite, Raw, Read, Recvfrom, Sendto, Write,
    },
    task::block_on,
};

use crate::{
    books::{RECORD, Tracked},
    claim::{Claim, Futured, Ticketed, buffer, plain},
    common::LONG,
    progress,
    reached::{Outcome, Reached},
    world::{CONTENT, Stream, World, content},
};

/// Numbers by chance, from a seed.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// Below `limit`: splitmix64.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn one_in(&mut self, limit: usize) -> bool {
        self.below(limit) == 0
    }
}

/// Sleeps that operations point to, in nanoseconds.
static SPANS: [libc::timespec; 3] = [span(0), span(50_000), span(2_000_000)];

const fn span(tv_nsec: i64) -> libc::timespec {
    libc::timespec { tv_sec: 0, tv_nsec }
}

/// Who owns the context.
enum Owner {
    One(Box<Context>),
    Shared(Handle),
}

struct Load<'a> {
    kind: Kind,
    owner: Owner,
    world: &'a World,
    chance: &'a mut Chance,
    reached: &'a mut Reached,
    claims: Vec<Box<dyn Claim>>,
    /// What may never end by itself is posted, too; at the end it is cancelled.
    endless: bool,
    content: Vec<u8>,
}

/// Posts and cancels until `enough` says so, and ends the context. What was wrong.
pub(crate) fn round(
    kind: Kind,
    chance: &mut Chance,
    reached: &mut Reached,
    enough: impl Fn(&Reached) -> bool,
) -> Vec<String> {
    let world = World::new();
    let mut options = Options::new();
    options
        .entries([64, 64, 128, 512][chance.below(4)])
        .threads([0, 2, 8][chance.below(3)] as u32)
        .drop_timeout(LONG);
    if chance.one_in(2) {
        options.idle_spin(Duration::ZERO).wait_spin(Duration::ZERO);
    }
    let backend = Backend::open(kind, &options).unwrap_or_else(|error| panic!("{kind}: {error}"));
    let context = Context::new(backend);
    let mut load = Load {
        kind,
        owner: match chance.one_in(3) {
            true => Owner::One(Box::new(context)),
            false => Owner::Shared(Handle::new(context)),
        },
        world: &world,
        endless: kind != Kind::Direct && chance.one_in(2),
        chance,
        reached,
        claims: Vec::new(),
        content: content(),
    };
    let steps = 200 + load.chance.below(1500);
    for _ in 0..steps {
        load.step();
        if enough(load.reached) {
            break;
        }
    }
    load.end();
    world.close()
}

impl Load<'_> {
    fn context(&self) -> &Context {
        match &self.owner {
            Owner::One(context) => context,
            Owner::Shared(handle) => handle,
        }
    }

    fn step(&mut self) {
        progress();
        self.post_something();
        if self.chance.one_in(3) {
            self.end_something();
        }
        if self.chance.one_in(8) {
            self.take();
        }
        if self.claims.len() >= 2 * self.context().capacity().max(32) {
            self.context().wait_timeout(1, Duration::from_millis(1));
            self.take();
            while self.claims.len() >= 2 * self.context().capacity().max(32) {
                // All that is posted may wait, and keep the rest from its turn.
                for _ in 0..self.claims.len() / 2 {
                    self.end_something();
                }
                self.context().wait_timeout(1, Duration::from_millis(1));
                self.take();
                progress();
            }
        }
    }

    fn post_something(&mut self) {
        let world = self.world;
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        match self.chance.below(20) {
            0..=6 => {
                let stream = &world.loops[self.chance.below(world.loops.len())];
                self.post_on(stream, true);
            }
            7..=10 => {
                let stream = &world.moved[self.chance.below(world.moved.len())];
                self.post_on(stream, false);
            }
            11 => {
                let count = 1 + self.chance.below(256);
                let records = Tracked::to_write(&world.books, world.places, count);
                let place = (records.first() * RECORD) as u64;
                self.post(Pwrite::new(&world.written, records, place), buffer, false);
            }
            12 => {
                let (part, offset) = self.part();
                self.post(Pread::new(&world.read, part, offset), buffer, false);
            }
            13 => {
                let stream = &world.loops[self.chance.below(world.loops.len())];
                let file = stream.reader.as_ref().expect("it is the context's");
                self.post(Poll::new(file, libc::POLLIN), plain, true);
            }
            14 => {
                let span = &raw const SPANS[self.chance.below(SPANS.len())];
                let args = [libc::CLOCK_MONOTONIC as u64, 0, span as u64, 0, 0, 0];
                // SAFETY: The span lives as long as the process.
                let sleep = unsafe { Raw::new(libc::SYS_clock_nanosleep as u16, args) };
                self.post(sleep, plain, false);
            }
            15 if self.kind != Kind::Direct => self.watch(),
            16 => {
                let (part, offset) = self.part();
                let open = Openat::new(At::Cwd, world.dir.c("read"), flags, 0);
                self.post_chain(
                    (
                        open.for_chain(),
                        Pread::new(On::Chain, part, offset),
                        Close::new(On::Chain),
                    ),
                    |(open, read, close)| {
                        vec![open.claim(plain), read.claim(buffer), close.claim(plain)]
                    },
                    |(open, read, close)| {
                        vec![open.claim(plain), read.claim(buffer), close.claim(plain)]
                    },
                );
            }
            17 if self.endless => {
                let stream = &world.loops[self.chance.below(2)];
                let (reader, writer) = (stream.reader.as_ref(), stream.writer.as_ref());
                let (reader, writer) = reader.zip(writer).expect("both are the context's");
                let records = || Tracked::to_write(&world.books, stream.number, 1);
                let room = || Tracked::to_read(&world.books, stream.number, 1);
                self.post_chain(
                    (
                        Write::new(writer, records()),
                        Read::new(reader, room()),
                        Nop::new(),
                        Read::new(reader, room()),
                    ),
                    |(a, b, c, d)| {
                        vec![
                            a.claim(buffer),
                            b.claim(buffer),
                            c.claim(plain),
                            d.claim(buffer),
                        ]
                    },
                    |(a, b, c, d)| {
                        vec![
                            a.claim(buffer),
                            b.claim(buffer),
                            c.claim(plain),
                            d.claim(buffer),
                        ]
                    },
                );
            }
            18 => {
                let accept = Accept4::new(&world.listener, libc::SOCK_CLOEXEC);
                self.post(accept, plain, true);
            }
            19 if self.chance.one_in(20) && self.kind != Kind::Direct => self.tasks(),
            _ => {
                // Without a taker the file is closed.
                let open = Openat::new(At::Cwd, world.dir.c("read"), flags, 0);
                self.post(open, plain, false);
            }
        }
    }

    /// Reads from or writes to a stream; which may wait for ever if both ends are ours.
    fn post_on(&mut self, stream: &Stream, ours: bool) {
        let (books, number) = (&self.world.books, stream.number);
        // A pipe takes large writes in parts.
        let count = match self.chance.below(16) {
            0 if !stream.is_socket => 1 << 14,
            1..=4 => 1 + self.chance.below(100),
            _ => 1 + self.chance.below(8),
        };
        let reads = stream.writer.is_none() || self.chance.one_in(2);
        match (&stream.reader, &stream.writer) {
            (Some(reader), _) if reads => {
                let room = Tracked::to_read(books, number, count);
                if stream.is_socket && self.chance.one_in(2) {
                    let judge = |(result, room): (Result<(usize, _), Errno>, Tracked),
                                 reached: &mut Reached| {
                        buffer((result.map(|(count, _)| count), room), reached)
                    };
                    return self.post(Recvfrom::new(reader, room, 0), judge, ours);
                }
                self.post(Read::new(reader, room), buffer, ours);
            }
            (_, Some(writer)) => {
                let records = Tracked::to_write(books, number, count);
                if stream.is_socket && self.chance.one_in(2) {
                    return self.post(Sendto::new(writer, records, 0), buffer, ours);
                }
                self.post(Write::new(writer, records), buffer, ours);
            }
            _ => {}
        }
    }

    /// A buffer for a part of the file that is read, and where that is.
    fn part(&mut self) -> (Tracked, u64) {
        let offset = self.chance.below(CONTENT);
        let len = self.chance.below((CONTENT - offset).min(1 << 14)) + 1;
        let part = Tracked::to_copy(&self.world.books, &self.content[offset..offset + len]);
        (part, offset as u64)
    }

    /// Posts an operation, perhaps with a limit; in any case if it may wait for ever and must not.
    fn post<O: Operation>(
        &mut self,
        op: O,
        judge: impl FnOnce(O::Output, &mut Reached) -> bool + 'static,
        may_wait: bool,
    ) {
        if may_wait && !self.endless || self.chance.one_in(6) {
            let limit = [0, 1, 20, 300, 3000][self.chance.below(5)];
            self.give(op.timeout(Duration::from_micros(limit)), judge);
        } else {
            self.give(op, judge);
        }
    }

    fn give<O: Operation>(
        &mut self,
        op: O,
        judge: impl FnOnce(O::Output, &mut Reached) -> bool + 'static,
    ) {
        let ticket = self.chance.one_in(2);
        let claim = match &self.owner {
            Owner::Shared(handle) if !ticket => handle.submit(op).claim(judge),
            _ => self.context().post(op).claim(judge),
        };
        self.claims.push(claim);
    }

    fn post_chain<C: Chain>(
        &mut self,
        chain: C,
        tickets: impl FnOnce(C::Tickets) -> Vec<Box<dyn Claim>>,
        pendings: impl FnOnce(C::Pendings) -> Vec<Box<dyn Claim>>,
    ) {
        let ticket = self.chance.one_in(2);
        let claims = match &self.owner {
            Owner::Shared(handle) if !ticket => pendings(handle.submit_chain(chain)),
            _ => tickets(self.context().post_chain(chain)),
        };
        self.claims.extend(claims);
    }

    fn watch(&mut self) {
        let streams = match self.chance.one_in(2) {
            true => &self.world.loops,
            false => &self.world.moved,
        };
        let stream = &streams[self.chance.below(streams.len())];
        let (file, events) = match (&stream.reader, &stream.writer) {
            (Some(reader), _) => (reader, libc::POLLIN),
            (None, Some(writer)) => (writer, libc::POLLOUT),
            (None, None) => return,
        };
        let claim: Box<dyn Claim> = match &self.owner {
            Owner::Shared(handle) => Box::new(handle.watch(file, events)),
            Owner::One(context) => Box::new(context.watch(file, events)),
        };
        self.claims.push(claim);
    }

    /// Tasks that read with limits of the runtime's, and are dropped at work.
    fn tasks(&mut self) {
        let Owner::Shared(handle) = &self.owner else {
            return;
        };
        let mut tasks = Vec::new();
        for stream in self
            .world
            .moved
            .iter()
            .filter(|stream| stream.reader.is_some())
        {
            for limit in [0, 100, 10_000] {
                let (inner, books) = (handle.clone(), self.world.books.clone());
                let (reader, number) = (stream.reader.clone(), stream.number);
                tasks.push(handle.spawn(async move {
                    let Some(reader) = reader else { return };
                    loop {
                        let read = Read::new(&reader, Tracked::to_read(&books, number, 4));
                        let read = inner.submit(read);
                        let limit = Duration::from_micros(limit);
                        if let Ok((result, room)) = inner.timeout(limit, read).await {
                            room.back(result);
                        }
                        // A limit of nothing never waits.
                        yield_now().await;
                    }
                }));
            }
        }
        block_on(handle, handle.sleep(Duration::from_millis(2)));
        self.reached.add(Outcome::TaskDropped, tasks.len() as u64);
    }

    /// Cancels one, or all, or gives the claim to one up.
    fn end_something(&mut self) {
        if self.claims.is_empty() {
            return;
        }
        let one = self.chance.below(self.claims.len());
        match self.chance.below(400) {
            0 => {
                self.context().cancel_all();
                self.reached.count(Outcome::All);
            }
            1..200 => {
                let mut claim = self.claims.swap_remove(one);
                let answer = claim.cancel(self.context());
                self.reached.answered(answer);
                // Some are cancelled again, now and then.
                self.claims.push(claim);
            }
            _ => {
                let claim = self.claims.swap_remove(one);
                let loudly = self.chance.one_in(3);
                let outcome = claim.give_up(self.context(), loudly);
                self.reached.count(outcome);
            }
        }
    }

    /// Takes all outputs that are there.
    fn take(&mut self) {
        let mut claims = std::mem::take(&mut self.claims);
        claims.retain_mut(|claim| {
            let context: &Context = match &self.owner {
                Owner::One(context) => context,
                Owner::Shared(handle) => handle,
            };
            match claim.take(context, self.reached) {
                None => return true,
                Some(true) => {}
                Some(false) => {
                    let wrong = self.reached.wrong.take();
                    self.world.books.fault(format!("an output: {wrong:?}"));
                }
            }
            false
        });
        self.claims = claims;
    }

    /// Ends the context, after all operations or with them.
    fn end(mut self) {
        let queued = self.context().stats().queued;
        self.reached.add(Outcome::Queued, queued);
        let orderly = self.chance.one_in(3);
        if self.endless || orderly {
            self.context().cancel_all();
            self.reached.count(Outcome::All);
        }
        if orderly {
            // What was discarded, and detached, is among them, and may begin only now.
            while self.context().outstanding() > 0 {
                progress();
                self.context().cancel_all();
                self.context().wait_timeout(1, Duration::from_millis(10));
            }
            self.take();
            if !self.claims.is_empty() {
                let what = format!(
                    "{} operations are over and gave no output",
                    self.claims.len()
                );
                self.world.books.fault(what);
            }
        } else if self.context().outstanding() > 0 {
            self.reached.count(Outcome::InProgress);
        }
        let Self {
            owner,
            mut claims,
            chance,
            reached,
            world,
            ..
        } = self;
        // Claims outlive the context, or not.
        if chance.one_in(2) {
            claims.clear();
        }
        match owner {
            Owner::One(context) => {
                if let Err(error) = context.close() {
                    world.books.fault(error.to_string());
                }
                reached.count(Outcome::ContextClosed);
            }
            Owner::Shared(handle) => {
                drop(handle);
                reached.count(Outcome::ContextDropped);
            }
        }
        drop(claims);
        progress();
        reached.add(Outcome::Orphaned, world.books.orphaned());
    }
}

/// What a claim is made of.
trait IntoClaim<O: Operation> {
    fn claim(self, judge: impl FnOnce(O::Output, &mut Reached) -> bool + 'static)
    -> Box<dyn Claim>;
}

impl<O: Operation> IntoClaim<O> for libflexsc::Ticket<O> {
    fn claim(
        self,
        judge: impl FnOnce(O::Output, &mut Reached) -> bool + 'static,
    ) -> Box<dyn Claim> {
        Box::new(Ticketed(self, Some(Box::new(judge))))
    }
}

impl<O: Operation> IntoClaim<O> for libflexsc::Pending<O> {
    fn claim(
        self,
        judge: impl FnOnce(O::Output, &mut Reached) -> bool + 'static,
    ) -> Box<dyn Claim> {
        Box::new(Futured(self, Some(Box::new(judge))))
    }
}
