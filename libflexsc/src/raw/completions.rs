// SPDX-License-Identifier: MIT OR Apache-2.0
//! Completions that can be taken.

use core::mem;

use super::RawCompletion;

/// Completions, first in, first out: a vector, and how many of its first ones were taken. Mostly all are
/// taken before others come, so that they need not go round as in a ring.
#[derive(Debug, Default)]
pub(crate) struct Completions {
    list: Vec<RawCompletion>,
    taken: usize,
}

impl Completions {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len() - self.taken
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.list.len()
    }

    /// Takes the first one.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<RawCompletion> {
        let first = self.list.get(self.taken)?;
        self.taken += 1;
        Some(*first)
    }

    pub(super) fn push(&mut self, completion: RawCompletion) {
        self.extend([completion]);
    }

    /// Takes the completions of a list, whose memory it may exchange for its own.
    pub(crate) fn append(&mut self, list: &mut Vec<RawCompletion>) {
        if self.is_empty() {
            self.list.clear();
            self.taken = 0;
            mem::swap(&mut self.list, list);
        } else {
            self.extend(list.drain(..));
        }
    }
}

impl Extend<RawCompletion> for Completions {
    fn extend<I: IntoIterator<Item = RawCompletion>>(&mut self, completions: I) {
        // So that the taken ones are never more than the others for long.
        if self.taken > self.list.len() / 2 {
            self.list.drain(..self.taken);
            self.taken = 0;
        }
        self.list.extend(completions);
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
            let mut list: Vec<_> = (3 * round..3 * round + 3).map(completion).collect();
            completions.append(&mut list);
            assert!(list.is_empty());
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
