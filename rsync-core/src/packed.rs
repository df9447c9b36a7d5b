// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lists that wait, as file-list records: those of a whole tree are in memory at once where nothing is done before all are
//! known, or where they are looked at again at the end.

use crate::list::{DirList, Kind};
use std::sync::Arc;

/// A list as records.
#[derive(Debug)]
pub(crate) struct Packed {
    records: Box<[u8]>,
    entries: usize,
    directories: usize,
    /// The bytes of all names and targets.
    names: usize,
    weight: u64,
    /// What records do not have, if there is any: a list without entries.
    beside: Option<Box<DirList>>,
}

impl Packed {
    /// Packs a list.
    pub(crate) fn new(list: &DirList) -> Self {
        let entries = list.entries().iter();
        let names = entries.map(|entry| list.name(entry).len() + list.target(entry).len());
        Self {
            records: list.to_records().into_boxed_slice(),
            entries: list.entries().len(),
            directories: directories(list),
            names: names.sum(),
            weight: list.weight(),
            beside: list.beside().map(Box::new),
        }
    }

    /// The list that was packed.
    pub(crate) fn unpack(&self) -> DirList {
        let mut list = self.beside.as_deref().cloned().unwrap_or_default();
        list.reserve(self.entries, self.names);
        list.read(&self.records)
            .expect("what was written as records is read");
        list
    }
}

/// The entries of a directory, packed where they wait.
#[derive(Clone, Debug)]
pub(crate) enum Contents {
    /// Somebody works on them, or will soon.
    Open(Arc<DirList>),
    /// They wait. Both ends share them.
    Packed(Arc<Packed>),
}

impl Contents {
    /// Packs them, unless they are.
    pub(crate) fn pack(&mut self) {
        if let Self::Open(list) = self {
            *self = Self::Packed(Arc::new(Packed::new(list)));
        }
    }

    /// The list. Each call unpacks one that is packed.
    pub(crate) fn open(&self) -> Arc<DirList> {
        match self {
            Self::Open(list) => list.clone(),
            Self::Packed(packed) => Arc::new(packed.unpack()),
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Open(list) => list.entries().len(),
            Self::Packed(packed) => packed.entries,
        }
    }

    /// How many of them are directories.
    pub(crate) fn directories(&self) -> usize {
        match self {
            Self::Open(list) => directories(list),
            Self::Packed(packed) => packed.directories,
        }
    }

    /// As [`DirList::directory_origin`].
    pub(crate) fn directory_origin(&self) -> Option<&[u8]> {
        match self {
            Self::Open(list) => list.directory_origin(),
            Self::Packed(packed) => packed.beside.as_ref()?.directory_origin(),
        }
    }

    /// As [`DirList::weight`].
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Open(list) => list.weight(),
            Self::Packed(packed) => packed.weight,
        }
    }
}

fn directories(list: &DirList) -> usize {
    let entries = list.entries().iter();
    let directories = entries.filter(|entry| entry.attributes.kind == Kind::Directory);
    directories.count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::tests::attributes;

    #[test]
    fn what_is_asked_of_contents_is_the_same_packed() {
        let mut list = DirList::new();
        list.push(b"a", attributes(Kind::Directory), 0, b"");
        list.push(b"b", attributes(Kind::Symlink), 1, b"a/c");
        list.set_dir(0, 5);
        list.set_origins(vec![b"one".to_vec(), b"two".to_vec()], Some(b"c".to_vec()));
        let open = Contents::Open(Arc::new(list));
        let mut packed = open.clone();
        packed.pack();
        assert!(matches!(packed, Contents::Packed(_)));
        assert_eq!((packed.len(), open.len()), (2, 2));
        assert_eq!((packed.directories(), open.directories()), (1, 1));
        assert_eq!(packed.weight(), open.weight());
        assert_eq!(packed.directory_origin(), Some(&b"one"[..]));
        let (packed, open) = (packed.open(), open.open());
        for (one, other) in packed.entries().iter().zip(open.entries()) {
            assert_eq!(packed.name(one), open.name(other));
            assert_eq!(packed.origin(one), open.origin(other));
            assert_eq!(packed.target(one), open.target(other));
            assert_eq!(one.dir, other.dir);
        }
        assert_eq!(packed.weight(), open.weight());
    }
}
