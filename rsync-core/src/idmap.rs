// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which owners and groups files get instead of those of the source: `--usermap`, `--groupmap`, `--chown`.

use crate::filter::Pattern;
use nix::unistd::{Gid, Group, Uid, User};
use std::fmt;

/// A number that stands for no user and no group: `chown(2)` takes it for "as it is".
const NOBODY_AT_ALL: u32 = u32::MAX;

/// A map of users or of groups, the first match of which counts: rsync(1), `--usermap`.
///
/// It is a list of `FROM:TO`, divided by commas. `TO` is a name or a number; `FROM` is a name, a pattern of names, a number, a
/// range of numbers (`LOW-HIGH`), or nothing, which stands for all that have no name. `*` stands for those, too.
///
/// # Examples
///
/// ```
/// use rsync_core::idmap::IdMap;
///
/// let map = IdMap::users("1000-1999:7,build*:root,:8")?;
/// assert_eq!(map.apply(1234, Some("alice")), 7);
/// assert_eq!(map.apply(2000, Some("builder")), 0);
/// assert_eq!(map.apply(2001, None), 8);
/// assert_eq!(map.apply(2002, Some("bob")), 2002);
/// # Ok::<(), rsync_core::idmap::IdMapError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    from: Whom,
    to: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    /// From the first of the numbers to the last.
    Range(u32, u32),
    /// Empty for what has no name.
    Name(String),
    Pattern(Pattern),
    Any,
}

/// Why text is no map.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdMapError {
    /// A part of it has no colon.
    NoColon(String),
    /// A part of it has nothing behind its colon.
    NoTarget(String),
    /// A part of it begins as a number or a range of numbers, and is none.
    BadNumber(String),
    /// There is no user of this name here.
    NoUser(String),
    /// There is no group of this name here.
    NoGroup(String),
}

impl fmt::Display for IdMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, problem) = match self {
            Self::NoColon(text) => (text, "has no colon: write FROM:TO, divided by commas"),
            Self::NoTarget(text) => (
                text,
                "has nothing behind its colon: write a name or a number there",
            ),
            Self::BadNumber(text) => (
                text,
                "is no number: write one below 4294967295, or before the colon a range of them, LOW-HIGH",
            ),
            Self::NoUser(text) => (text, "is no user here: write the name of one, or a number"),
            Self::NoGroup(text) => (text, "is no group here: write the name of one, or a number"),
        };
        write!(f, "\"{}\" {problem}", text.escape_default())
    }
}

impl std::error::Error for IdMapError {}

impl IdMap {
    /// Reads a map of users, whose names are those of this machine.
    ///
    /// # Errors
    ///
    /// [`IdMapError`] if it is none, or if a user that files are to be given to has no number.
    pub fn users(text: &str) -> Result<Self, IdMapError> {
        Self::parse(text, user, IdMapError::NoUser)
    }

    /// As [`users`](Self::users), of groups.
    ///
    /// # Errors
    ///
    /// [`IdMapError`]
    pub fn groups(text: &str) -> Result<Self, IdMapError> {
        Self::parse(text, group, IdMapError::NoGroup)
    }

    fn parse(
        text: &str,
        number: impl Fn(&str) -> Option<u32>,
        unknown: fn(String) -> IdMapError,
    ) -> Result<Self, IdMapError> {
        let rule = |part: &str| {
            let Some((from, to)) = part.split_once(':') else {
                return Err(IdMapError::NoColon(part.to_owned()));
            };
            if to.is_empty() {
                return Err(IdMapError::NoTarget(part.to_owned()));
            }
            let from = Whom::parse(from)?;
            let to = match to.bytes().all(|byte| byte.is_ascii_digit()) {
                true => digits(to).filter(|id| *id != NOBODY_AT_ALL),
                false => Some(number(to).ok_or_else(|| unknown(to.to_owned()))?),
            }
            .ok_or_else(|| IdMapError::BadNumber(to.to_owned()))?;
            Ok(Rule { from, to })
        };
        let rules = text.split(',').map(rule).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the user or group `id`, which may have a name, becomes.
    pub fn apply(&self, id: u32, name: Option<&str>) -> u32 {
        let name = name.unwrap_or_default();
        let rule = self.rules.iter().find(|rule| rule.from.has(id, name));
        rule.map_or(id, |rule| rule.to)
    }
}

impl Whom {
    fn parse(text: &str) -> Result<Self, IdMapError> {
        let bad = || IdMapError::BadNumber(text.to_owned());
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let (low, high) = text.split_once('-').unwrap_or((text, text));
            let (low, high) = (digits(low).ok_or_else(bad)?, digits(high).ok_or_else(bad)?);
            return Ok(Self::Range(low, high));
        }
        if !text.contains(['*', '?', '[']) {
            return Ok(Self::Name(text.to_owned()));
        }
        Ok(match Pattern::new(text.as_bytes()) {
            Some(pattern) if text != "*" => Self::Pattern(pattern),
            _ => Self::Any,
        })
    }

    fn has(&self, id: u32, name: &str) -> bool {
        match self {
            Self::Range(low, high) => (*low..=*high).contains(&id),
            Self::Name(wanted) => wanted == name,
            Self::Pattern(pattern) => pattern.matches(name.as_bytes(), false),
            Self::Any => true,
        }
    }
}

/// A number without a sign.
fn digits(text: &str) -> Option<u32> {
    let plain = text.starts_with(|first: char| first.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn user(name: &str) -> Option<u32> {
    Some(User::from_name(name).ok()??.uid.as_raw())
}

fn group(name: &str) -> Option<u32> {
    Some(Group::from_name(name).ok()??.gid.as_raw())
}

/// The name of a user, if it has one.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    Some(User::from_uid(Uid::from_raw(uid)).ok()??.name)
}

/// The name of a group, if it has one.
pub(crate) fn group_name(gid: u32) -> Option<String> {
    Some(Group::from_gid(Gid::from_raw(gid)).ok()??.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<IdMap, IdMapError> {
        let number = |name: &str| (name == "known").then_some(77);
        IdMap::parse(text, number, IdMapError::NoUser)
    }

    #[test]
    fn the_first_match_counts() {
        let map = read("5-7:1,a?c:2,6:known,:4,abd:5").unwrap();
        for (id, name, expected) in [
            (6, Some("abc"), 1),
            (8, Some("abc"), 2),
            (8, Some("abd"), 5),
            (8, Some("xyz"), 8),
            (8, None, 4),
        ] {
            assert_eq!(map.apply(id, name), expected, "{id} {name:?}");
        }
        assert_eq!(read("*:known").unwrap().apply(0, None), 77);
        assert_eq!(read("?*:known").unwrap().apply(0, None), 0);
        assert_eq!(read("9-1:known").unwrap().apply(5, None), 5);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        use IdMapError::{BadNumber, NoColon, NoTarget, NoUser};
        let name = str::to_owned;
        for (text, error) in [
            ("", NoColon(name(""))),
            ("1:2,", NoColon(name(""))),
            ("a", NoColon(name("a"))),
            ("a:", NoTarget(name("a:"))),
            ("1-:2", BadNumber(name("1-"))),
            ("1-+2:2", BadNumber(name("1-+2"))),
            ("1x:2", BadNumber(name("1x"))),
            ("4294967296:2", BadNumber(name("4294967296"))),
            ("1:4294967295", BadNumber(name("4294967295"))),
            ("1:-2", NoUser(name("-2"))),
            ("1:known:3", NoUser(name("known:3"))),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }
}
