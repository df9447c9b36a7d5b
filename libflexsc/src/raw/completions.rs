// SPDX-License-Identifier: MIT OR Apache-2.0
//! Completions that can be taken.

use core::{mem, slice};

use super::RawCompletion;

/// Completions, first in, first out. Mostly all are taken before others come, so that they need not go
/// round as in a ring.
#[derive(Debug, Default)]
pub(crate) struct Completions {
    /// Those that were taken, those that are there, and room for others.
    list: Vec<RawCompletion>,
    taken: usize,
    end: usize,
}

impl Completions {
    const NONE: RawCompletion = RawCompletion {
        token: 0,
        ret: 0,
        more: false,
    };

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.end - self.taken
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.end
    }

    /// How many there are, and were taken since there were none.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// Takes the first one.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<RawCompletion> {
        if self.is_empty() {
            return None;
        }
        let first = self.list.get(self.taken)?;
        self.taken += 1;
        Some(*first)
    }

    /// Takes the first ones.
    pub(crate) fn take(&mut self, count: usize) -> impl Iterator<Item = RawCompletion> {
        let begin = self.taken;
        self.taken = self.end.min(begin + count);
        self.list[begin..self.taken].iter().copied()
    }

    /// Takes one after the other; what is left then stays.
    #[inline]
    pub(super) fn drain(&mut self) -> Drain<'_> {
        Drain {
            rest: self.list[self.taken..self.end].iter(),
            taken: &mut self.taken,
            end: self.end,
        }
    }

    pub(crate) fn push(&mut self, completion: RawCompletion) {
        self.extend([completion]);
    }

    /// Room behind the last one, for at least that many; [`Self::add`] makes some of it completions.
    #[inline]
    pub(crate) fn room(&mut self, count: usize) -> &mut [RawCompletion] {
        if self.list.len() - self.end < count {
            self.list.resize(self.end + count, Self::NONE);
        }
        &mut self.list[self.end..]
    }

    /// Adds what was written to the room.
    #[inline]
    pub(crate) fn add(&mut self, count: usize) {
        self.end = self.list.len().min(self.end + count);
    }

    /// Takes all of another list, whose memory it may exchange for its own.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            mem::swap(self, other);
        } else {
            self.extend(other.take(other.len()));
        }
        (other.taken, other.end) = (0, 0);
    }
}

/// Takes completions; what it has not given stays.
pub(super) struct Drain<'a> {
    rest: slice::Iter<'a, RawCompletion>,
    taken: &'a mut usize,
    end: usize,
}

impl Iterator for Drain<'_> {
    type Item = RawCompletion;

    #[inline]
    fn next(&mut self) -> Option<RawCompletion> {
        self.rest.next().copied()
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.taken = self.end - self.rest.len();
    }
}

impl Extend<RawCompletion> for Completions {
    fn extend<I: IntoIterator<Item = RawCompletion>>(&mut self, completions: I) {
        self.list.truncate(self.end);
        // So that the taken ones are never more than the others for long.
        if self.taken > self.end / 2 {
            self.list.drain(..self.taken);
            self.taken = 0;
        }
        self.list.extend(completions);
        self.end = self.list.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(token: u64) -> RawCompletion {
        RawCompletion {
            token,
            ret: 0,
            more: false,
        }
    }

    #[test]
    fn order_is_kept_and_memory_bounded_while_some_are_left() {
        let mut completions = Completions::default();
        let mut next = 0;
        for round in 0..1000 {
            let mut others = Completions::default();
            for (place, token) in others.room(4).iter_mut().zip(3 * round..) {
                *place = completion(token);
            }
            others.add(3);
            completions.append(&mut others);
            assert!(others.is_empty());
            // The first round leaves five.
            while completions.len() > 5 {
                assert_eq!(completions.pop(), Some(completion(next)));
                next += 1;
            }
            assert!(completions.list.len() < 20);
        }
        while let Some(last) = completions.pop() {
            assert_eq!(last, completion(next));
            next += 1;
        }
        assert_eq!(next, 3000);
        assert!(completions.is_empty());
    }
}
