// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sender's search: finds blocks of a basis in a target and emits the target as tokens.
//!
//! At each position of the target the window of one block's length is looked up by its rolling checksum, level by
//! level (see [`table`](crate::table)). Where it matches, the literal bytes before it and the block are emitted and the
//! search goes on behind it; else the window rolls on by one byte. A short last block is tried where the target
//! has exactly its length left. Of several equal blocks the one that follows the last match is preferred, since
//! adjacent references are cheapest, else the first.
//!
//! A target that is written over its basis takes no block of it that begins before the place where the target has got to: that
//! is overwritten by then. There the block at the very same place goes first, since nothing has to be written for it.
//!
//! The target comes in pieces of any size; what is kept of it is at most a block, a literal token and a piece. With several
//! threads it is also as much as they go over at once.

mod survey;
mod window;

use crate::signature::Signature;
use crate::strong::{Digest, FileSum};
use crate::table::{MAX_CHAIN, Table};
use crate::token::{MAX_DATA, Token};
use rsync_rolling::{Rolling, scan};
use std::ops::Range;
use survey::{Next, Survey};
use window::Window;

/// Most bytes taken over from the caller's piece at once.
const STEP: usize = 256 * 1024;

/// How a target is shared out.
#[derive(Clone, Copy, Debug)]
struct Shares {
    threads: usize,
    /// So many bytes are waited for before threads go over them.
    round: usize,
    /// About so many positions are one thread's at a time. They have to be twice as many to be shared out.
    segment: usize,
}

impl Shares {
    /// Long enough that threads have more to do than to begin and to end.
    fn new(threads: usize) -> Self {
        Self {
            threads,
            round: 2 << 20,
            segment: 128 << 10,
        }
    }
}

/// What a search came across.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatchStats {
    /// Positions that were looked up, since the filter let their checksum pass.
    pub hash_hits: u64,
    /// Blocks of the right rolling checksum and the wrong strong one.
    pub false_alarms: u64,
    /// Blocks found.
    pub matches: u64,
    /// Bytes of the target that no block covers.
    pub literal: u64,
    /// Bytes of the target that blocks cover.
    pub matched: u64,
}

impl std::ops::AddAssign for MatchStats {
    fn add_assign(&mut self, other: Self) {
        self.hash_hits += other.hash_hits;
        self.false_alarms += other.false_alarms;
        self.matches += other.matches;
        self.literal += other.literal;
        self.matched += other.matched;
    }
}

/// A search over one target.
///
/// # Examples
///
/// ```
/// use rsync_core::{block::Layout, matcher::Matcher, signature::Signature, strong::BlockSum, token::Token};
///
/// let basis = b"123abcdefg";
/// let signature = Signature::of(basis, Layout::new(10, Some(3))?, BlockSum::default()).expect("sizes agree");
/// let mut found = String::new();
/// let mut emit = |token: Token<'_>| match token {
///     Token::Block(block) => found += &format!("[{block}]"),
///     Token::Data(data) => found += std::str::from_utf8(data).expect("ASCII"),
/// };
/// let mut matcher = Matcher::new(signature);
/// matcher.push(b"123xxabc def", &mut emit);
/// let (_digest, stats) = matcher.finish(&mut emit);
/// assert_eq!(found, "[0]xx[1] [2]");
/// assert_eq!((stats.literal, stats.matched), (3, 9));
/// # Ok::<(), rsync_core::block::LayoutError>(())
/// ```
#[derive(Debug)]
pub struct Matcher {
    table: Table,
    shares: Shares,
    // Whether the target is written over the basis.
    in_place: bool,
    // Where in the target `window` begins.
    start: u64,
    // The target from the first byte that no token covers yet.
    window: Window,
    // Where in `window` pending literal bytes start, and where the search stands.
    literal: usize,
    position: usize,
    // The sums at `position`, once that position was looked up in vain.
    rolling: Option<Rolling>,
    // The block that would follow the last match.
    next: Option<u32>,
    file: FileSum,
    // How much of `window` has gone into that.
    summed: usize,
    stats: MatchStats,
}

impl Matcher {
    /// A search for the blocks of `signature`.
    pub fn new(signature: Signature) -> Self {
        let file = FileSum::new(signature.sum().algorithm());
        Self {
            table: Table::new(signature),
            shares: Shares::new(1),
            in_place: false,
            start: 0,
            window: Window::default(),
            literal: 0,
            position: 0,
            rolling: None,
            next: None,
            file,
            summed: 0,
            stats: MatchStats::default(),
        }
    }

    /// A search for blocks that are still there when the target is written over the basis from its start on.
    pub fn in_place(signature: Signature) -> Self {
        Self {
            in_place: true,
            ..Self::new(signature)
        }
    }

    /// Searches with up to so many threads, the caller's included. What is found is the same; but of a long target less certain
    /// tokens come at once, when there is something to do for all of them.
    pub fn threads(self, threads: usize) -> Self {
        let shares = Shares::new(threads);
        Self { shares, ..self }
    }

    /// Searches on with the next piece of the target; tokens go to `emit` as they become certain.
    pub fn push(&mut self, target: &[u8], emit: &mut dyn FnMut(Token<'_>)) {
        for piece in target.chunks(STEP) {
            self.window.push(piece);
            self.go_on(emit);
        }
    }

    /// Lends out the bytes that are kept, for the next `room` bytes of the target to be read to the place that is given with them;
    /// that is one copy less. Nothing but [`take_back`](Self::take_back) may follow.
    pub(crate) fn lend(&mut self, room: usize) -> (Vec<u8>, Range<usize>) {
        self.window.lend(room.min(STEP))
    }

    /// Searches on with so many bytes that have come to that place.
    pub(crate) fn take_back(
        &mut self,
        window: Vec<u8>,
        count: usize,
        emit: &mut dyn FnMut(Token<'_>),
    ) {
        self.window.take_back(window, count);
        self.go_on(emit);
    }

    /// Goes over what has come, if it is enough.
    fn go_on(&mut self, emit: &mut dyn FnMut(Token<'_>)) {
        if self.shares.threads > 1 && self.window.len() - self.position < self.shares.round {
            return;
        }
        self.go_over(emit);
        if self.literal >= self.window.len() / 2 {
            self.window.shift(self.literal);
            self.start += self.literal as u64;
            self.position -= self.literal;
            self.summed -= self.literal;
            self.literal = 0;
        }
    }

    /// The target has ended: emits the rest and returns the target's strong checksum and the statistics.
    pub fn finish(mut self, emit: &mut dyn FnMut(Token<'_>)) -> (Digest, MatchStats) {
        self.go_over(emit);
        let tail = self.table.signature().layout().remainder();
        let last = self.table.signature().layout().count().wrapping_sub(1);
        let start = self
            .window
            .len()
            .checked_sub(tail)
            .filter(|start| tail != 0 && *start >= self.position);
        let found = start.is_some_and(|start| self.is_tail(last, start));
        match start {
            Some(start) if found => {
                self.position = start;
                self.block(last, tail, emit);
            }
            _ => {
                self.position = self.window.len();
                self.flush(true, emit);
            }
        }
        (self.file.finish(), self.stats)
    }

    /// Looks up every position that has a whole block behind it, and sums up what has come.
    fn go_over(&mut self, emit: &mut dyn FnMut(Token<'_>)) {
        let length = self.table.signature().layout().length();
        let end = (self.window.len() + 1).saturating_sub(length);
        if self.table.is_empty() {
            self.sum_up();
            self.position = self.position.max(end);
            return self.flush(false, emit);
        }
        let from = self.from();
        if self.shares.threads < 2 || end < from + 2 * self.shares.segment {
            self.sum_up();
            return self.search(end, emit);
        }
        let (window, file) = (&*self.window, &mut self.file);
        let new = &window[self.summed..];
        let (start, in_place) = (self.start, self.in_place);
        let cut = |position| first_left(in_place, start + position as u64, length);
        let sum_up = || file.update(new);
        let mut survey = Survey::new(self.shares, &self.table, window, from..end, cut, sum_up);
        self.summed = window.len();
        loop {
            match survey.next(self.from()) {
                Next::Look(until) => self.search(until, emit),
                Next::Note(note) => {
                    self.position = note.position;
                    self.look_up(note.sums, true, note.digest, emit);
                }
                Next::End => break,
            }
        }
        self.position = self.from().max(end);
        self.rolling = None;
        self.flush(false, emit);
    }

    /// Takes what has come into the target's checksum.
    fn sum_up(&mut self) {
        self.file.update(&self.window[self.summed..]);
        self.summed = self.window.len();
    }

    /// The first position that was not looked up.
    fn from(&self) -> usize {
        self.position + usize::from(self.rolling.is_some())
    }

    /// Looks up every position before `end`, all of which have a whole block behind them.
    fn search(&mut self, end: usize, emit: &mut dyn FnMut(Token<'_>)) {
        let length = self.table.signature().layout().length();
        while self.from() < end {
            let (sums, may_match) = match self.rolling.take() {
                None => {
                    let window = &self.window[self.position..self.position + length];
                    let sums = Rolling::of(window);
                    (sums, self.table.filter().may_have(sums.value()))
                }
                Some(mut sums) => {
                    // Stop where a literal token is full, so that what is pending stays short.
                    let most = MAX_DATA - (self.position - self.literal);
                    let most = most.min(end - 1 - self.position);
                    let rest = &self.window[self.position..];
                    let (out, new) = (&rest[..most], &rest[length..length + most]);
                    let (moved, may_match) =
                        scan(self.table.filter(), &mut sums, out, new, length as u32);
                    self.position += moved;
                    (sums, may_match)
                }
            };
            self.look_up(sums, may_match, None, emit);
        }
    }

    /// Goes on from the current position, whose window has these sums and, if that is known, that strong checksum.
    fn look_up(
        &mut self,
        sums: Rolling,
        may_match: bool,
        digest: Option<Digest>,
        emit: &mut dyn FnMut(Token<'_>),
    ) {
        let length = self.table.signature().layout().length();
        let found = match may_match {
            true => self.lookup(sums.value(), length, digest),
            false => None,
        };
        match found {
            Some(block) => self.block(block, length, emit),
            None => {
                self.rolling = Some(sums);
                self.flush(false, emit);
            }
        }
    }

    /// The block that the window at the current position equals, if any.
    fn lookup(&mut self, sum: u32, length: usize, digest: Option<Digest>) -> Option<u32> {
        self.stats.hash_hits += 1;
        let candidates = self.table.candidates(sum);
        let at = self.start + self.position as u64;
        let first = first_left(self.in_place, at, length);
        let gone = candidates.partition_point(|candidate| candidate.block() < first);
        let candidates = &candidates[gone..];
        if candidates.is_empty() {
            return None;
        }
        let signature = self.table.signature();
        let window = &self.window[self.position..self.position + length];
        let digest = digest.unwrap_or_else(|| signature.sum().of(window));
        let strong = &digest.as_bytes()[..signature.layout().strong_length()];
        let is_block = |block| signature.strong(block) == Some(strong);

        let follows = |next: &u32| {
            // A short last block is in the signature, but no candidate.
            let range = signature.layout().range(*next, 1);
            range.is_some_and(|range| range.end - range.start == length as u64)
                && signature.rolling(*next) == Some(sum)
        };
        let here = (at / length as u64) as u32;
        let here = Some(here).filter(|here| self.in_place && *here == first);
        for block in here.into_iter().chain(self.next) {
            if block >= first && follows(&block) && is_block(block) {
                return Some(block);
            }
        }
        for candidate in candidates.iter().take(MAX_CHAIN) {
            if is_block(candidate.block()) {
                return Some(candidate.block());
            }
            self.stats.false_alarms += 1;
        }
        None
    }

    /// Whether what the target holds from `start` of the window on is the short last block.
    fn is_tail(&mut self, last: u32, start: usize) -> bool {
        let signature = self.table.signature();
        let range = signature.layout().range(last, 1).unwrap_or_default();
        if self.in_place && range.start < self.start + start as u64 {
            return false;
        }
        let data = &self.window[start..];
        let sum = Rolling::of(data).value();
        let Some(expected) = signature.rolling(last) else {
            return false;
        };
        if sum != expected {
            return false;
        }
        self.stats.hash_hits += 1;
        let digest = signature.sum().of(data);
        let strong = &digest.as_bytes()[..signature.layout().strong_length()];
        let equal = signature.strong(last) == Some(strong);
        self.stats.false_alarms += u64::from(!equal);
        equal
    }

    /// Emits the pending literal bytes and `block`, which covers the next `length` bytes.
    fn block(&mut self, block: u32, length: usize, emit: &mut dyn FnMut(Token<'_>)) {
        self.flush(true, emit);
        emit(Token::Block(block));
        self.stats.matches += 1;
        self.stats.matched += length as u64;
        self.next = block.checked_add(1);
        self.position += length;
        self.literal = self.position;
        self.rolling = None;
    }

    /// Emits full literal tokens up to the position, and with `all` also a last shorter one.
    fn flush(&mut self, all: bool, emit: &mut dyn FnMut(Token<'_>)) {
        while self.literal < self.position {
            let end = self.position.min(self.literal + MAX_DATA);
            if end - self.literal < MAX_DATA && !all {
                break;
            }
            emit(Token::Data(&self.window[self.literal..end]));
            self.stats.literal += (end - self.literal) as u64;
            self.literal = end;
        }
    }
}

/// The first block that may be found at a byte of the target: where that takes the basis's place, what comes before is overwritten.
fn first_left(in_place: bool, at: u64, length: usize) -> u32 {
    let first = at.div_ceil(length as u64);
    // No basis has that many blocks.
    let first = u32::try_from(first).unwrap_or(u32::MAX);
    if in_place { first } else { 0 }
}

#[cfg(test)]
mod tests;
