// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that post calls, wait for them, cancel them, and count what comes of the clean entries.

use std::sync::atomic::Ordering;

use libflexsc::sys as abi;

use super::process::{POSTERS, Process};
use super::scribbler::{ENTRIES, SPANS, span};
use super::table::{FILE, LINK, MULTI, OPENERS, find};
use super::tally::{Act, Came};
use crate::client::{ioctl, kick};
use crate::rng::Rng;

/// Steps of each of them.
const STEPS: u32 = 3000;

impl Process {
    /// Counts what came of a clean entry, if anything did.
    fn harvest(&self, index: u32) -> bool {
        let (context, which) = (&self.shared.context, self.plan[index as usize]);
        let mut ret = context.ret(index).load(Ordering::Acquire);
        if SPANS.contains(&ret) {
            return false;
        }
        if context.nr(index).load(Ordering::Acquire) != self.tally.calls()[which] {
            // A page that was mapped over: nothing of it was posted.
            return true;
        }
        let goes_on = context.flags(index).load(Ordering::Relaxed) & MULTI.bit != 0
            && self.tally.calls()[which] == abi::NR_POLL;
        if goes_on && ret as i64 >= 0 {
            ret = context.ret(index).swap(0, Ordering::AcqRel);
            if ret as i64 >= 0 {
                if ret > 0 {
                    self.tally.call(which, Came::Well);
                }
                return false;
            }
        }
        // No call of the table gives ENOSYS by itself; a chain's file may come with the entry.
        let back = context.flags(index).load(Ordering::Relaxed) & abi::ENTRY_HANDED_BACK != 0;
        let came = match ret as i64 {
            ret if ret == -i64::from(libc::ENOSYS) || back => Came::Back,
            ret if ret < 0 => Came::Badly,
            _ => Came::Well,
        };
        self.tally.call(which, came);
        true
    }

    /// Whether the arguments of call `which` are to be such that it succeeds: what has been seen less often comes more
    /// often.
    fn tame(&self, which: usize, rng: &mut Rng) -> bool {
        let [well, badly, _] = self.tally.counts(which);
        rng.one_in(8) != (well <= badly)
    }

    /// Fills a clean entry in.
    fn prepare(&self, index: u32, rng: &mut Rng) {
        let (context, which) = (&self.shared.context, self.plan[index as usize]);
        let nr = self.tally.calls()[which];
        let tame = self.tame(which, rng);
        let args = self.memory.arguments(find(nr), tame, rng);
        context.nr(index).store(nr, Ordering::Relaxed);
        for (which, value) in args.iter().enumerate() {
            context.arg(index, which).store(*value, Ordering::Relaxed);
        }
        let flags = self.shared.flags(nr, rng);
        context.flags(index).store(flags, Ordering::Relaxed);
        context.ret(index).store(span(rng), Ordering::Release);
    }

    /// Looks what has come of an entry, and fills it in if it is over.
    fn renew(&self, index: u32, posted: &mut [u32], rng: &mut Rng) {
        let age = &mut posted[index as usize];
        let over = self.shared.clean == 0 || *age > 0 && self.harvest(index);
        if *age == 0 || over {
            *age = 0;
            self.prepare(index, rng);
        }
    }

    /// Posts a chain of entries: half of the time one that opens a file and goes on with it.
    fn chain(&self, mine: &[u32], openers: &[u32], posted: &mut [u32], rng: &mut Rng) {
        let context = &self.shared.context;
        let files = rng.one_in(2);
        let mut chain = Vec::new();
        if files && !openers.is_empty() {
            chain.push(*rng.pick(openers));
        }
        chain.extend((0..2 + rng.below(3)).map(|_| *rng.pick(mine)));
        for (which, index) in chain.iter().enumerate() {
            self.renew(*index, posted, rng);
            posted[*index as usize] += 1;
            let mut flags = 0;
            if which + 1 < chain.len() {
                flags |= LINK.bit;
            }
            if files && !rng.one_in(4) {
                flags |= FILE.bit;
            }
            context.flags(*index).fetch_or(flags, Ordering::Relaxed);
            context
                .status(*index)
                .store(abi::SUBMITTED, Ordering::Release);
        }
        self.shared.publish_all(&chain);
    }

    /// Posts, again and again.
    pub(super) fn post(&self, thread: u32, mut rng: Rng) {
        let context = &self.shared.context;
        // An entry keeps its call, so that whenever it is executed the result is that call's.
        let mine: Vec<_> = (0..self.plan.len() as u32)
            .filter(|index| index % POSTERS == thread)
            .collect();
        let call = |index: &u32| self.tally.calls()[self.plan[*index as usize]];
        let opens = |index: &u32| OPENERS.contains(&call(index).into());
        let openers: Vec<_> = mine.iter().copied().filter(opens).collect();
        let chains = self.shared.knows(&LINK);
        let mut posted = vec![0_u32; self.plan.len()];
        for step in 0..STEPS {
            if chains && rng.one_in(8) {
                self.chain(&mine, &openers, &mut posted, &mut rng);
            }
            let index = *rng.pick(&mine);
            self.renew(index, &mut posted, &mut rng);
            let age = &mut posted[index as usize];
            // Again and again what is not taken: whether it was lost or is at work cannot be told.
            if *age % 4 == 0 {
                context
                    .status(index)
                    .store(abi::SUBMITTED, Ordering::Release);
                self.shared.publish(index);
            }
            *age += 1;
            if step % 8 == 0 {
                self.push(1 + thread as usize, &mut rng);
            }
        }
    }

    /// Kicks, waits or cancels.
    pub(super) fn push(&self, thread: usize, rng: &mut Rng) {
        let fd = self.shared.context.fd();
        match rng.below(8) {
            0 => {
                let mut cancel = abi::Cancel {
                    index: rng.below(u64::from(ENTRIES) + 2) as u32,
                    flags: *rng.pick(&[0, 0, 0, 0, abi::CANCEL_ALL, 2]),
                    __reserved: [0, u64::from(rng.one_in(32))],
                };
                self.act(thread, Act::Cancel, || {
                    ioctl(fd, abi::IOC_CANCEL, &mut cancel).is_ok()
                });
            }
            1..=3 => {
                // Most of the others have no context yet.
                let fd = match rng.one_in(16) {
                    true => *rng.pick(&self.devices),
                    false => fd,
                };
                self.act(thread, Act::Kick, || kick(fd).is_ok());
            }
            _ => {
                let mut wait = abi::Wait {
                    min_complete: *rng.pick(&[0, 0, 1, 2, 64, u32::MAX]),
                    flags: u32::from(rng.one_in(16)),
                    timeout_ns: *rng.pick(&[0, 1, 1000, 100_000, 1_000_000]),
                };
                self.act(thread, Act::Wait, || {
                    ioctl(fd, abi::IOC_WAIT, &mut wait).is_ok()
                });
            }
        }
    }
}
