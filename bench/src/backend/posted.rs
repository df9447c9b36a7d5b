// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that are posted to the module, or to the library's threads, by the lowest layer of
//! libflexsc that can be had for them: calls by number.

#![allow(unsafe_code)]

use libflexsc::{
    Stats,
    backend::{self, Options},
    raw::{RawCall, RawContext},
};

use super::{Backend, Kind, Queue};
use crate::{call::Call, cpu::Cpus, error::Error, machine};

/// A context of the module, or over threads.
pub(crate) struct Posted {
    context: RawContext,
}

impl Posted {
    /// A context with room for this many calls. `adjust` changes what it is made with.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) fn open(
        kind: Kind,
        cpus: Cpus,
        batch: usize,
        adjust: impl FnOnce(&mut Options),
    ) -> Result<Self, Error> {
        let backend = Self::backend(kind, cpus, batch, adjust)?;
        Ok(Self {
            context: RawContext::new(backend),
        })
    }

    /// What executes for a context; this thread is bound to its CPU.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) fn backend(
        kind: Kind,
        cpus: Cpus,
        entries: usize,
        adjust: impl FnOnce(&mut Options),
    ) -> Result<libflexsc::Backend, Error> {
        let mut options = Options::new();
        options.entries(entries as u32);
        // How many CPUs its maker may use decides who executes, and for whom is polled.
        match cpus.there.filter(|_| kind.wants_two_cpus()) {
            Some(there) => {
                Cpus::bind(&[cpus.here, there])?;
                options.cpu(there as u32);
            }
            None => Cpus::bind(&[cpus.here])?,
        }
        adjust(&mut options);
        let made_by = match kind {
            Kind::Threads => backend::Kind::Threads,
            Kind::Green if !machine::has_module() => backend::Kind::Threads,
            _ => backend::Kind::Module,
        };
        let backend = libflexsc::Backend::open(made_by, &options)
            .map_err(|error| Error::Backend(kind.name(), error.to_string()))?;
        Cpus::bind(&[cpus.here])?;
        Ok(backend)
    }

    /// Posts the calls, and lets the other side see them.
    #[inline]
    pub(crate) fn post(&mut self, calls: &[Call]) {
        let calls = calls
            .iter()
            .map(|call| RawCall::new(call.nr.into(), call.args));
        // SAFETY: As in `push`.
        unsafe { self.context.post_all(calls.zip(0..)) };
        self.context.flush();
    }

    /// Waits until this many are complete.
    #[inline]
    pub(crate) fn wait(&mut self, count: usize) {
        self.context.wait(count, None);
    }

    /// Takes what is complete; returns how many that were.
    #[inline]
    pub(crate) fn reap(&mut self, results: &mut [i64]) -> usize {
        let mut count = 0;
        for done in self.context.completions() {
            if let Some(result) = results.get_mut(done.token as usize) {
                *result = done.ret;
            }
            count += 1;
        }
        count
    }

    /// Waits for so many, and takes them.
    fn finish(&mut self, mut left: usize, results: &mut [i64]) {
        while left > 0 {
            self.wait(left);
            left -= self.reap(results);
        }
    }

    /// What the context has done.
    pub(crate) fn counted(&self) -> Stats {
        self.context.stats()
    }
}

impl Backend for Posted {
    fn batch(&mut self, calls: &[Call], results: &mut [i64]) {
        self.post(calls);
        self.finish(calls.len(), results);
    }

    fn among(&mut self, calls: &[Call], results: &mut [i64], work: &mut dyn FnMut()) {
        for (token, call) in (0..).zip(calls) {
            self.push(call, token);
            work();
        }
        self.finish(calls.len(), results);
    }

    fn park(&mut self, call: Call, count: usize) {
        self.post(&vec![call; count]);
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.counted())
    }
}

impl Queue for Posted {
    #[inline]
    fn push(&mut self, call: &Call, token: u64) {
        let raw = RawCall::new(call.nr.into(), call.args);
        // SAFETY: Cases and servers keep what their calls point to until all are complete, and the
        // calls name files of theirs.
        unsafe { self.context.post(raw, token) };
    }

    fn flush(&mut self) {
        self.context.flush();
    }

    fn wait(&mut self) {
        self.context.wait(1, None);
    }

    fn take(&mut self, done: &mut Vec<(u64, i64)>) {
        while let Some(completion) = self.context.next() {
            done.push((completion.token, completion.ret));
        }
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.counted())
    }
}
