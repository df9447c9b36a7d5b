// SPDX-License-Identifier: MIT OR Apache-2.0

//! POSIX access control lists: acl(5), and their form in extended attributes, `linux/posix_acl_xattr.h`.
//!
//! What a value is read from is checked: a file system or a program may have put anything there.

use std::fmt;

/// The first four bytes of a value, little-endian as all in it.
const VERSION: u32 = 2;

/// The length of an entry: two bytes for its tag, two for what it allows, four for a user or group.
const ENTRY: usize = 8;

// Tags, in the order that the kernel wants entries in.
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The user or group of an entry that names none.
const NOBODY_AT_ALL: u32 = u32::MAX;

/// In a list that rsync keeps, what the mode says, or what is not there.
const KEPT_NOWHERE: u32 = 0x80;

/// In a list that rsync keeps, what marks an entry for a user.
const KEPT_USER: u32 = 1 << 31;

/// Why a value is no access control list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AclError {
    /// It has a length, in bytes, that none has.
    Length(usize),
    /// It has a version that is not known here.
    Version(u32),
    /// An entry has a tag that is not known here.
    Tag(u16),
    /// An entry allows something that is not reading, writing or executing.
    Permissions(u16),
    /// An entry is for a named user or group, and names none.
    NoName,
    /// It has more than one entry for the owner, the owning group, the mask or all others.
    Twice,
    /// It has no entry for the owner, the owning group or all others, or it has named users or groups and no mask.
    Missing,
}

impl fmt::Display for AclError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its ACL is no valid one: ")?;
        match self {
            Self::Length(length) => write!(f, "{length} bytes are no list of entries"),
            Self::Version(version) => write!(f, "version {version} is not known"),
            Self::Tag(tag) => write!(f, "tag {tag:#x} is not known"),
            Self::Permissions(bits) => write!(f, "{bits:#x} is more than permissions"),
            Self::NoName => f.write_str("an entry for a user or group names none"),
            Self::Twice => f.write_str("an entry is there twice that there can be one of"),
            Self::Missing => f.write_str("an entry is missing that there must be"),
        }
    }
}

impl std::error::Error for AclError {}

/// What a named user or group may do.
type Named = (u32, u8);

/// An access control list. Users and groups are sorted by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acl {
    owner: u8,
    users: Vec<Named>,
    group: u8,
    groups: Vec<Named>,
    /// The most that the owning group and named ones may do. One that only says what a mode can say has none.
    mask: Option<u8>,
    others: u8,
}

impl Acl {
    /// Reads the value of an extended attribute.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, AclError> {
        let length = AclError::Length(value.len());
        let (version, entries) = value.split_first_chunk::<4>().ok_or(length)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(AclError::Version(version));
        }
        let (mut owner, mut group, mut mask, mut others) = (None, None, None, None);
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        for entry in entries.chunks(ENTRY) {
            let entry: [u8; ENTRY] = entry.try_into().map_err(|_| length)?;
            let [a, b, c, d, id @ ..] = entry;
            let (tag, bits) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
            let may = match bits {
                0..=7 => bits as u8,
                _ => return Err(AclError::Permissions(bits)),
            };
            let one = match tag {
                USER | GROUP => {
                    let id = u32::from_le_bytes(id);
                    if id == NOBODY_AT_ALL {
                        return Err(AclError::NoName);
                    }
                    let named = if tag == USER { &mut users } else { &mut groups };
                    named.push((id, may));
                    continue;
                }
                USER_OBJ => &mut owner,
                GROUP_OBJ => &mut group,
                MASK => &mut mask,
                OTHER => &mut others,
                _ => return Err(AclError::Tag(tag)),
            };
            if one.replace(may).is_some() {
                return Err(AclError::Twice);
            }
        }
        let (Some(owner), Some(group), Some(others)) = (owner, group, others) else {
            return Err(AclError::Missing);
        };
        if mask.is_none() && !(users.is_empty() && groups.is_empty()) {
            return Err(AclError::Missing);
        }
        let acl = Self {
            owner,
            users,
            group,
            groups,
            mask,
            others,
        };
        Ok(acl.mapped(|id| id, |id| id))
    }

    /// The value of an extended attribute.
    pub(crate) fn value(&self) -> Vec<u8> {
        let one = |tag, may| (tag, may, NOBODY_AT_ALL);
        let named = |tag, named: &[Named]| -> Vec<_> {
            named.iter().map(|&(id, may)| (tag, may, id)).collect()
        };
        let mut entries = vec![one(USER_OBJ, self.owner)];
        entries.extend(named(USER, &self.users));
        entries.push(one(GROUP_OBJ, self.group));
        entries.extend(named(GROUP, &self.groups));
        entries.extend(self.mask.map(|mask| one(MASK, mask)));
        entries.push(one(OTHER, self.others));
        let mut value = VERSION.to_le_bytes().to_vec();
        for (tag, may, id) in entries {
            value.extend_from_slice(&u16::to_le_bytes(tag));
            value.extend_from_slice(&u16::from(may).to_le_bytes());
            value.extend_from_slice(&u32::to_le_bytes(id));
        }
        value
    }

    /// Reads what rsync keeps of one for a file that has none, of that mode, or for what is made in a directory.
    ///
    /// The value is four little-endian words, for the owner, the owning group, the mask and all others, and two for each named
    /// user or group, the users being marked. What the mode says need not be there.
    pub(crate) fn parse_kept(value: &[u8], mode: Option<u32>) -> Result<Self, AclError> {
        let length = AclError::Length(value.len());
        let words = value.chunks(4).map(<[u8; 4]>::try_from);
        let words: Result<Vec<_>, _> = words.map(|word| word.map(u32::from_le_bytes)).collect();
        let words = words.map_err(|_| length)?;
        let [owner, group, mask, others, ref named @ ..] = words[..] else {
            return Err(length);
        };
        let may = |word: u32| match word {
            0..=7 => Ok(word as u8),
            _ => Err(AclError::Permissions(word.try_into().unwrap_or(u16::MAX))),
        };
        let one = |word: u32, shift: u32| match (word, mode) {
            (KEPT_NOWHERE, Some(mode)) => Ok(((mode >> shift) & 7) as u8),
            (KEPT_NOWHERE, None) => Err(AclError::Missing),
            (word, _) => may(word),
        };
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        for pair in named.chunks(2) {
            let &[id, word] = pair else {
                return Err(length);
            };
            if id == NOBODY_AT_ALL {
                return Err(AclError::NoName);
            }
            match word & KEPT_USER {
                0 => groups.push((id, may(word)?)),
                _ => users.push((id, may(word & !KEPT_USER)?)),
            }
        }
        let mask = match mask {
            KEPT_NOWHERE if named.is_empty() => None,
            KEPT_NOWHERE => Some(one(mask, 3)?),
            word => Some(may(word)?),
        };
        let acl = Self {
            owner: one(owner, 6)?,
            users,
            group: one(group, 3)?,
            groups,
            mask,
            others: one(others, 0)?,
        };
        Ok(acl.mapped(|id| id, |id| id))
    }

    /// What is kept of one of a file whose mode it goes with.
    pub(crate) fn kept_access(&self) -> Vec<u8> {
        // The owning group, too, may have what the mode says.
        let group = (Some(self.group) != self.mask).then_some(self.group);
        self.kept([None, group, self.mask, None])
    }

    /// What is kept of one for what is made in a directory.
    pub(crate) fn kept_default(&self) -> Vec<u8> {
        self.kept([
            Some(self.owner),
            Some(self.group),
            self.mask,
            Some(self.others),
        ])
    }

    fn kept(&self, ones: [Option<u8>; 4]) -> Vec<u8> {
        let mut words: Vec<_> = ones
            .iter()
            .map(|may| may.map_or(KEPT_NOWHERE, u32::from))
            .collect();
        for &(id, may) in &self.users {
            words.extend([id, u32::from(may) | KEPT_USER]);
        }
        for &(id, may) in &self.groups {
            words.extend([id, u32::from(may)]);
        }
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// About how many bytes it would take on a wire.
    pub(crate) fn weight(&self) -> usize {
        4 + ENTRY * (self.users.len() + self.groups.len())
    }

    /// This one for other users and groups.
    pub(crate) fn mapped(mut self, user: impl Fn(u32) -> u32, group: impl Fn(u32) -> u32) -> Self {
        for named in &mut self.users {
            named.0 = user(named.0);
        }
        for named in &mut self.groups {
            named.0 = group(named.0);
        }
        // Two may have become one, and the kernel takes the first that it comes to.
        self.users.sort_by_key(|(id, _)| *id);
        self.groups.sort_by_key(|(id, _)| *id);
        self
    }

    /// This one of a file whose mode is this: its group bits are the mask, if there is one.
    pub(crate) fn with_mode(mut self, mode: u32) -> Self {
        let class = |shift: u32| ((mode >> shift) & 7) as u8;
        (self.owner, self.others) = (class(6), class(0));
        *self.mask.as_mut().unwrap_or(&mut self.group) = class(3);
        self
    }

    /// Whether it says more than a mode can.
    pub(crate) fn is_extended(&self) -> bool {
        self.mask.is_some()
    }

    /// Whether both say the same beside what the mode of a file says, which is how rsync compares those of files.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let group = |acl: &Self| acl.mask.map(|_| acl.group);
        group(self) == group(other) && self.users == other.users && self.groups == other.groups
    }

    /// The mode that a file is to have where this one cannot be kept: the mask does not become what the owning group may do.
    pub(crate) fn narrow(&self, mode: u32) -> u32 {
        match self.mask {
            Some(_) => mode & (!0o070 | u32::from(self.group) << 3),
            None => mode,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = 2u32.to_le_bytes().to_vec();
        for (tag, bits, id) in entries {
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&bits.to_le_bytes());
            value.extend_from_slice(&id.to_le_bytes());
        }
        value
    }

    const NONE: u32 = u32::MAX;
    const PLAIN: [(u16, u16, u32); 3] = [(1, 6, NONE), (4, 4, NONE), (0x20, 0, NONE)];

    fn plain(more: &[(u16, u16, u32)]) -> Vec<u8> {
        value(&[&PLAIN, more].concat())
    }

    fn kept(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn one_is_kept_as_rsync_keeps_it() {
        const USER: u32 = 1 << 31;
        for (entries, mode, words) in [
            (
                &[(0x02, 4, 1), (0x02, 5, 7), (0x08, 1, 3), (0x10, 5, NONE)][..],
                0o650,
                &[0x80, 4, 5, 0x80, 1, 4 | USER, 7, 5 | USER, 3, 1][..],
            ),
            // The owning group may do what the mode says.
            (
                &[(0x02, 4, 1), (0x10, 4, NONE)],
                0o640,
                &[0x80, 0x80, 4, 0x80, 1, 4 | USER],
            ),
            (&[(0x10, 5, NONE)], 0o650, &[0x80, 4, 5, 0x80]),
        ] {
            let acl = Acl::parse(&plain(entries)).unwrap();
            assert_eq!(acl.kept_access(), kept(words));
            assert_eq!(Acl::parse_kept(&kept(words), Some(mode)), Ok(acl));
        }
        let default = [7, 4, 0x80, 0];
        let acl = Acl::parse_kept(&kept(&default), None).unwrap();
        assert_eq!(acl.kept_default(), kept(&default));
        assert_eq!(
            acl.value(),
            value(&[(1, 7, NONE), (4, 4, NONE), (0x20, 0, NONE)])
        );
        // That is what rsync keeps of a file that has no list any more.
        let none = Acl::parse_kept(&kept(&[0x80; 4]), Some(0o640)).unwrap();
        assert!(!none.is_extended());
    }

    #[test]
    fn what_is_kept_of_none_is_refused() {
        use AclError::{Length, Missing, NoName, Permissions};
        for (words, error) in [
            (&[][..], Length(0)),
            (&[7, 4, 4], Length(12)),
            (&[7, 4, 4, 0, 1], Length(20)),
            (&[7, 8, 4, 0], Permissions(8)),
            (&[7, 4, 4, 1 << 20], Permissions(u16::MAX)),
            (&[7, 4, 4, 0, 1, 8], Permissions(8)),
            (&[7, 4, 4, 0, NONE, 4], NoName),
            (&[0x80, 4, 4, 0], Missing),
            (&[7, 4, 0x80, 0, 1, 4], Missing),
        ] {
            assert_eq!(Acl::parse_kept(&kept(words), None), Err(error), "{words:?}");
        }
        assert_eq!(Acl::parse_kept(&[0; 18], None), Err(Length(18)));
    }

    #[test]
    fn what_is_no_acl_is_refused() {
        use AclError::{Length, Missing, NoName, Permissions, Tag, Twice, Version};
        let cut = |length| plain(&[])[..length].to_vec();
        for (wrong, error) in [
            (Vec::new(), Length(0)),
            (cut(3), Length(3)),
            (cut(9), Length(9)),
            (cut(27), Length(27)),
            ([&[3], &plain(&[])[1..]].concat(), Version(3)),
            (cut(4), Missing),
            (cut(20), Missing),
            (plain(&[(2, 7, 5)]), Missing),
            (plain(&[(8, 7, 5)]), Missing),
            (plain(&[(0x40, 7, 5)]), Tag(0x40)),
            (plain(&[(3, 7, 5)]), Tag(3)),
            (plain(&[(0x10, 8, NONE)]), Permissions(8)),
            (plain(&[(2, 7, NONE), (0x10, 7, NONE)]), NoName),
            (plain(&[(0x20, 0, NONE)]), Twice),
        ] {
            assert_eq!(Acl::parse(&wrong), Err(error), "{wrong:?}");
        }
    }

    #[test]
    fn a_value_is_written_as_the_kernel_wants_it() {
        let sorted = [
            (1, 6, NONE),
            (2, 5, 3),
            (2, 7, 4),
            (4, 4, NONE),
            (8, 1, 9),
            (0x10, 6, NONE),
            (0x20, 0, NONE),
        ];
        let acl = Acl::parse(&value(&sorted)).unwrap();
        assert_eq!(acl.value(), value(&sorted));
        let mut reversed = sorted;
        reversed.reverse();
        assert_eq!(Acl::parse(&value(&reversed)), Ok(acl));
        assert_eq!(Acl::parse(&plain(&[])).unwrap().value(), plain(&[]));
    }

    #[test]
    fn the_group_bits_of_a_mode_are_the_mask() {
        let acl = Acl::parse(&plain(&[(0x10, 7, NONE)])).unwrap();
        let expected = [(1, 5, NONE), (4, 4, NONE), (0x10, 6, NONE), (0x20, 1, NONE)];
        assert_eq!(acl.clone().with_mode(0o4561).value(), value(&expected));
        assert!(acl.is_like(&acl.clone().with_mode(0)));
        assert_eq!(acl.narrow(0o4764), 0o4744);
        let simple = Acl::parse(&plain(&[])).unwrap();
        let expected = [(1, 5, NONE), (4, 6, NONE), (0x20, 1, NONE)];
        assert_eq!(simple.clone().with_mode(0o561).value(), value(&expected));
        assert_eq!(simple.narrow(0o764), 0o764);
        assert!(!acl.is_like(&simple));
        assert!(simple.is_like(&Acl::default()));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_written_as_it_is_read(
            entries in proptest::collection::vec((0u16..0x24, 0u16..9, 0u32..4), 0..12),
            more in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let bytes = [plain(&entries), more].concat();
            for bytes in [&bytes[..], &bytes[..bytes.len().min(40)]] {
                if let Ok(acl) = Acl::parse(bytes) {
                    prop_assert_eq!(acl.value().len(), bytes.len());
                    prop_assert_eq!(Acl::parse(&acl.value()), Ok(acl));
                }
            }
        }
    }
}
