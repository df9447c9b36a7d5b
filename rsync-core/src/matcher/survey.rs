// SPDX-License-Identifier: MIT OR Apache-2.0

//! What several threads find out about a stretch of a target before the search goes over it.
//!
//! Where a search goes on depends on where it found the last block. But whether the filter lets the window at a position pass,
//! and what strong checksum that window has, does not. So each thread goes over a segment as if a search began there, and
//! takes down where the filter let it look and what it saw; the search itself then goes from note to note, and decides at each
//! what it would have decided alone. Where a block that it found ends inside one that the thread had found, it looks for itself
//! until that one ends as well. So tokens and figures are those of one thread.

use super::Shares;
use crate::share::share;
use crate::strong::Digest;
use crate::table::{MAX_CHAIN, Table};
use rsync_rolling::{Rolling, scan};
use std::ops::Range;

/// A position whose window the filter lets pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    pub(super) position: usize,
    /// The window's sums.
    pub(super) sums: Rolling,
    /// Its strong checksum, if there are blocks with that rolling one.
    pub(super) digest: Option<Digest>,
    /// Whether the thread went on behind the window, since it is one of these.
    skipped: bool,
}

/// What one thread saw from a position on, up to where the next segment begins.
#[derive(Debug)]
struct Segment {
    end: usize,
    notes: Vec<Note>,
}

/// The notes on a stretch of a target.
#[derive(Debug)]
pub(super) struct Survey {
    length: usize,
    segments: Vec<Segment>,
    /// The segment that the search is in.
    current: usize,
}

/// How a search goes on.
#[derive(Debug)]
pub(super) enum Next {
    /// Up to this window there is nothing to look at.
    Note(Note),
    /// It has to look for itself until there.
    Look(usize),
    /// The stretch ends; there is nothing more in it to look at.
    End,
}

impl Survey {
    /// A survey of the positions of `stretch` in `window`. `first` is done meanwhile. `cut` says from which number on blocks may be
    /// found at a position.
    pub(super) fn new(
        shares: Shares,
        table: &Table,
        window: &[u8],
        stretch: Range<usize>,
        cut: impl Fn(usize) -> u32 + Sync,
        first: impl FnOnce(),
    ) -> Self {
        let length = table.signature().layout().length();
        // Of whole blocks, since a search that finds all of them gets from one segment to the next at its start.
        let each = (shares.segment / length).max(1) * length;
        let count = stretch.len().div_ceil(each);
        let segments = share(shares.threads, count, first, |number| {
            let start = stretch.start + number * each;
            segment(table, window, start..stretch.end.min(start + each), &cut)
        });
        Self {
            length,
            segments,
            current: 0,
        }
    }

    /// What is next for a search that has not looked from `from` on, which is not before what it asked for last.
    pub(super) fn next(&mut self, from: usize) -> Next {
        while let Some(segment) = self.segments.get(self.current) {
            let notes = &segment.notes;
            let at = notes.partition_point(|note| note.position < from);
            let before = at.checked_sub(1).map(|before| notes[before]);
            let skipped = before.filter(|before| before.skipped);
            if from < segment.end {
                match skipped.map(|note| note.position + self.length) {
                    Some(end) if end > from => return Next::Look(end.min(segment.end)),
                    _ => {}
                }
                if let Some(note) = notes.get(at) {
                    return Next::Note(*note);
                }
            }
            self.current += 1;
        }
        Next::End
    }
}

/// Goes over the positions of a segment as if a search began there.
fn segment(
    table: &Table,
    window: &[u8],
    segment: Range<usize>,
    cut: impl Fn(usize) -> u32,
) -> Segment {
    let length = table.signature().layout().length();
    let mut notes = Vec::new();
    let mut position = segment.start;
    let mut sums = None;
    while position < segment.end {
        let may_match;
        (sums, may_match) = match sums.take() {
            None => {
                let first = Rolling::of(&window[position..position + length]);
                (Some(first), table.filter().may_have(first.value()))
            }
            Some(mut sums) => {
                let (out, new) = (
                    &window[position..segment.end - 1],
                    &window[position + length..segment.end - 1 + length],
                );
                let (moved, may_match) = scan(table.filter(), &mut sums, out, new, length as u32);
                position += moved;
                if moved == 0 {
                    break;
                }
                (Some(sums), may_match)
            }
        };
        if let Some(found) = sums.filter(|_| may_match) {
            let note = look(
                table,
                &window[position..position + length],
                found,
                cut(position),
            );
            notes.push(Note { position, ..note });
            if note.skipped {
                position += length;
                sums = None;
            }
        }
    }
    Segment {
        end: segment.end,
        notes,
    }
}

/// What is to be seen at a window that the filter lets pass.
fn look(table: &Table, window: &[u8], sums: Rolling, first: u32) -> Note {
    let candidates = table.candidates(sums.value());
    let gone = candidates.partition_point(|candidate| candidate.block() < first);
    let candidates = &candidates[gone..];
    let signature = table.signature();
    let digest = (!candidates.is_empty()).then(|| signature.sum().of(window));
    let is_block = |digest: Digest| {
        let strong = &digest.as_bytes()[..signature.layout().strong_length()];
        (candidates.iter().take(MAX_CHAIN))
            .any(|candidate| signature.strong(candidate.block()) == Some(strong))
    };
    Note {
        position: 0,
        sums,
        digest,
        skipped: digest.is_some_and(is_block),
    }
}
