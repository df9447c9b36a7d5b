// SPDX-License-Identifier: MIT OR Apache-2.0

//! A line for each file: `--out-format` and `--itemize-changes`.

use crate::shown::{Permissions, now, time};
use rsync_core::escape::Escaped;
use rsync_core::item::{Item, Update};
use rsync_core::list::{Attributes, Kind};
use rsync_core::strong::Algorithm;
use std::ffi::OsStr;

/// A line as text and what stands for something of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pieces: Vec<Piece>,
    /// The checksum that is shown.
    checksum: Option<Algorithm>,
    /// Whether owners and groups are kept. rsync sends no others, and so cannot show them.
    owners: bool,
    groups: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

/// What a percent sign begins: `%-10'l`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    letter: char,
    left: bool,
    width: usize,
    /// How many apostrophes: numbers in groups of digits, or with units.
    human: u8,
}

/// The letters that are known.
const LETTERS: &str = "bBcCfGilLmMnoptU";

impl Default for Format {
    /// What `-v` shows.
    fn default() -> Self {
        let field = |letter| {
            Piece::Field(Field {
                letter,
                left: false,
                width: 0,
                human: 0,
            })
        };
        Self::new(vec![field('n'), field('L')])
    }
}

impl Format {
    /// What `-i` shows.
    pub(crate) fn itemized() -> Self {
        Self::parse(OsStr::new("%i %n%L")).unwrap_or_default()
    }

    fn new(pieces: Vec<Piece>) -> Self {
        Self {
            pieces,
            checksum: Some(Algorithm::default()),
            owners: true,
            groups: true,
        }
    }

    /// Says which checksum is shown. None leaves the place of a single byte, as rsync does.
    pub(crate) fn set_checksum(&mut self, algorithm: Option<Algorithm>) {
        self.checksum = algorithm;
    }

    /// Says whether owners and groups are shown: for rsync, others are 0 and `DEFAULT`.
    pub(crate) fn set_owners(&mut self, owners: bool, groups: bool) {
        self.owners = owners;
        self.groups = groups;
    }

    /// Reads a format.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        let text = text
            .to_str()
            .ok_or("the format is not UTF-8: write it as text")?;
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            plain += &rest[..at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                plain.push('%');
                rest = after;
                continue;
            }
            let (field, after) = Field::parse(rest)?;
            rest = after;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Field(field));
        }
        plain += rest;
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self::new(pieces))
    }

    fn has(&self, letter: char) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Field(field) if field.letter == letter))
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether a line says what was done.
    pub(crate) fn itemizes(&self) -> bool {
        self.has('i')
    }

    /// Whether deletions are shown in this format, too.
    pub(crate) fn tells_deletions(&self) -> bool {
        self.has('i') || self.has('o')
    }

    /// Whether checksums of transferred files are needed.
    pub(crate) fn needs_digests(&self) -> bool {
        self.has('C')
    }

    /// Whether paths in the source are needed.
    pub(crate) fn needs_origins(&self) -> bool {
        self.has('f')
    }

    /// The line for a file.
    pub(crate) fn item(&self, item: &Item<'_>) -> String {
        self.line(&Subject::Item(item))
    }

    /// The line for a deletion.
    pub(crate) fn deletion(&self, path: &[u8], directory: bool) -> String {
        self.line(&Subject::Deleted { path, directory })
    }

    fn line(&self, subject: &Subject<'_>) -> String {
        let mut line = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => line += text,
                Piece::Field(field) => {
                    let text = field.text(subject, self);
                    // As for rsync, names count by their bytes, whatever is shown of them.
                    let length = field.length(subject).unwrap_or(text.len());
                    let fill = " ".repeat(field.width.saturating_sub(length));
                    line += &match field.left {
                        true => text + &fill,
                        false => fill + &text,
                    };
                }
            }
        }
        line
    }
}

impl Field {
    /// Reads a field behind its percent sign; what follows it comes back.
    fn parse(text: &str) -> Result<(Self, &str), String> {
        let is_quote = |c: char| c == '\'';
        let rest = text.trim_start_matches(is_quote);
        let before = text.len() - rest.len();
        let (left, rest) = match rest.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let (width, rest) = rest.split_at(rest.len() - digits.len());
        let after = rest.len() - rest.trim_start_matches(is_quote).len();
        let rest = &rest[after..];
        let width = match width {
            "" => 0,
            // Nobody's terminal is wider.
            width => width.parse::<usize>().unwrap_or(usize::MAX).min(1000),
        };
        let letter = rest.chars().next().unwrap_or(' ');
        if !LETTERS.contains(letter) {
            return Err(format!(
                "\"%{letter}\" is not supported in a format: use %% for a percent sign, or one of %{}",
                LETTERS
                    .chars()
                    .map(String::from)
                    .collect::<Vec<_>>()
                    .join(" %")
            ));
        }
        let field = Self {
            letter,
            left,
            width,
            human: (before + after).min(3) as u8,
        };
        Ok((field, &rest[letter.len_utf8()..]))
    }

    /// The bytes of a name.
    fn length(&self, subject: &Subject<'_>) -> Option<usize> {
        let (path, directory) = subject.path();
        match self.letter {
            'n' if path.is_empty() => Some(2),
            'n' => Some(path.len() + usize::from(directory)),
            _ => None,
        }
    }

    fn text(&self, subject: &Subject<'_>, format: &Format) -> String {
        let attributes = subject.attributes();
        match self.letter {
            'i' => subject.itemized(),
            'n' => subject.name(),
            'f' => subject.full_name(),
            'L' => subject.link(),
            'o' => subject.operation().to_owned(),
            'l' => self.number(attributes.map_or(0, |attributes| attributes.size)),
            'b' => self.number(subject.item().map_or(0, |item| item.sent)),
            'c' => self.number(subject.item().map_or(0, |item| item.received)),
            'C' => subject.checksum(format.checksum),
            'M' => time(attributes.map_or(0, |attributes| attributes.mtime.0), '-'),
            't' => time(now(), ' '),
            'B' => attributes.map_or_else(
                || "---------".to_owned(),
                |attributes| Permissions(attributes.mode).to_string(),
            ),
            'U' => attributes
                .filter(|_| format.owners)
                .map_or(0, |attributes| attributes.uid)
                .to_string(),
            'G' if !format.groups => "DEFAULT".to_owned(),
            'G' => attributes
                .map_or(0, |attributes| attributes.gid)
                .to_string(),
            'p' => std::process::id().to_string(),
            // %m, the module of a daemon, of which there is none.
            _ => String::new(),
        }
    }

    fn number(&self, number: u64) -> String {
        crate::shown::number(number, self.human)
    }
}

/// What a line is about.
enum Subject<'a> {
    Item(&'a Item<'a>),
    Deleted { path: &'a [u8], directory: bool },
}

impl Subject<'_> {
    fn item(&self) -> Option<&Item<'_>> {
        match self {
            Self::Item(item) => Some(item),
            Self::Deleted { .. } => None,
        }
    }

    fn attributes(&self) -> Option<&Attributes> {
        self.item().map(|item| &item.attributes)
    }

    fn itemized(&self) -> String {
        self.item()
            .map_or_else(|| "*deleting  ".to_owned(), Item::to_string)
    }

    fn operation(&self) -> &'static str {
        match self {
            Self::Item(_) => "send",
            Self::Deleted { .. } => "del.",
        }
    }

    fn path(&self) -> (&[u8], bool) {
        match *self {
            Self::Item(item) => (item.path, item.attributes.kind == Kind::Directory),
            Self::Deleted { path, directory } => (path, directory),
        }
    }

    fn name(&self) -> String {
        match self.path() {
            (b"", _) => "./".to_owned(),
            (path, true) => format!("{}/", Escaped(path)),
            (path, false) => Escaped(path).to_string(),
        }
    }

    /// The path in the source, which rsync shows without what says where it begins.
    fn full_name(&self) -> String {
        let path = match *self {
            Self::Item(item) => item.origin.unwrap_or(item.path),
            Self::Deleted { path, .. } => path,
        };
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let path = path.strip_prefix(b"./").unwrap_or(path);
        let path = match path.strip_suffix(b"/.") {
            Some(path) => path,
            None => path.strip_suffix(b"/").unwrap_or(path),
        };
        match self.item() {
            Some(item) if item.path.is_empty() && path != b"." => format!("{}/.", Escaped(path)),
            _ => Escaped(path).to_string(),
        }
    }

    fn link(&self) -> String {
        match self.item() {
            Some(item) if !item.hard_link.is_empty() => {
                format!(" => {}", Escaped(item.hard_link))
            }
            Some(item) if item.attributes.kind == Kind::Symlink && !item.target.is_empty() => {
                format!(" -> {}", Escaped(item.target))
            }
            _ => String::new(),
        }
    }

    fn checksum(&self, algorithm: Option<Algorithm>) -> String {
        let Some(algorithm) = algorithm else {
            return "  ".to_owned();
        };
        let (item, digits) = (self.item(), 2 * algorithm.length());
        match item.and_then(|item| item.digest) {
            Some(digest) => digest.to_string(),
            // What would have been transferred was not summed up.
            None if item.is_some_and(|item| item.update == Update::Transferred) => {
                "0".repeat(digits)
            }
            None => " ".repeat(digits),
        }
    }
}

/// Whether anything is to be told of files that are as they should be.
pub(crate) fn wants_unchanged(format: Option<&Format>, itemized: u8, names: u8) -> bool {
    names > 1 || itemized > 1 && format.is_some_and(Format::itemizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    fn deleted(format: &str) -> String {
        let format = Format::parse(OsStr::new(format)).unwrap();
        format.deletion(b"a\n", false)
    }

    #[test]
    fn a_format_is_text_and_fields() {
        assert_eq!(deleted("%i %n%L|%%|%o"), "*deleting   a\\#012|%|del.");
        assert_eq!(deleted("%10o|%-10o|%2o"), "      del.|del.      |del.");
        assert_eq!(deleted("%l %'l %''l %5'l|%B%m"), "0 0 0     0|---------");
        assert_eq!(deleted("%'-5l|%''5l|"), "0    |    0|");
        assert_eq!(deleted("100"), "100");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [
            "%q",
            "%",
            "a%",
            "%10",
            "%-",
            "%-'5l",
            "%h",
            "%P",
            "\u{e4}%\u{e4}",
        ] {
            assert!(Format::parse(OsStr::new(wrong)).is_err(), "{wrong}");
        }
        assert!(Format::parse(OsStr::from_bytes(b"\xff")).is_err());
    }
}
