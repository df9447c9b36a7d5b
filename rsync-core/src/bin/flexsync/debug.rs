// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--debug=deltasum`: what the delta algorithm finds, `--debug=fuzzy`: what stands in for missing files, and `--debug=del`.

use rsync_core::escape::Escaped;
use rsync_core::search::Search;
use rsync_core::stats::Stats;

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Debug {
    /// Of the delta algorithm: 1 its figures, 2 what was found in each file, 3 each block's checksum.
    pub(crate) deltasum: u8,
    /// Of what stands in for missing files: 1 which, 2 why.
    pub(crate) fuzzy: u8,
    /// Whether it is told in which directories something is deleted.
    pub(crate) del: u8,
}

impl Debug {
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

    /// The lines about a file that stands in for a missing one, as rsync has them: its distances are left out.
    pub(crate) fn stand_in(
        self,
        path: &[u8],
        basis: &[u8],
        tree: Option<&[u8]>,
        same: bool,
    ) -> Vec<String> {
        let tree = tree.map(|tree| [tree, b"/"].concat()).unwrap_or_default();
        let basis = [&tree, basis].concat();
        let mut lines = Vec::new();
        if self.fuzzy > 1 && same {
            lines.push(format!("fuzzy size/modtime match for {}", Escaped(&basis)));
        }
        if self.fuzzy > 0 {
            let path = Escaped(path);
            lines.push(format!(
                "fuzzy basis selected for {path}: {}",
                Escaped(&basis)
            ));
        }
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
