// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations of a page whose other side cannot be asked for anything any more.
//!
//! A program may close the module's descriptor that has not opened it. Nobody wakes the module then, and
//! nobody waits in it; but the mapping keeps the context, and the module goes on with what it has taken.
//! That is still reaped from the page, and its memory stays what it was. What it has not taken is taken
//! back, and the pool that stands in makes those calls, and all that come.

use super::{Engine, Errno, Owner, Place, Poster, State};

/// What ends the rest of a chain that the module has begun: the chain's file is there.
const TORN: Errno = Errno::EBADFD;

impl Poster {
    /// Takes back, once, what was posted to another side that is lost, and is not executed there.
    pub(super) fn take_back(&mut self) -> Option<Vec<u32>> {
        let Engine::Ring(ring) = &mut self.engine else {
            return None;
        };
        let withdrawn = ring.take_back()?;
        let key = |(token, index)| self.key_of(token, index);
        Some(withdrawn.into_iter().map(key).collect())
    }

    /// Goes on with operations that were taken back, in the order in which they were posted.
    pub(super) fn recover(&mut self, keys: &[u32]) {
        for &key in keys {
            let slot = self.slab.get_mut(key);
            (slot.state, slot.place) = (State::Queued, Place::Slab);
            slot.declined = true;
            self.posted -= 1;
        }
        for &key in keys {
            if let Some(number) = self.slab.get(key).chain {
                if self.chains.is_whole_from(number, key) {
                    self.chains.take_back(number, -1);
                }
            }
        }
        // First, since the others of a chain go on without.
        for &key in keys {
            let slot = self.slab.get(key);
            let orphan = slot.chain.is_none() && slot.owner == Owner::Orphan;
            let ended = slot.cancelled || slot.watch.is_some_and(|events| events.ended);
            if (ended || orphan) && self.is_taken_back(key) {
                self.end_queued(key, Errno::CANCELED);
            }
        }
        for &key in keys {
            if !self.is_taken_back(key) {
                // It is over with another of its chain, or is made elsewhere.
                continue;
            }
            match self.slab.get(key).chain {
                None => self.decline(key),
                Some(number) if self.chains.is_stepwise(number) => self.go_on(number),
                Some(_) => self.end_queued(key, TORN),
            }
        }
    }

    fn is_taken_back(&self, key: u32) -> bool {
        let slot = self.slab.get(key);
        matches!((slot.state, slot.place), (State::Queued, Place::Slab))
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::{
        io::Write as _,
        os::{fd::OwnedFd, unix::net::UnixStream},
    };

    use super::*;
    use crate::{
        At, Backend, Cancel, Context, Handle, On, SharedFd,
        op::{Close, Getppid, Nop, Openat, Operation, Read, Write},
        page::Executor,
        task::block_on,
    };

    fn parent() -> i32 {
        std::os::unix::process::parent_id() as i32
    }

    fn pair() -> (SharedFd, UnixStream) {
        let (reader, writer) = UnixStream::pair().unwrap();
        (SharedFd::new(OwnedFd::from(reader)), writer)
    }

    fn open() -> Openat {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        Openat::new(At::Cwd, c"/proc/self/comm".into(), flags, 0)
    }

    /// The module, which goes on with what it can see: the first entries.
    fn module(context: &Context, sees: u32) -> Executor {
        context.with(|poster| {
            let Engine::Ring(ring) = &poster.engine else {
                unreachable!();
            };
            ring.submitter.show_only(sees);
            Executor::new(ring.region().clone())
        })
    }

    #[test]
    fn calls_that_nobody_takes_are_made() {
        let context = Context::new(Backend::unreachable());
        assert_eq!(context.run(Getppid::new()), Ok(parent()));
        let outputs = context.run_all((0..200).map(|_| Getppid::new()));
        assert_eq!(outputs, vec![Ok(parent()); 200]);
        let chain = (open().for_chain(), Read::new(On::Chain, vec![0; 1]));
        let (open, read) = context.run_chain(chain);
        assert_eq!((open, read.0), (Ok(()), Ok(1)));
        let (reader, _writer) = pair();
        let late = Read::new(reader, vec![0; 1]).timeout(Duration::from_millis(1));
        assert_eq!(context.run(late).0, Err(Errno::ETIME));
        assert_eq!(context.outstanding(), 0);
    }

    #[test]
    fn chains_that_nobody_takes_are_made() {
        let context = Context::new(Backend::unreachable());
        let chain = || {
            let read = Read::new(On::Chain, vec![0; 1]);
            context.post_chain((open().for_chain(), read, Close::new(On::Chain)))
        };
        let (first, second) = (chain(), chain());
        for (open, read, close) in [first, second, chain()] {
            assert_eq!(close.wait(&context), Ok(()));
            assert_eq!(open.wait(&context), Ok(()));
            assert_eq!(read.wait(&context).0, Ok(1));
        }
    }

    #[test]
    fn futures_are_not_held_up() {
        let handle = Handle::new(Context::new(Backend::unreachable()));
        let (reader, mut writer) = pair();
        let read = handle.submit(Read::new(&reader, vec![0; 3]));
        let result = block_on(&handle, async {
            let task = handle.spawn(read);
            assert_eq!(handle.submit(Getppid::new()).await, Ok(parent()));
            writer.write_all(b"end").unwrap();
            let output = task.await;
            let mut watch = handle.watch(&reader, libc::POLLIN);
            writer.write_all(b"x").unwrap();
            assert_eq!(watch.next().await, Ok(libc::POLLIN));
            output
        });
        assert_eq!(result, (Ok(3), b"end".to_vec()));
    }

    #[test]
    fn what_the_module_has_taken_is_its_own() {
        let context = Context::new(Backend::unreachable());
        let (reader, _writer) = pair();
        let (other, mut to) = pair();
        let taken = context.post(Read::new(&reader, vec![0; 4]));
        let left = context.post(Read::new(&other, vec![0; 4]));
        let executor = module(&context, 1);
        let entry = executor.take().unwrap();
        assert!(executor.take().is_none());
        to.write_all(b"left").unwrap();
        assert_eq!(left.wait(&context), (Ok(4), b"left".to_vec()));
        assert_eq!(context.wait_timeout(1, Duration::from_millis(1)), 0);
        assert_eq!(context.outstanding(), 1);
        assert_eq!(context.cancel(&taken), Cancel::Running);
        // SAFETY: The address is that of the buffer, which belongs to who executes the entry.
        unsafe { (entry.args[1] as *mut [u8; 4]).write(*b"take") };
        executor.complete(entry, 4, 0);
        assert_eq!(taken.wait(&context), (Ok(4), b"take".to_vec()));
        assert_eq!(context.run(Nop::new()), Ok(0));
    }

    #[test]
    fn forgotten_ones_are_not_made() {
        let context = Context::new(Backend::unreachable());
        let (reader, writer) = pair();
        let writer = SharedFd::new(OwnedFd::from(writer));
        let ticket = context.post(Write::new(&writer, b"forgotten".to_vec()));
        ticket.discard(&context);
        let ticket = context.post(Write::new(&writer, b"wanted".to_vec()));
        assert_eq!(ticket.wait(&context).0, Ok(6));
        let (count, text) = context.run(Read::new(&reader, vec![0; 20]));
        assert_eq!(&text[..count.unwrap()], b"wanted");
    }

    #[test]
    fn posting_does_not_wait() {
        let context = Context::new(Backend::unreachable());
        assert_eq!(context.run(Nop::new()), Ok(0));
        let (reader, mut writer) = pair();
        let [first, second] = [0; 2].map(|_| context.post(Read::new(&reader, vec![0; 1])));
        context.flush();
        assert_ne!(context.cancel(&first), Cancel::Over);
        assert_eq!(first.wait(&context).0, Err(Errno::ECANCELED));
        writer.write_all(b"x").unwrap();
        assert_eq!(second.wait(&context), (Ok(1), b"x".to_vec()));
    }

    #[test]
    fn cancel_ends_what_nobody_has_taken() {
        let context = Context::new(Backend::unreachable());
        let (reader, _writer) = pair();
        let (other, _writer) = pair();
        // Not made, or it would wait for ever.
        let forgotten = context.post(Read::new(&other, vec![0; 1]));
        forgotten.discard(&context);
        let ticket = context.post(Read::new(&reader, vec![0; 1]));
        assert_eq!(context.cancel(&ticket), Cancel::Cancelled);
        assert_eq!(ticket.wait(&context).0, Err(Errno::ECANCELED));
        assert_eq!(context.outstanding(), 0);
    }

    #[test]
    fn cancel_ends_the_rest_of_a_chain_that_nobody_has_taken() {
        let context = Context::new(Backend::unreachable());
        let read = Read::new(On::Chain, vec![0; 1]);
        let (open, read, close) =
            context.post_chain((open().for_chain(), read, Close::new(On::Chain)));
        assert_eq!(context.cancel(&read), Cancel::Cancelled);
        assert_eq!(open.wait(&context), Ok(()));
        assert_eq!(read.wait(&context).0, Err(Errno::ECANCELED));
        assert_eq!(close.wait(&context), Err(Errno::ECANCELED));
        assert_eq!(context.outstanding(), 0);
    }

    #[test]
    fn chain_that_the_module_has_begun_is_not_gone_on_with() {
        let context = Context::new(Backend::unreachable());
        let read = Read::new(On::Chain, vec![0; 1]);
        let (open, read, close) =
            context.post_chain((open().for_chain(), read, Close::new(On::Chain)));
        let after = context.post(Getppid::new());
        let executor = module(&context, 1);
        let entry = executor.take().unwrap();
        assert_eq!(after.wait(&context), Ok(parent()));
        assert_eq!(read.wait(&context), (Err(TORN), vec![0; 1]));
        assert_eq!(close.wait(&context), Err(TORN));
        executor.complete(entry, 0, 0);
        assert_eq!(open.wait(&context), Ok(()));
        assert_eq!(context.outstanding(), 0);
    }
}
