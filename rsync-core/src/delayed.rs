// SPDX-License-Identifier: MIT OR Apache-2.0

//! The complete files that wait for the end of a run: rsync(1), `--delay-updates`.

use crate::list::Attributes;
use crate::target::Target;
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// A file that waits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Waiting<T = Target> {
    /// The directory that it goes to.
    pub(crate) target: Rc<T>,
    /// Its number in the list of that, which may be all but let go of.
    pub(crate) index: u32,
    pub(crate) name: Vec<u8>,
    pub(crate) asked: Asked,
}

/// What is still asked for of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What has its name now.
    pub(crate) found: Option<Attributes>,
    /// Its attributes, if all could be set.
    pub(crate) want: Option<Attributes>,
}

/// Files that wait, in the order that they came. They may be all that are synchronised, so each takes 8 bytes and its name.
#[derive(Debug)]
pub(crate) struct Delayed<T = Target> {
    /// Directories, and how many files of one come next to each other.
    runs: Vec<(Rc<T>, usize)>,
    /// Of each file its number and the length of its name, of 4 bytes each, and the name.
    packed: Vec<u8>,
    count: usize,
    /// By how many files came before. There are none unless options want them.
    asked: FxHashMap<usize, Asked>,
}

impl<T> Default for Delayed<T> {
    fn default() -> Self {
        Self {
            runs: Vec::new(),
            packed: Vec::new(),
            count: 0,
            asked: FxHashMap::default(),
        }
    }
}

impl<T> Delayed<T> {
    pub(crate) fn push(&mut self, file: Waiting<T>) {
        match self.runs.last_mut() {
            Some((target, count)) if Rc::ptr_eq(target, &file.target) => *count += 1,
            _ => self.runs.push((file.target, 1)),
        }
        // No name has as many bytes as that.
        let length = file.name.len() as u32;
        self.packed.extend_from_slice(&file.index.to_le_bytes());
        self.packed.extend_from_slice(&length.to_le_bytes());
        self.packed.extend_from_slice(&file.name);
        if file.asked != Asked::default() {
            self.asked.insert(self.count, file.asked);
        }
        self.count += 1;
    }

    /// The files, in order.
    pub(crate) fn into_files(self) -> impl Iterator<Item = Waiting<T>> {
        let (packed, mut asked) = (self.packed, self.asked);
        let (mut at, mut number) = (0, 0);
        let targets = self.runs.into_iter();
        let targets = targets.flat_map(|(target, count)| std::iter::repeat_n(target, count));
        targets.map_while(move |target| {
            let (index, rest) = packed[at..].split_first_chunk()?;
            let (length, rest) = rest.split_first_chunk()?;
            let name = rest.get(..u32::from_le_bytes(*length) as usize)?;
            at += 8 + name.len();
            number += 1;
            Some(Waiting {
                target,
                index: u32::from_le_bytes(*index),
                name: name.to_vec(),
                asked: asked.remove(&(number - 1)).unwrap_or_default(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::Kind;
    use crate::list::tests::attributes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn files_come_out_as_they_went_in(
            files in proptest::collection::vec((0u8..4, any::<u32>(), proptest::collection::vec(any::<u8>(), 0..300), any::<bool>(), any::<bool>()), 0..60),
        ) {
            let targets: Vec<Rc<u8>> = (0..4).map(Rc::new).collect();
            let some = |is: bool, size| is.then(|| Attributes { size, ..attributes(Kind::Regular) });
            let waiting = |(target, index, name, found, want): &(u8, u32, Vec<u8>, bool, bool)| Waiting {
                target: targets[usize::from(*target)].clone(),
                index: *index,
                name: name.clone(),
                asked: Asked { found: some(*found, 1), want: some(*want, 2) },
            };
            let mut delayed = Delayed::default();
            for file in &files {
                delayed.push(waiting(file));
            }
            let expected: Vec<_> = files.iter().map(waiting).collect();
            prop_assert_eq!(delayed.into_files().collect::<Vec<_>>(), expected);
        }
    }
}
