// SPDX-License-Identifier: MIT OR Apache-2.0
//! Call, lane, outcome: what a differential run has seen, and what it still owes.

use std::collections::{BTreeMap, BTreeSet};

use crate::calls::{ROWS, Row};
use crate::client::Lane;
use crate::normal::errno_name;
use crate::world::Way;

#[derive(Debug, Default)]
struct Seen {
    successes: u64,
    errnos: BTreeMap<i32, u64>,
}

/// The tally.
#[derive(Debug, Default)]
pub struct Matrix {
    cells: BTreeMap<(u16, Lane), Seen>,
    reached: BTreeMap<(u16, Way), BTreeSet<i32>>,
    handed_back: BTreeMap<(u16, String), u64>,
}

impl Matrix {
    /// Notes one executed entry; `result` is its result or `-errno`.
    pub fn add(&mut self, nr: u16, way: Way, lane: Lane, result: i64) {
        let errno = if (-4095..0).contains(&result) {
            -result as i32
        } else {
            0
        };
        let seen = self.cells.entry((nr, lane)).or_default();
        if errno == 0 {
            seen.successes += 1;
        } else {
            *seen.errnos.entry(errno).or_default() += 1;
        }
        if lane != Lane::HandedBack {
            self.reached.entry((nr, way)).or_default().insert(errno);
        }
    }

    /// Notes an entry that was handed back, and why it may have been.
    pub fn add_handed_back(&mut self, nr: u16, reason: &str) {
        *self
            .handed_back
            .entry((nr, reason.to_string()))
            .or_default() += 1;
    }

    /// The matrix as text, one line per call and lane.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec!["# call             lane  success  errnos".to_string()];
        for row in ROWS.iter() {
            for ((_, lane), seen) in self
                .cells
                .range((row.nr, Lane::Worker)..=(row.nr, Lane::Fake))
            {
                let errnos: Vec<_> = seen
                    .errnos
                    .iter()
                    .map(|(errno, count)| format!("{} {count}", errno_name(*errno)))
                    .collect();
                lines.push(format!(
                    "# {:<16} {:<5} {:>7}  {}",
                    row.name,
                    lane.letter(),
                    seen.successes,
                    errnos.join(", ")
                ));
            }
        }
        for ((nr, reason), count) in &self.handed_back {
            lines.push(format!(
                "# {:<16} handed back {count}: {reason}",
                crate::calls::name(*nr)
            ));
        }
        lines
    }

    /// What `row` still owes, given whether the mounts were there; empty when nothing.
    pub fn debts(&self, row: &Row, mounts: bool, fake: bool) -> Vec<String> {
        let mut debts = Vec::new();
        for way in [Way::Lanes, Way::Caller] {
            let none = BTreeSet::new();
            let reached = self.reached.get(&(row.nr, way)).unwrap_or(&none);
            let mounted = if mounts { row.mounted } else { &[] };
            if row.succeeds && !reached.contains(&0) {
                debts.push(format!("no success by {}", way.name()));
            }
            for errno in row.errnos.iter().chain(mounted) {
                if !reached.contains(errno) {
                    debts.push(format!("no {} by {}", errno_name(*errno), way.name()));
                }
            }
        }
        for reason in row.handed_back {
            let key = (row.nr, (*reason).to_string());
            if !fake && !self.handed_back.contains_key(&key) {
                debts.push(format!("never handed back: {reason}"));
            }
        }
        if !fake && row.succeeds {
            let lanes = if row.worker {
                Lane::Worker
            } else {
                Lane::Thread
            };
            for lane in [lanes, Lane::Caller] {
                let success = self
                    .cells
                    .get(&(row.nr, lane))
                    .is_some_and(|seen| seen.successes > 0);
                if !success {
                    debts.push(format!("no success in lane {}", lane.letter()));
                }
            }
        }
        debts
    }
}
