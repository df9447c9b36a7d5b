// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--debug`: rsync's categories, of which this has one.

use crate::refused;
use rsync_core::escape::Escaped;
use rsync_core::search::Search;
use rsync_core::stats::Stats;

/// The category that there is.
const DELTASUM: &str = "deltasum";

/// rsync's others.
const OTHERS: [&str; 24] = [
    "acl", "all", "backup", "bind", "chdir", "connect", "cmd", "del", "dup", "exit", "filter",
    "flist", "fuzzy", "genr", "hash", "hlink", "iconv", "io", "nstr", "own", "proto", "recv",
    "send", "time",
];

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Debug {
    /// Of the delta algorithm: 1 its figures, 2 what was found in each file, 3 each block's checksum.
    pub(crate) deltasum: u8,
}

/// Why categories were refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// rsync does not know it.
    Unknown(String),
    /// rsync knows it.
    Unsupported(String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(name) => write!(
                f,
                "--debug knows no \"{name}\": use {DELTASUM}, perhaps with a level from 0 to 4, or none"
            ),
            Self::Unsupported(name) => f.write_str(&refused::sentence(&format!("--debug={name}"))),
        }
    }
}

impl Debug {
    /// Takes in names with commas between them, each perhaps with a level: `deltasum2`.
    pub(crate) fn add(&mut self, names: &str) -> Result<(), Refused> {
        for given in names.split(',').filter(|name| !name.is_empty()) {
            let name = given.trim_end_matches(|char: char| char.is_ascii_digit());
            let level = &given[name.len()..];
            let level = if level.is_empty() {
                1
            } else {
                // More than there is means all that there is.
                level.parse().unwrap_or(u8::MAX)
            };
            match name.to_ascii_lowercase().as_str() {
                DELTASUM => self.deltasum = level,
                "none" => *self = Self::default(),
                name if OTHERS.contains(&name) && level > 0 => {
                    return Err(Refused::Unsupported(given.to_owned()));
                }
                name if OTHERS.contains(&name) => {}
                _ => return Err(Refused::Unknown(given.to_owned())),
            }
        }
        Ok(())
    }

    /// The lines about a file's search, as rsync has them.
    pub(crate) fn search(self, search: &Search<'_>) -> Vec<String> {
        if self.deltasum < 2 {
            return Vec::new();
        }
        let (layout, size) = (search.signature.layout(), search.size);
        let length = layout.length();
        let mut lines = vec![
            format!(
                "calling match_sums {}",
                Escaped(search.path.strip_prefix(b"./").unwrap_or(search.path))
            ),
            format!(
                "count={} rem={} blength={length} s2length={} flength={}",
                layout.count(),
                layout.remainder(),
                layout.strong_length(),
                layout.size()
            ),
        ];
        if self.deltasum > 2 {
            lines.extend((0..layout.count()).filter_map(|block| {
                let range = layout.range(block, 1)?;
                let sum = search.signature.rolling(block)?;
                let (offset, length) = (range.start, range.end - range.start);
                Some(format!(
                    "chunk[{block}] offset={offset} len={length} sum1={sum:08x}"
                ))
            }));
        }
        lines.push(format!("hash search b={length} len={size}"));
        lines.extend(search.matches.iter().map(|found| {
            format!(
                "match at {} last_match={} j={} len={} n={}",
                found.at,
                found.last,
                found.block,
                found.length,
                found.literal()
            )
        }));
        let stats = search.stats;
        lines.push(format!(
            "false_alarms={} hash_hits={} matches={}",
            stats.false_alarms, stats.hash_hits, stats.matches
        ));
        lines
    }

    /// The line about all files, if it is wanted.
    pub(crate) fn total(self, stats: &Stats) -> Option<String> {
        let stats = &stats.matching;
        (self.deltasum > 0).then(|| {
            format!(
                "total: matches={}  hash_hits={}  false_alarms={} data={}",
                stats.matches, stats.hash_hits, stats.false_alarms, stats.literal
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debug(names: &str) -> Result<u8, Refused> {
        let mut debug = Debug::default();
        debug.add(names).map(|()| debug.deltasum)
    }

    #[test]
    fn levels_follow_the_names() {
        assert_eq!(debug("deltasum"), Ok(1));
        assert_eq!(debug("DELTASUM3"), Ok(3));
        assert_eq!(debug("deltasum2,acl0"), Ok(2));
        assert_eq!(debug("deltasum2,none"), Ok(0));
        assert_eq!(debug(",deltasum,"), Ok(1));
        assert_eq!(debug("deltasum999"), Ok(u8::MAX));
    }

    #[test]
    fn what_is_not_there_is_refused() {
        for (names, refused) in [
            ("flist2", Refused::Unsupported("flist2".into())),
            ("deltasum,ALL", Refused::Unsupported("ALL".into())),
            ("delta", Refused::Unknown("delta".into())),
            ("deltasum=2", Refused::Unknown("deltasum=2".into())),
        ] {
            assert_eq!(debug(names), Err(refused), "{names}");
        }
    }
}
