// SPDX-License-Identifier: MIT OR Apache-2.0

//! File-list records: the entries of a directory in few bytes, each by how it differs from the one before it.
//!
//! A record is, in this order:
//!
//! - a byte of flags, each of which says that something is as before; with [`MORE`] another one follows, of what few entries have,
//! - how many bytes of the name before the name begins with, in a byte, how many follow, and these,
//! - what is not as before: kind and mode, owner, group, device, seconds of both times, links,
//! - the size, the nanoseconds and the inode number,
//! - what the second byte of flags says is there: target, part, number of a directory's list, number of a device.
//!
//! Numbers have seven bits a byte, the lowest first, and the highest bit on all bytes but the last. Those that tend to be
//! near the one before are differences with the sign in the lowest bit.

use super::{Attributes, DirList, Entry, Extent, Kind};
use std::fmt;

const SAME_MODE: u8 = 1 << 0;
const SAME_OWNER: u8 = 1 << 1;
const SAME_GROUP: u8 = 1 << 2;
const SAME_DEVICE: u8 = 1 << 3;
const SAME_SECOND: u8 = 1 << 4;
const SAME_ACCESS: u8 = 1 << 5;
const SAME_LINKS: u8 = 1 << 6;
const MORE: u8 = 1 << 7;

/// The extent, in two bits.
const EXTENT: u8 = 0b11;
const ABSOLUTE: u8 = 1 << 2;
const FOLLOWED: u8 = 1 << 3;
const TARGET: u8 = 1 << 4;
const OTHER_PART: u8 = 1 << 5;
const OTHER_DIR: u8 = 1 << 6;
const DEVICE_NUMBER: u8 = 1 << 7;

/// What the first entry follows.
const BEFORE: Entry = Entry {
    name: (0, 0),
    target: (0, 0),
    extent: Extent::Whole,
    absolute: false,
    followed: false,
    part: 0,
    dir: 0,
    attributes: Attributes {
        kind: Kind::Regular,
        mode: 0,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: (0, 0),
        atime: 0,
        links: 1,
        inode: (0, 0),
        rdev: 0,
    },
};

/// Why bytes are no file-list records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// They end within a record.
    Cut,
    /// A flag is set that is not known here.
    Flags(u8),
    /// A number is too large for what it stands for.
    Number,
    /// A name begins with more bytes of the name before than that has.
    Prefix,
    /// A name or a symbolic link's target is longer than 65535 bytes.
    Length,
    /// All names together are longer than 4 GiB.
    TooMany,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these are no file-list records: ")?;
        match self {
            Self::Cut => f.write_str("they end within one"),
            Self::Flags(flags) => write!(f, "flags {flags:#x} are not known"),
            Self::Number => f.write_str("a number is too large"),
            Self::Prefix => f.write_str("a name goes on from more than there is"),
            Self::Length => f.write_str("a name or target is longer than 65535 bytes"),
            Self::TooMany => f.write_str("all names together are longer than 4 GiB"),
        }
    }
}

impl std::error::Error for RecordError {}

impl DirList {
    /// The entries as file-list records. Checksums, extended attributes and the paths of the source are no part of these.
    ///
    /// # Examples
    ///
    /// ```
    /// use rsync_core::list::{Attributes, DirList, Kind};
    ///
    /// let (mode, mtime, inode) = (0o644, (1_700_000_000, 5), (7, 1000));
    /// let (uid, gid, size, atime, links, rdev) = (1000, 1000, 3, 0, 1, 0);
    /// let attributes = Attributes { kind: Kind::Regular, mode, uid, gid, size, mtime, atime, links, inode, rdev };
    /// let mut list = DirList::new();
    /// list.push(b"file-number-1", attributes, 0, b"");
    /// list.push(b"file-number-2", Attributes { inode: (7, 1001), ..attributes }, 0, b"");
    /// let records = list.to_records();
    /// assert!(records.len() < 50);
    /// let read = DirList::from_records(&records)?;
    /// assert_eq!(read.name(&read.entries()[1]), b"file-number-2");
    /// assert_eq!(read.entries()[0].attributes, attributes);
    /// # Ok::<(), rsync_core::list::RecordError>(())
    /// ```
    pub fn to_records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let mut before = (&BEFORE, &b""[..]);
        for entry in &self.entries {
            let name = self.name(entry);
            write(&mut records, before, (entry, name), self.target(entry));
            before = (entry, name);
        }
        records
    }

    /// The entries of file-list records, in their order, which nobody has looked at: names may be any bytes, and come twice.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if these bytes are none. No more memory is taken than a fixed multiple of their length.
    ///
    /// # Examples
    ///
    /// ```
    /// use rsync_core::list::{DirList, RecordError};
    ///
    /// assert!(DirList::from_records(b"")?.entries().is_empty());
    /// assert_eq!(DirList::from_records(b"\x7f").unwrap_err(), RecordError::Cut);
    /// # Ok::<(), RecordError>(())
    /// ```
    pub fn from_records(records: &[u8]) -> Result<Self, RecordError> {
        let mut list = Self::new();
        list.read(records)?;
        Ok(list)
    }

    /// Appends the entries of records.
    pub(crate) fn read(&mut self, records: &[u8]) -> Result<(), RecordError> {
        let mut reader = Reader(records);
        let mut before = BEFORE;
        while !reader.0.is_empty() {
            before = reader.entry(self, &before)?;
            self.entries.push(before);
        }
        Ok(())
    }
}

fn write(
    to: &mut Vec<u8>,
    (before, name_before): (&Entry, &[u8]),
    (entry, name): (&Entry, &[u8]),
    target: &[u8],
) {
    let (old, new) = (&before.attributes, &entry.attributes);
    let flag = |set, flag| if set { flag } else { 0 };
    let same_mode = (new.kind, new.mode) == (old.kind, old.mode);
    let flags = flag(same_mode, SAME_MODE)
        | flag(new.uid == old.uid, SAME_OWNER)
        | flag(new.gid == old.gid, SAME_GROUP)
        | flag(new.inode.0 == old.inode.0, SAME_DEVICE)
        | flag(new.mtime.0 == old.mtime.0, SAME_SECOND)
        | flag(new.atime == old.atime, SAME_ACCESS)
        | flag(new.links == old.links, SAME_LINKS);
    let more = extent_bits(entry.extent)
        | flag(entry.absolute, ABSOLUTE)
        | flag(entry.followed, FOLLOWED)
        | flag(!target.is_empty(), TARGET)
        | flag(entry.part != before.part, OTHER_PART)
        | flag(entry.dir != before.dir, OTHER_DIR)
        | flag(new.rdev != 0, DEVICE_NUMBER);
    match more {
        0 => to.push(flags),
        more => to.extend([flags | MORE, more]),
    }
    // No more than a byte can say, so that few bytes do not stand for many.
    let pairs = name.iter().zip(name_before).take(usize::from(u8::MAX));
    let prefix = pairs.take_while(|(a, b)| a == b).count();
    to.push(prefix as u8);
    put_bytes(to, &name[prefix..]);
    if !same_mode {
        put(to, u64::from(new.mode) << 3 | kind_bits(new.kind));
    }
    if new.uid != old.uid {
        put(to, new.uid.into());
    }
    if new.gid != old.gid {
        put(to, new.gid.into());
    }
    if new.inode.0 != old.inode.0 {
        put(to, new.inode.0);
    }
    if new.mtime.0 != old.mtime.0 {
        put_difference(to, old.mtime.0 as u64, new.mtime.0 as u64);
    }
    if new.atime != old.atime {
        put_difference(to, old.atime as u64, new.atime as u64);
    }
    if new.links != old.links {
        put(to, new.links.into());
    }
    put(to, new.size);
    put_difference(to, old.mtime.1.into(), new.mtime.1.into());
    put_difference(to, old.inode.1, new.inode.1);
    if !target.is_empty() {
        put_bytes(to, target);
    }
    if entry.part != before.part {
        put(to, entry.part.into());
    }
    if entry.dir != before.dir {
        put_difference(to, before.dir.into(), entry.dir.into());
    }
    if new.rdev != 0 {
        put(to, new.rdev);
    }
}

fn put(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn put_difference(to: &mut Vec<u8>, before: u64, now: u64) {
    let difference = now.wrapping_sub(before) as i64;
    put(to, (difference << 1 ^ difference >> 63) as u64);
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn extent_bits(extent: Extent) -> u8 {
    match extent {
        Extent::Whole => 0,
        Extent::Alone => 1,
        Extent::Passed => 2,
    }
}

fn kind_bits(kind: Kind) -> u64 {
    match kind {
        Kind::Regular => 0,
        Kind::Directory => 1,
        Kind::Symlink => 2,
        Kind::CharDevice => 3,
        Kind::BlockDevice => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Other => 7,
    }
}

fn kind(bits: u64) -> Kind {
    match bits & 7 {
        0 => Kind::Regular,
        1 => Kind::Directory,
        2 => Kind::Symlink,
        3 => Kind::CharDevice,
        4 => Kind::BlockDevice,
        5 => Kind::Fifo,
        6 => Kind::Socket,
        _ => Kind::Other,
    }
}

/// Records that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads an entry, whose name and target go to the list.
    fn entry(&mut self, list: &mut DirList, before: &Entry) -> Result<Entry, RecordError> {
        let mut entry = *before;
        let flags = self.byte()?;
        let more = match flags & MORE {
            0 => 0,
            _ => self.byte()?,
        };
        let is = |flag| flags & flag != 0;
        let has = |flag| more & flag != 0;
        entry.extent = match more & EXTENT {
            0 => Extent::Whole,
            1 => Extent::Alone,
            2 => Extent::Passed,
            _ => return Err(RecordError::Flags(more)),
        };
        (entry.absolute, entry.followed) = (has(ABSOLUTE), has(FOLLOWED));
        let prefix = self.byte()?;
        let rest = self.bytes()?;
        if u16::from(prefix) > before.name.1 {
            return Err(RecordError::Prefix);
        }
        entry.name = list.store_after(before.name.0, prefix, rest)?;
        let attributes = &mut entry.attributes;
        if !is(SAME_MODE) {
            let bits = self.number()?;
            attributes.kind = kind(bits);
            attributes.mode = small(bits >> 3)?;
        }
        if !is(SAME_OWNER) {
            attributes.uid = small(self.number()?)?;
        }
        if !is(SAME_GROUP) {
            attributes.gid = small(self.number()?)?;
        }
        if !is(SAME_DEVICE) {
            attributes.inode.0 = self.number()?;
        }
        if !is(SAME_SECOND) {
            attributes.mtime.0 = self.after(attributes.mtime.0 as u64)? as i64;
        }
        if !is(SAME_ACCESS) {
            attributes.atime = self.after(attributes.atime as u64)? as i64;
        }
        if !is(SAME_LINKS) {
            attributes.links = small(self.number()?)?;
        }
        attributes.size = self.number()?;
        attributes.mtime.1 = small(self.after(attributes.mtime.1.into())?)?;
        attributes.inode.1 = self.after(attributes.inode.1)?;
        entry.target = match has(TARGET) {
            true => list.store_after(0, 0, self.bytes()?)?,
            false => (0, 0),
        };
        if has(OTHER_PART) {
            entry.part = small(self.number()?)?;
        }
        if has(OTHER_DIR) {
            entry.dir = small(self.after(entry.dir.into())?)?;
        }
        entry.attributes.rdev = match has(DEVICE_NUMBER) {
            true => self.number()?,
            false => 0,
        };
        Ok(entry)
    }

    fn byte(&mut self) -> Result<u8, RecordError> {
        let (first, rest) = self.0.split_first().ok_or(RecordError::Cut)?;
        self.0 = rest;
        Ok(*first)
    }

    fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let length = self.number()?;
        if length > u64::from(u16::MAX) {
            return Err(RecordError::Length);
        }
        let split = self.0.split_at_checked(length as usize);
        let (bytes, rest) = split.ok_or(RecordError::Cut)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, RecordError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits << shift;
            if bits << shift >> shift != bits {
                return Err(RecordError::Number);
            }
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(RecordError::Number)
    }

    /// A number that is told by its difference to the one before.
    fn after(&mut self, before: u64) -> Result<u64, RecordError> {
        let number = self.number()?;
        let difference = (number >> 1) ^ (number & 1).wrapping_neg();
        Ok(before.wrapping_add(difference))
    }
}

fn small(number: u64) -> Result<u32, RecordError> {
    number.try_into().map_err(|_| RecordError::Number)
}

impl DirList {
    /// Stores a few bytes of its arena, from `start` on, and more.
    fn store_after(
        &mut self,
        start: u32,
        prefix: u8,
        rest: &[u8],
    ) -> Result<(u32, u16), RecordError> {
        let length = usize::from(prefix) + rest.len();
        let length = u16::try_from(length).map_err(|_| RecordError::Length)?;
        let at = u32::try_from(self.arena.len()).map_err(|_| RecordError::TooMany)?;
        let start = start as usize;
        self.arena
            .extend_from_within(start..start + usize::from(prefix));
        self.arena.extend_from_slice(rest);
        Ok((at, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Parts<'a> = (
        &'a [u8],
        &'a [u8],
        Extent,
        (bool, bool),
        (u32, u32),
        Attributes,
    );

    fn parts(list: &DirList) -> Vec<Parts<'_>> {
        let entries = list.entries().iter();
        let parts = entries.map(|entry| {
            (
                list.name(entry),
                list.target(entry),
                entry.extent,
                (entry.absolute, entry.followed),
                (entry.part, entry.dir),
                entry.attributes,
            )
        });
        parts.collect()
    }

    /// Small numbers, those near the ends, and any.
    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..4u64,
            (0..4u64).prop_map(|below| u64::MAX - below),
            any::<u64>()
        ]
    }

    fn small_number() -> impl Strategy<Value = u32> {
        number().prop_map(|number| number as u32)
    }

    fn seconds() -> impl Strategy<Value = i64> {
        prop_oneof![
            Just(i64::MIN),
            Just(i64::MAX),
            number().prop_map(|number| number as i64)
        ]
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        let lengths = prop_oneof![8 => 0..4usize, 4 => 250..260usize, 1 => Just(65535usize)];
        let long = (lengths, prop::collection::vec(0..3u8, 0..3));
        long.prop_map(|(length, end)| {
            let kept = length.saturating_sub(end.len());
            let mut name = vec![b'a'; kept];
            name.extend(end.into_iter().take(length - kept));
            name
        })
    }

    fn attributes() -> impl Strategy<Value = Attributes> {
        let kinds = (0..8u64).prop_map(kind);
        let owner = (kinds, small_number(), small_number(), small_number());
        let times = (seconds(), small_number(), seconds());
        let numbers = (number(), small_number(), number(), number(), number());
        (owner, times, numbers).prop_map(|((kind, mode, uid, gid), (sec, nsec, atime), numbers)| {
            let (size, links, device, inode, rdev) = numbers;
            Attributes {
                kind,
                mode,
                uid,
                gid,
                size,
                mtime: (sec, nsec),
                atime,
                links,
                inode: (device, inode),
                rdev,
            }
        })
    }

    fn any_list() -> impl Strategy<Value = DirList> {
        let extents = prop_oneof![
            Just(Extent::Whole),
            Just(Extent::Alone),
            Just(Extent::Passed)
        ];
        let numbers = (small_number(), small_number());
        let entry = (
            (name(), name()),
            attributes(),
            (extents, any::<bool>(), any::<bool>()),
            numbers,
        );
        // Some entries are as the one before in most.
        let entry = (entry, any::<bool>());
        prop::collection::vec(entry, 0..8).prop_map(|entries| {
            let mut list = DirList::new();
            let mut before = BEFORE.attributes;
            for (((name, target), attributes, described, (part, dir)), like) in entries {
                before = match like {
                    true => Attributes {
                        size: attributes.size,
                        inode: (before.inode.0, attributes.inode.1),
                        ..before
                    },
                    false => attributes,
                };
                list.push(&name, before, part, &target);
                let (extent, absolute, followed) = described;
                list.describe(extent, absolute, followed);
                list.set_dir(list.entries().len() - 1, dir);
            }
            list
        })
    }

    proptest! {
        #[test]
        fn any_list_is_read_as_it_was_written(list in any_list()) {
            let records = list.to_records();
            let read = DirList::from_records(&records).unwrap();
            prop_assert_eq!(parts(&read), parts(&list));
            prop_assert_eq!(read.to_records(), records);
        }

        #[test]
        fn bytes_that_were_cut_or_changed_are_a_list_or_an_error(
            list in any_list(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut records = list.to_records();
            let at = at.index(records.len() + 1);
            // One record fewer, or within one.
            let cut = DirList::from_records(&records[..at]);
            prop_assert!(cut.is_ok_and(|cut| cut.entries().len() <= list.entries().len())
                || DirList::from_records(&records[..at]).unwrap_err() == RecordError::Cut);
            if let Some(changed) = records.get_mut(at) {
                *changed = byte;
            }
            if let Ok(read) = DirList::from_records(&records) {
                let again = DirList::from_records(&read.to_records()).unwrap();
                prop_assert_eq!(parts(&again), parts(&read));
            }
        }
    }

    #[test]
    fn a_file_like_the_one_before_takes_few_bytes() {
        let mut list = DirList::new();
        let attributes = |index: u32| Attributes {
            mtime: (1_700_000_000, index * 20_000),
            inode: (40, 1000 + u64::from(index)),
            ..BEFORE.attributes
        };
        for index in 0..100 {
            let name = format!("file-number-{index:04}.txt");
            list.push(name.as_bytes(), attributes(index), 0, b"");
        }
        let each = list.to_records().len() / 100;
        assert!(each <= 14, "{each} bytes");
    }

    #[test]
    fn what_is_wrong_with_records_is_told() {
        let error = |records: &[u8]| DirList::from_records(records).unwrap_err();
        const SAME: u8 = 0x7f;
        assert_eq!(error(&[SAME | MORE, EXTENT]), RecordError::Flags(EXTENT));
        assert_eq!(error(&[SAME, 1, 0, 0, 0, 0]), RecordError::Prefix);
        assert_eq!(error(&[SAME, 0, 0x80, 0x80, 4]), RecordError::Length);
        assert_eq!(error(&[SAME, 0, 2, b'a']), RecordError::Cut);
        // A group of five bytes' bits, a size of more than 64 bits, and one without an end.
        let large = [0xff, 0xff, 0xff, 0xff, 0x1f];
        let group = [&[SAME & !SAME_GROUP, 0, 0][..], &large].concat();
        assert_eq!(error(&group), RecordError::Number);
        let size = [&[SAME, 0, 0][..], &[0xff; 9], &[2]].concat();
        assert_eq!(error(&size), RecordError::Number);
        let endless = [&[SAME, 0, 0][..], &[0x80; 20]].concat();
        assert_eq!(error(&endless), RecordError::Number);
    }

    #[test]
    fn few_records_do_not_make_a_long_list() {
        let first = [&[0x7f, 0, 0xff, 0xff, 3][..], &[b'a'; 65535], &[0, 0, 0]].concat();
        let more = [0x7f, 255, 0, 0, 0, 0].repeat(100);
        let list = DirList::from_records(&[first, more].concat()).unwrap();
        assert_eq!(list.entries().len(), 101);
        assert_eq!(list.arena.len(), 65535 + 100 * 255);
    }
}
