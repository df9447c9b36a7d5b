// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads the files that filter rules come from.

use super::rule::{Defaults, DirMerge, Parsed, Reading, Rule, Sides, Syntax, parse, split};
use super::{FilterError, Filters, Origin, Reason, Written};
use crate::error::Error;
use crate::io::Io;
use libflexsc::{At, Errno};
use std::pin::Pin;
use std::sync::Arc;

/// How deep files of rules may merge one another.
const DEPTH: usize = 16;

/// The longest file of rules that an argument names, bytes.
const LONGEST: usize = 64 << 20;

/// What CVS leaves out by default: rsync(1), "--cvs-exclude".
const CVS: &[u8] = b"RCS SCCS CVS CVS.adm RCSLOG cvslog.* tags TAGS .make.state .nse_depinfo *~ #* .#* ,* _$* *$ \
    *.old *.bak *.BAK *.orig *.rej .del-* *.a *.olb *.o *.obj *.so *.exe *.Z *.elc *.ln core .svn/ .git/ .hg/ .bzr/";

/// What a rule says, and how it is written.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) parsed: Parsed,
    pub(crate) written: Arc<Written>,
}

impl Part {
    /// All that one text says.
    pub(crate) fn all(
        parsed: Vec<Parsed>,
        text: &[u8],
        origin: Origin,
    ) -> impl Iterator<Item = Self> {
        let rule = text.to_vec();
        let written = Arc::new(Written { rule, origin });
        parsed.into_iter().map(move |parsed| Self {
            parsed,
            written: written.clone(),
        })
    }
}

/// A rule, and how it is written.
pub(crate) type Shown = (Rule, Arc<Written>);

/// One place in a list of rules.
#[derive(Debug)]
pub(crate) enum Item {
    Rule(Shown),
    /// The rules of the per-directory file of this number.
    DirMerge(usize),
}

/// All rules that hold everywhere, and the per-directory files to look for.
#[derive(Debug, Default)]
pub(crate) struct FilterList {
    pub(crate) items: Vec<Item>,
    pub(crate) merges: Vec<DirMerge>,
    /// Rules for names of extended attributes.
    xattrs: Vec<Rule>,
    /// The side of rules that name none.
    both: Option<Sides>,
    from0: bool,
}

/// A rule that could not be read from a file, and where it stands there.
#[derive(Debug)]
pub(crate) struct FromFile {
    pub(crate) line: u32,
    pub(crate) error: FilterError,
}

impl FilterList {
    /// Reads all files that the rules name but the per-directory ones. With `delete_excluded` a rule that names no
    /// side does not protect.
    pub(crate) async fn read(
        io: &Io,
        filters: &Filters,
        delete_excluded: bool,
        from0: bool,
    ) -> Result<Self, Error> {
        let both = Sides {
            sender: true,
            receiver: !delete_excluded,
        };
        let mut list = Self {
            both: Some(both),
            ..Self::default()
        };
        let mut lines = filters.parts.clone();
        let rest = lines.split_off(filters.by_lines.min(lines.len()));
        list.add(io, filters, lines, 0).await?;
        list.from0 = from0;
        list.add(io, filters, rest, 0).await?;
        Ok(list)
    }

    /// Whether there are no rules at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether an extended attribute takes part; none if no rule is about them.
    pub(crate) fn keeps_xattr(&self, name: &[u8], sender: bool) -> Option<bool> {
        let side = |sides: Sides| match sender {
            true => sides.sender,
            false => sides.receiver,
        };
        let counts = |rule: &&Rule| {
            rule.sides.is_none_or(side) && rule.pattern.matches(name, false) != rule.negated
        };
        let found = self.xattrs.iter().find(counts);
        let kept = found.is_none_or(|rule| rule.include);
        (!self.xattrs.is_empty()).then_some(kept)
    }

    /// Whether paths from the root directory on are needed.
    pub(crate) fn is_absolute(&self) -> bool {
        let rule = |item: &Item| matches!(item, Item::Rule((rule, _)) if rule.absolute);
        let merge = |merge: &DirMerge| {
            let Reading {
                syntax, defaults, ..
            } = merge.reading;
            merge.above || defaults.absolute || syntax == Syntax::Rules
        };
        self.items.iter().any(rule) || self.merges.iter().any(merge)
    }

    async fn add(
        &mut self,
        io: &Io,
        filters: &Filters,
        parts: Vec<Part>,
        depth: usize,
    ) -> Result<(), Error> {
        for Part { parsed, written } in parts {
            match parsed {
                Parsed::Rule(rule) => self.push(rule, written),
                Parsed::Clear => {
                    self.items.clear();
                    self.merges.clear();
                    self.xattrs.clear();
                }
                Parsed::Xattr(rule) => self.xattrs.push(self.sided(rule)),
                // As for rsync, a file's rules have one place, that of the first rule that names it.
                Parsed::DirMerge(merge)
                    if self.merges.iter().any(|known| known.name == merge.name) => {}
                Parsed::DirMerge(merge) => {
                    self.items.push(Item::DirMerge(self.merges.len()));
                    self.merges.push(merge);
                }
                Parsed::Cvs(defaults) => self.cvs(io, filters, defaults).await?,
                Parsed::Merge { path, .. } if depth == DEPTH => {
                    let (rule, reason) = (path.clone(), Reason::TooDeep);
                    return Err(Error::FilterFile {
                        path,
                        line: 0,
                        error: FilterError { rule, reason },
                    });
                }
                Parsed::Merge { path, reading } => {
                    let shared: Arc<[u8]> = path.as_slice().into();
                    let name: &[u8] = if path == b"-" { b"/dev/stdin" } else { &path };
                    let data = match io.read_file(At::Cwd, name, 0, LONGEST).await {
                        Ok(data) => data,
                        Err(errno) => return Err(Error::ReadList { path, errno }),
                    };
                    let from = |line| Origin::File {
                        path: shared.clone(),
                        line,
                    };
                    let parts = rules(&data, &reading, self.from0, from).map_err(
                        |FromFile { line, error }| Error::FilterFile { path, line, error },
                    )?;
                    let inner: Pin<Box<dyn Future<Output = _>>> =
                        Box::pin(self.add(io, filters, parts, depth + 1));
                    inner.await?;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, rule: Rule, written: Arc<Written>) {
        self.items.push(Item::Rule((self.sided(rule), written)));
    }

    /// A rule with a side chosen.
    pub(crate) fn sided(&self, rule: Rule) -> Rule {
        Rule {
            sides: rule.sides.or(self.both),
            ..rule
        }
    }

    async fn cvs(&mut self, io: &Io, filters: &Filters, defaults: Defaults) -> Result<(), Error> {
        let mut home = Vec::new();
        if let Some(path) = &filters.cvs_file {
            home = match io.read_file(At::Cwd, path, 0, LONGEST).await {
                Ok(data) => data,
                // As for rsync, it need not be there, nor be one's own home.
                Err(Errno::ENOENT | Errno::EACCES) => Vec::new(),
                Err(errno) => {
                    let path = path.clone();
                    return Err(Error::ReadList { path, errno });
                }
            };
        }
        let before = self.items.len();
        for (words, perishable) in [
            (CVS, true),
            (&home, defaults.perishable),
            (&filters.cvs_words, defaults.perishable),
        ] {
            let reading = Reading {
                words: true,
                defaults: Defaults {
                    perishable,
                    ..defaults
                },
                ..Reading::new(Syntax::Cvs)
            };
            let parts = rules(words, &reading, false, |_| Origin::Cvs);
            // As for rsync, a `!` takes back what these lists themselves have said.
            for Part { parsed, written } in parts.unwrap_or_default() {
                match parsed {
                    Parsed::Rule(rule) => self.push(rule, written),
                    Parsed::Clear => self.items.truncate(before),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The rules of a per-directory file at a path to be shown, and whether they drop those of the directories above.
    pub(crate) fn per_directory(
        &self,
        data: &[u8],
        merge: &DirMerge,
        path: &[u8],
    ) -> Result<(Vec<Shown>, bool), (u32, Reason)> {
        let reading = &merge.reading;
        let path: Arc<[u8]> = path.into();
        let (mut found, mut cleared) = (Vec::new(), false);
        for (line, text) in split(data, reading, self.from0) {
            let parts = parse(&text, reading).map_err(|reason| (line, reason))?;
            let path = path.clone();
            for Part { parsed, written } in Part::all(parts, &text, Origin::File { path, line }) {
                match parsed {
                    Parsed::Rule(rule) => found.push((self.sided(rule), written)),
                    Parsed::Clear => {
                        found.clear();
                        cleared = true;
                    }
                    Parsed::Xattr(_) => return Err((line, Reason::Xattr)),
                    _ => return Err((line, Reason::Nested)),
                }
            }
        }
        Ok((found, cleared))
    }
}

fn rules(
    data: &[u8],
    reading: &Reading,
    from0: bool,
    origin: impl Fn(u32) -> Origin,
) -> Result<Vec<Part>, FromFile> {
    let mut parts = Vec::new();
    for (line, text) in split(data, reading, from0) {
        let error = |reason| FromFile {
            line,
            error: FilterError {
                rule: text.to_vec(),
                reason,
            },
        };
        if text.contains(&0) {
            return Err(error(Reason::Nul));
        }
        let parsed = parse(&text, reading).map_err(error)?;
        parts.extend(Part::all(parsed, &text, origin(line)));
    }
    Ok(parts)
}
