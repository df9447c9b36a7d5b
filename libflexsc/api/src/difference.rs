// SPDX-License-Identifier: MIT OR Apache-2.0
//! How two lists differ.

use std::{collections::BTreeMap, fmt};

/// What one list has and the other has not. An item that has changed is gone, and a new one is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Items of the first list alone.
    pub gone: Vec<String>,
    /// Items of the second list alone.
    pub new: Vec<String>,
}

impl Difference {
    /// How `new` differs from `old`, both with an item a line. The order of the items does not count, how
    /// often there is one does.
    pub fn between(old: &str, new: &str) -> Self {
        let mut counts = BTreeMap::<&str, isize>::new();
        for line in old.lines() {
            *counts.entry(line).or_default() -= 1;
        }
        for line in new.lines() {
            *counts.entry(line).or_default() += 1;
        }
        let those = |wanted: fn(isize) -> bool| {
            let lines = counts.iter().filter(|&(_, &count)| wanted(count));
            lines.map(|(&line, _)| line.to_owned()).collect()
        };
        Self {
            gone: those(|count| count < 0),
            new: those(|count| count > 0),
        }
    }

    /// Whether the lists are the same.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }
}

/// The items, those that are gone with a `-`, the new ones with a `+`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.gone {
            writeln!(f, "  - {line}")?;
        }
        for line in &self.new {
            writeln!(f, "  + {line}")?;
        }
        Ok(())
    }
}
