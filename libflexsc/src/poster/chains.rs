// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations that are executed one after the other.
//!
//! A chain is posted as linked entries where the other side knows them and the page has room. Else,
//! and from an entry on that was handed back, this process makes the steps one by one, and holds
//! the chain's file by a number meanwhile.

use std::{
    collections::VecDeque,
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
};

use super::{Call, Engine, Errno, Outcome, Owner, Place, Poster, RawOp, Role, State, seeks, terms};
use crate::{backend::opens, sys};

/// Chains of which something is not over, by number.
#[derive(Default)]
pub(super) struct Chains {
    runs: Vec<Option<Run>>,
    vacant: Vec<u32>,
}

struct Run {
    /// What is not over, in order.
    keys: VecDeque<u32>,
    begun: bool,
    /// This process makes the steps one by one.
    stepwise: bool,
    /// Of how many operations it is.
    length: usize,
    /// One has failed: what comes after it is not executed.
    failed: bool,
    /// Of a chain whose steps this process makes.
    file: Option<OwnedFd>,
}

impl Chains {
    pub(super) fn add(&mut self, keys: VecDeque<u32>) -> u32 {
        let run = Some(Run {
            length: keys.len(),
            keys,
            begun: false,
            stepwise: false,
            failed: false,
            file: None,
        });
        match self.vacant.pop() {
            Some(number) => {
                self.runs[number as usize] = run;
                number
            }
            None => {
                self.runs.push(run);
                (self.runs.len() - 1) as u32
            }
        }
    }

    fn remove(&mut self, number: u32) {
        self.runs[number as usize] = None;
        self.vacant.push(number);
    }

    fn get(&self, number: u32) -> Option<&Run> {
        self.runs.get(number as usize)?.as_ref()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Run> {
        self.runs.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_begun(&self, number: u32) -> bool {
        self.get(number).is_none_or(|run| run.begun)
    }

    pub(super) fn has_failed(&self, number: u32) -> bool {
        self.get(number).is_some_and(|run| run.failed)
    }

    /// Whether nothing of it is over, and this is its first.
    pub(super) fn is_whole_from(&self, number: u32, key: u32) -> bool {
        self.get(number)
            .is_some_and(|run| run.keys.len() == run.length && run.keys.front() == Some(&key))
    }

    /// Whether this process makes its steps one by one.
    pub(super) fn is_stepwise(&self, number: u32) -> bool {
        self.get(number).is_some_and(|run| run.stepwise)
    }

    /// What is not over.
    pub(super) fn keys(&self, number: u32) -> impl Iterator<Item = &u32> {
        self.get(number).into_iter().flat_map(|run| &run.keys)
    }

    /// The number of the file, as a system call takes it.
    pub(super) fn file(&self, number: u32) -> u64 {
        let file = self.get(number).and_then(|run| run.file.as_ref());
        file.map_or(-1, |file| i64::from(file.as_raw_fd())) as u64
    }

    /// Takes the file that came with an entry that was handed back.
    pub(super) fn take_back(&mut self, number: u32, ret: i64) {
        if let Some(run) = self.get_mut(number) {
            run.stepwise = true;
            if ret >= 0 {
                // SAFETY: The other side opened the number for this process, which owns it now.
                run.file = Some(unsafe { OwnedFd::from_raw_fd(ret as i32) });
            }
        }
    }
}

impl Poster {
    /// Gives a chain to the backend; returns the keys of the slots of its operations.
    pub(crate) fn insert_chain(
        &mut self,
        ops: Vec<RawOp>,
        owner: Owner,
        for_future: bool,
    ) -> Vec<u32> {
        let keys: Vec<_> = ops
            .into_iter()
            .map(|op| self.add(op, owner, for_future))
            .collect();
        let Some(&first) = keys.first() else {
            return keys;
        };
        if self.is_forked() {
            for &key in &keys {
                self.complete(key, Outcome::Cancelled(Errno::FORKED));
            }
            return keys;
        }
        let number = self.chains.add(keys.iter().copied().collect());
        for &key in &keys {
            self.slab.get_mut(key).chain = Some(number);
        }
        self.start(first);
        keys
    }

    /// Begins a chain; `false` if the page has no room.
    pub(super) fn post_chain(&mut self, number: u32) -> bool {
        let Some(run) = self.chains.get(number) else {
            return true;
        };
        let count = run.keys.len();
        let linked = match &self.engine {
            Engine::Direct => false,
            Engine::Ring(ring) if !ring.has(sys::FEAT_LINK) || ring.is_lost() => false,
            Engine::Ring(ring) if count > ring.region().entries() as usize => false,
            Engine::Ring(ring) if count > ring.submitter.free() => return false,
            Engine::Ring(_) => true,
        };
        let calls = if linked { self.linked(number) } else { None };
        if let Some(run) = self.chains.get_mut(number) {
            run.begun = true;
            run.stepwise = calls.is_none();
            if let Some(&first) = run.keys.front() {
                // It was in the queue for all of them.
                self.slab.get_mut(first).place = Place::Slab;
            }
        }
        match calls {
            Some(calls) => self.push_all(&calls),
            None => self.go_on(number),
        }
        true
    }

    /// The entries of a chain; `None` if it cannot be linked.
    fn linked(&mut self, number: u32) -> Option<Vec<(u32, Call, u16)>> {
        let keys: Vec<_> = self.chains.keys(number).copied().collect();
        let mut has_file = false;
        let mut calls = Vec::with_capacity(keys.len());
        for (i, &key) in keys.iter().enumerate() {
            let mut call = match self.call(key)? {
                // Nothing is to be called, in its turn.
                Call::Ready(0) => crate::op::plain_call(sys::NR_NOP, [0; 6]),
                Call::Ready(_) => return None,
                call => call,
            };
            let mut flags = 0;
            if let Call::System {
                nr, role, limit, ..
            } = &mut call
            {
                let Engine::Ring(ring) = &self.engine else {
                    return None;
                };
                // The step ends without being posted.
                if limit.is_some_and(|limit| limit.is_zero() || !ring.has(sys::FEAT_TIMEOUT)) {
                    return None;
                }
                // Without a file of the chain the argument is none either. A number that another
                // opener has returned is its output, not the chain's.
                let of_chain = *role == Role::Opens || *role == Role::OnFile && has_file;
                let closes = *role == Role::OnFile && *nr == libc::SYS_close as u16;
                has_file = match role {
                    Role::Opens => true,
                    Role::OnFile => has_file && !closes,
                    Role::Plain => has_file && !opens(*nr),
                };
                flags |= if of_chain { sys::ENTRY_FILE } else { 0 };
            }
            if i + 1 < keys.len() {
                flags |= sys::ENTRY_LINK;
            }
            calls.push((key, call, flags));
        }
        Some(calls)
    }

    fn push_all(&mut self, calls: &[(u32, Call, u16)]) {
        for (key, call, flags) in calls {
            let (
                Engine::Ring(ring),
                Call::System {
                    nr, args, limit, ..
                },
            ) = (&mut self.engine, call)
            else {
                return;
            };
            let slot = self.slab.get_mut(*key);
            let seeks = seeks(ring, slot, *nr);
            // SAFETY: As in `post_one`.
            let index = unsafe { ring.push(*nr, args, terms(*limit, *flags), *key, seeks) };
            slot.state = State::Posted;
            slot.place = index.map_or(Place::Slab, Place::Page);
            self.posted += 1;
        }
    }

    /// Makes the next steps of a chain that is not linked, as far as they are over at once.
    pub(super) fn go_on(&mut self, number: u32) {
        loop {
            let Some(run) = self.chains.get(number) else {
                return;
            };
            let Some(&key) = run.keys.front() else {
                return self.chains.remove(number);
            };
            let slot = self.slab.get(key);
            let waits = matches!(slot.state, State::Queued) && slot.place == Place::Slab;
            if !run.stepwise || !waits {
                return;
            }
            if slot.declined {
                self.decline(key);
            } else if !self.post_one(key) {
                self.enqueue(key);
            }
        }
    }

    /// Ends a step of a chain, and with it the others if it has failed.
    pub(super) fn step_over(&mut self, number: u32, key: u32, outcome: Outcome) {
        let stepwise = self.chains.get(number).is_some_and(|run| run.stepwise);
        let call = if stepwise { self.call(key) } else { None };
        let Some(run) = self.chains.get_mut(number) else {
            return self.complete(key, outcome);
        };
        if run.keys.front() == Some(&key) {
            run.keys.pop_front();
        } else {
            run.keys.retain(|&other| other != key);
        }
        let mut outcome = outcome;
        if let (Outcome::Returned(ret), Some(Call::System { nr, role, .. })) = (&mut outcome, call)
        {
            match role {
                Role::Opens if *ret >= 0 => {
                    // SAFETY: The call has just opened it, and nobody else saw the number.
                    run.file = Some(unsafe { OwnedFd::from_raw_fd(*ret as i32) });
                    *ret = 0;
                }
                Role::OnFile if nr == libc::SYS_close as u16 => {
                    // The call has closed the number.
                    run.file.take().map(IntoRawFd::into_raw_fd);
                }
                Role::Plain if *ret >= 0 && opens(nr) => run.file = None,
                _ => {}
            }
        }
        let good = matches!(outcome, Outcome::Returned(0..));
        let mut rest = Vec::new();
        if let Some(run) = self.chains.get_mut(number) {
            if !good {
                run.failed = true;
                run.file = None;
                // Those that are posted complete by themselves.
                let posted = |key: &u32| matches!(self.slab.get(*key).state, State::Posted);
                rest = run
                    .keys
                    .iter()
                    .copied()
                    .filter(|key| !posted(key))
                    .collect();
                run.keys.retain(posted);
            }
            if run.keys.is_empty() {
                run.file = None;
            }
        }
        self.complete(key, outcome);
        for key in rest {
            self.complete(key, Outcome::Cancelled(Errno::CANCELED));
        }
    }

    /// Cancels a step whose turn has not come, and those after it. Returns the first of the chain if
    /// that was in the queue for it and is over.
    pub(super) fn cut(&mut self, number: u32, key: u32, errno: Errno) -> Option<u32> {
        let run = self.chains.get_mut(number)?;
        let place = run.keys.iter().position(|&other| other == key)?;
        let rest = run.keys.split_off(place);
        let first = rest.front().copied();
        let in_queue = first.filter(|&first| self.slab.get(first).place == Place::Queue);
        for key in rest {
            self.complete(key, Outcome::Cancelled(errno));
        }
        self.go_on(number);
        in_queue
    }
}
