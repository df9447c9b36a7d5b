// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many entries: rings that wrap around, a full page, one file.

use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

use libflexsc::sys::{MAX_ENTRIES, MIN_ENTRIES};

use crate::client::{Context, Mode};
use crate::posted::{MODES, ensure, expect};
use crate::suite::{Behaviour, Place, context};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("rings_wrap_around", wrap);
    one("a_full_page_completes", full_page);
    one("many_writes_to_one_file", one_file);
}

/// A file whose 8 bytes at `8 * n` are a function of `n`.
fn numbered(count: u64) -> Vec<u8> {
    (0..count).flat_map(|n| number(n).to_le_bytes()).collect()
}

fn number(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
}

/// Preads of numbers, one buffer for each entry.
struct Reads {
    fd: u64,
    buffers: Vec<u64>,
    wanted: Vec<Option<u64>>,
}

impl Reads {
    fn new(fd: i32, entries: u32) -> Self {
        Self {
            fd: fd as u64,
            buffers: vec![0; entries as usize],
            wanted: vec![None; entries as usize],
        }
    }

    /// Posts a read of number `n`, without making it known.
    fn prepare(&mut self, context: &mut Context, n: u64) -> Result<u32, String> {
        let index = context
            .prepare(libc::SYS_pread64 as u16, [self.fd, 0, 8, n * 8, 0, 0])
            .ok_or("no entry is free")?;
        let at = index as usize;
        ensure(
            self.wanted[at].is_none(),
            format!("entry {index} is in use"),
        )?;
        self.buffers[at] = 0;
        self.wanted[at] = Some(number(n));
        let buffer = &raw mut self.buffers[at] as u64;
        context.arg(index, 1).store(buffer, Ordering::Release);
        Ok(index)
    }

    /// Reaps one and checks it.
    fn complete(&mut self, context: &mut Context, mode: Mode) -> Result<(), String> {
        let one = context.complete(mode).map_err(|why| why.to_string())?;
        let at = one.index as usize;
        let want = self.wanted[at]
            .take()
            .ok_or(format!("entry {} completed twice", one.index))?;
        expect("pread64", one.ret, 8)?;
        expect("flags", one.flags.into(), 0)?;
        // SAFETY: the buffer is ours; the kernel wrote it before it published the completion.
        let is = unsafe { (&raw const self.buffers[at]).read_volatile() };
        ensure(is == want, format!("read {is:#x}, not {want:#x}"))
    }
}

fn wrap(place: &mut Place) -> Result<(), String> {
    let file = place.file("file", &numbered(512))?;
    for mode in MODES {
        let mut context = context(MIN_ENTRIES, mode)?;
        let mut reads = Reads::new(file.as_raw_fd(), MIN_ENTRIES);
        let (mut posted, mut reaped) = (0_u32, 0_u32);
        // The rings go round at least this often.
        let turns = place.rounds.unwrap_or(30) as u32;
        while posted < turns * MIN_ENTRIES {
            let room = MIN_ENTRIES - (posted - reaped);
            for _ in 0..place.rng.below(u64::from(room) + 1) {
                let index = reads.prepare(&mut context, place.rng.below(512))?;
                context.publish(index);
                posted += 1;
            }
            for _ in 0..place.rng.below(u64::from(posted - reaped) + 1) {
                reads.complete(&mut context, mode)?;
                reaped += 1;
            }
        }
        while reaped < posted {
            reads.complete(&mut context, mode)?;
            reaped += 1;
        }
        for (what, word) in [
            ("sub_tail", context.sub_tail()),
            ("sub_head", context.sub_head()),
            ("comp_tail", context.comp_tail()),
            ("comp_head", context.comp_head()),
        ] {
            expect(what, word.load(Ordering::Acquire).into(), posted.into())?;
        }
    }
    Ok(())
}

fn full_page(place: &mut Place) -> Result<(), String> {
    let file = place.file("file", &numbered(MAX_ENTRIES.into()))?;
    for mode in MODES {
        for entries in [MIN_ENTRIES, MAX_ENTRIES] {
            let mut context = context(entries, mode)?;
            expect("entries", context.setup().entries.into(), entries.into())?;
            let mut reads = Reads::new(file.as_raw_fd(), entries);
            for _ in 0..2 {
                let mut all = Vec::new();
                for n in 0..entries {
                    all.push(reads.prepare(&mut context, n.into())?);
                }
                // In any order, and made known all at once.
                for at in (1..all.len()).rev() {
                    all.swap(at, place.rng.below(at as u64 + 1) as usize);
                }
                let tail = context.sub_tail().load(Ordering::Relaxed);
                for (at, index) in all.iter().enumerate() {
                    let slot = context.sub_slot(tail.wrapping_add(at as u32));
                    slot.store(*index, Ordering::Relaxed);
                }
                context
                    .sub_tail()
                    .store(tail.wrapping_add(entries), Ordering::Release);
                for _ in 0..entries {
                    reads.complete(&mut context, mode)?;
                }
                let left = context.reap().map_err(|why| why.to_string())?;
                ensure(left.is_none(), format!("one too many: {left:?}"))?;
            }
            expect("rejected", context.counters().rejected as i64, 0)?;
        }
    }
    Ok(())
}

fn one_file(place: &mut Place) -> Result<(), String> {
    let entries = 256;
    for mode in MODES {
        let mut context = context(entries, mode)?;
        let name = format!("file-{mode:?}");
        let file = place.file(&name, b"")?;
        let bytes: Vec<u8> = (0..entries).map(|n| number(n.into()) as u8).collect();
        for (at, byte) in bytes.iter().enumerate() {
            let args = [
                file.as_raw_fd() as u64,
                &raw const *byte as u64,
                1,
                at as u64,
                0,
                0,
            ];
            context
                .post(libc::SYS_pwrite64 as u16, args)
                .ok_or("no entry is free")?;
        }
        for _ in 0..entries {
            let one = context.complete(mode).map_err(|why| why.to_string())?;
            expect("pwrite64", one.ret, 1)?;
        }
        let now = std::fs::read(place.dir.join(&name)).map_err(|why| why.to_string())?;
        ensure(now == bytes, "the file does not hold what was written")?;

        // Appends have no order, but none is lost and none is torn.
        let append = std::fs::File::options()
            .append(true)
            .open(place.dir.join(&name))
            .map_err(|why| why.to_string())?;
        let words: Vec<u64> = (0..entries).map(|n| number(n.into())).collect();
        for word in &words {
            let args = [
                append.as_raw_fd() as u64,
                &raw const *word as u64,
                8,
                0,
                0,
                0,
            ];
            context
                .post(libc::SYS_write as u16, args)
                .ok_or("no entry is free")?;
        }
        for _ in 0..entries {
            let one = context.complete(mode).map_err(|why| why.to_string())?;
            expect("write", one.ret, 8)?;
        }
        let now = std::fs::read(place.dir.join(&name)).map_err(|why| why.to_string())?;
        let mut is: Vec<_> = now[bytes.len()..].chunks(8).map(<[u8]>::to_vec).collect();
        let mut want: Vec<_> = words
            .iter()
            .map(|word| word.to_le_bytes().to_vec())
            .collect();
        is.sort();
        want.sort();
        ensure(is == want, "appended words were lost or torn")?;
    }
    Ok(())
}
