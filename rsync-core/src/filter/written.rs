// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rules as somebody has written them, to be shown.

use crate::escape::Escaped;
use std::fmt;
use std::sync::Arc;

/// A filter rule as it was written, and where.
///
/// Its [`Display`](fmt::Display) says both in rsync's terms: `--exclude=*.o`, or `"- *.o" in line 3 of rules`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The rule, or the pattern alone where that is a rule.
    pub rule: Vec<u8>,
    /// Where it was.
    pub origin: Origin,
}

/// Where a filter rule was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// In [`Filters::exclude`](super::Filters::exclude).
    Exclude,
    /// In [`Filters::include`](super::Filters::include).
    Include,
    /// In [`Filters::rule`](super::Filters::rule).
    Rule,
    /// It is one of those of CVS.
    Cvs,
    /// Another option stands for it.
    Implied,
    /// In a file.
    File {
        /// Its path: of a per-directory file below the destination, or from the root directory on.
        path: Arc<[u8]>,
        /// The line, from 1 on.
        line: u32,
    },
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = Escaped(&self.rule);
        match &self.origin {
            Origin::Exclude => write!(f, "--exclude={rule}"),
            Origin::Include => write!(f, "--include={rule}"),
            Origin::Rule => write!(f, "--filter={rule}"),
            Origin::Cvs => write!(f, "\"{rule}\" of --cvs-exclude"),
            Origin::Implied => write!(f, "\"{rule}\", which another option stands for"),
            Origin::File { path, line } => {
                write!(f, "\"{rule}\" in line {line} of {}", Escaped(path))
            }
        }
    }
}
