// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which files take part: rsync's filter rules.
//!
//! Rules are tried in order, and the first one whose pattern matches decides. On the sending side an exclude hides a
//! file, so that it is not in the file list; on the receiving side it protects one from deletion.

mod pattern;
mod read;
mod rule;
mod scope;
mod written;

pub use self::{
    pattern::Pattern,
    rule::Reason,
    written::{Origin, Written},
};
pub(crate) use self::{
    read::FilterList,
    scope::{Scope, Side},
};

use self::read::Part;
use self::rule::{Parsed, Reading, Syntax, parse};
use crate::escape::Escaped;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;

/// A list of filter rules, in the order in which they are tried: rsync(1), "FILTER RULES".
///
/// All of rsync's rules and modifiers are understood, with these limits: a per-directory file is given by its name,
/// perhaps with a slash before it, not by a path; it cannot merge other files, and it is not read through a symbolic
/// link. Where a per-directory file is wrong or cannot be read, nothing in its directory is transferred or deleted, and that
/// is a failure, since nobody knows what it was to keep out.
///
/// # Examples
///
/// ```
/// use rsync_core::filter::Filters;
///
/// let mut filters = Filters::new();
/// filters.include("*.rs")?.rule("-p target/")?.rule(": .ignore")?;
/// assert!(filters.rule("hide").is_err());
/// # Ok::<(), rsync_core::filter::FilterError>(())
/// ```
#[derive(Clone, Default)]
pub struct Filters {
    parts: Vec<Part>,
    /// So many of them were there before files began to be divided at NUL bytes.
    by_lines: usize,
    cvs_file: Option<Vec<u8>>,
    cvs_words: Vec<u8>,
}

impl Filters {
    /// No rules: all files take part.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Adds what `--exclude` adds: an exclude, an include if `+ ` stands before the pattern; `!` drops all rules before it.
    ///
    /// # Errors
    ///
    /// [`FilterError`] if there is a sign and no pattern.
    pub fn exclude(&mut self, pattern: impl AsRef<OsStr>) -> Result<&mut Self, FilterError> {
        self.add(
            pattern.as_ref(),
            Reading::new(Syntax::Patterns { include: false }),
            Origin::Exclude,
        )
    }

    /// As [`exclude`](Self::exclude), an include unless `- ` stands before the pattern.
    ///
    /// # Errors
    ///
    /// [`FilterError`] if there is a sign and no pattern.
    pub fn include(&mut self, pattern: impl AsRef<OsStr>) -> Result<&mut Self, FilterError> {
        self.add(
            pattern.as_ref(),
            Reading::new(Syntax::Patterns { include: true }),
            Origin::Include,
        )
    }

    /// Adds a rule as `--filter` takes it, such as `- *.o`, `P,p /cache` or `dir-merge,n .rules`.
    ///
    /// # Errors
    ///
    /// [`FilterError`] if it is none.
    pub fn rule(&mut self, rule: impl AsRef<OsStr>) -> Result<&mut Self, FilterError> {
        self.add(rule.as_ref(), Reading::new(Syntax::Rules), Origin::Rule)
    }

    /// As [`rule`](Self::rule), for a rule that another option stands for.
    pub(crate) fn imply(&mut self, rule: &[u8]) -> Result<&mut Self, FilterError> {
        let (rule, reading) = (OsStr::from_bytes(rule), Reading::new(Syntax::Rules));
        self.add(rule, reading, Origin::Implied)
    }

    /// Adds the patterns in a file, one a line, as [`exclude`](Self::exclude) would each. The file is read when the
    /// synchronisation begins; `-` is the standard input.
    pub fn exclude_from(&mut self, file: impl AsRef<OsStr>) -> &mut Self {
        self.file(file.as_ref(), Syntax::Patterns { include: false })
    }

    /// As [`exclude_from`](Self::exclude_from), with includes.
    pub fn include_from(&mut self, file: impl AsRef<OsStr>) -> &mut Self {
        self.file(file.as_ref(), Syntax::Patterns { include: true })
    }

    /// Has the files that rules have named so far divided at line ends, also with [`from0`](crate::Options::from0): for rsync `-0`
    /// counts for the files that are named behind it.
    pub fn by_lines(&mut self) -> &mut Self {
        self.by_lines = self.parts.len();
        self
    }

    /// Says what CVS excludes (rule `-C`) have beyond the built-in ones: the patterns in `file`, which may be missing, and
    /// `words`, both divided at white space. For rsync these are `$HOME/.cvsignore` and `$CVSIGNORE`.
    pub fn cvs(&mut self, file: Option<&OsStr>, words: &OsStr) -> &mut Self {
        self.cvs_file = file.map(|file| file.as_bytes().to_vec());
        self.cvs_words = words.as_bytes().to_vec();
        self
    }

    fn add(
        &mut self,
        text: &OsStr,
        reading: Reading,
        origin: Origin,
    ) -> Result<&mut Self, FilterError> {
        let text = text.as_bytes();
        let error = |reason| FilterError {
            rule: text.to_vec(),
            reason,
        };
        let parts = parse(text, &reading).map_err(error)?;
        self.parts.extend(Part::all(parts, text, origin));
        Ok(self)
    }

    fn file(&mut self, path: &OsStr, syntax: Syntax) -> &mut Self {
        let path = path.as_bytes();
        let merge = Parsed::Merge {
            path: path.to_vec(),
            reading: Reading::new(syntax),
        };
        self.parts
            .extend(Part::all(vec![merge], path, Origin::Rule));
        self
    }
}

impl fmt::Debug for Filters {
    /// What the rules mean, however they are written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.parts.iter().map(|part| &part.parsed).collect();
        let mut shown = f.debug_struct("Filters");
        shown.field("parts", &parts);
        shown.field("cvs_file", &self.cvs_file);
        shown.field("cvs_words", &self.cvs_words).finish()
    }
}

/// A filter rule that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// The rule as given.
    pub rule: Vec<u8>,
    /// What is wrong with it.
    pub reason: Reason,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is no filter rule: {}",
            Escaped(&self.rule),
            self.reason
        )
    }
}

impl std::error::Error for FilterError {}
