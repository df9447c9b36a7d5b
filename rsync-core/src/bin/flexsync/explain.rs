// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--explain`: why a file would be transferred, or would not be.

use crate::json::differences;
use rsync_core::event::{Rule, Skip};
use rsync_core::item::{Item, Update};
use rsync_core::list::Kind;
use rsync_core::{Event, Options};

/// Looks for what a dry run tells of one file.
pub(crate) struct Explainer {
    /// Its path in the transfer, or in the source.
    path: Vec<u8>,
    checksum: bool,
    size_only: bool,
    ignore_times: bool,
    found: Vec<String>,
}

/// Has a run tell all that can be told of a file, and change nothing.
pub(crate) fn prepare(options: &mut Options) {
    options.dry_run = true;
    options.unchanged = true;
    options.origins = true;
    options.hidden = true;
}

fn trim(path: &[u8]) -> &[u8] {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    path.strip_suffix(b"/").unwrap_or(path)
}

impl Explainer {
    pub(crate) fn new(path: &[u8], options: &Options) -> Self {
        Self {
            path: trim(path).to_vec(),
            checksum: options.checksum,
            size_only: options.size_only,
            ignore_times: options.ignore_times,
            found: Vec::new(),
        }
    }

    fn is(&self, path: &[u8]) -> bool {
        trim(path) == self.path
    }

    /// Whether a file is this one or a directory around it.
    fn is_around(&self, path: &[u8]) -> bool {
        let rest = self.path.strip_prefix(trim(path));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    /// Takes in what happens.
    pub(crate) fn event(&mut self, event: &Event<'_>) {
        let found = match *event {
            Event::Item(item)
                if self.is(item.path) || item.origin.is_some_and(|at| self.is(at)) =>
            {
                self.item(&item)
            }
            Event::LeftAlone { path, rule, .. } if self.is(path) => left_alone(rule).to_owned(),
            Event::Skipped { path, reason } if self.is_around(path) => skipped(reason).to_owned(),
            Event::UnsafeLink { path, .. } if self.is(path) => {
                "left out: it is a symbolic link that leads out of the transfer (--safe-links)"
                    .to_owned()
            }
            Event::Deleted { path, .. } if self.is(path) => {
                "deleted: the source does not have it".to_owned()
            }
            Event::Hidden {
                path,
                directory,
                rule,
            } if self.is_around(path) => {
                let what = if self.is(path) {
                    "it"
                } else {
                    "a directory above it"
                };
                let slash = if directory { "/" } else { "" };
                let path = rsync_core::escape::Escaped(path);
                format!("left out: a filter rule hides {what}, {path}{slash}: {rule}")
            }
            Event::Failed(failure) if failure.path.ends_with(&self.path) => {
                format!("not dealt with: {failure}")
            }
            _ => return,
        };
        self.found.push(found);
    }

    fn item(&self, item: &Item<'_>) -> String {
        let differences = &item.differences;
        let names = differences_in_words(item);
        match item.update {
            Update::Transferred if differences.new => {
                "transferred: the destination does not have it".to_owned()
            }
            Update::Transferred if !names.is_empty() => format!("transferred: {names}"),
            Update::Transferred if self.ignore_times => {
                "transferred, although size and time agree (--ignore-times)".to_owned()
            }
            Update::Transferred => "transferred: its contents differ".to_owned(),
            Update::Made if differences.new => "made: the destination does not have it".to_owned(),
            Update::Made => format!("made anew: {names}"),
            Update::Linked => "made a link to another file, which is the same".to_owned(),
            Update::Kept if differences.is_empty() => {
                let same = match item.attributes.kind {
                    Kind::Regular if self.checksum => "its checksum and attributes agree",
                    Kind::Regular if self.size_only => {
                        "its size and attributes agree (--size-only)"
                    }
                    Kind::Regular => "its size, time and other attributes agree",
                    _ => "it is as it should be",
                };
                format!("left as it is: {same}")
            }
            Update::Kept => format!("given other attributes, and not transferred: {names}"),
        }
    }

    /// What is to be said in the end.
    pub(crate) fn finish(self) -> Vec<String> {
        if self.found.is_empty() {
            return vec![
                "not touched: it is not among the files of the source, and not deleted".to_owned(),
            ];
        }
        self.found
    }
}

fn differences_in_words(item: &Item<'_>) -> String {
    let words = differences(&item.differences)
        .into_iter()
        .map(|name| match name {
            "contents" => "its contents differ",
            "size" => "its size differs",
            "time" => "its time of modification differs",
            "time_of_transfer" => "times are not kept (--times)",
            "mode" => "its permissions differ",
            "owner" => "its owner differs",
            "group" => "its group differs",
            "access_time" => "its time of last access differs",
            "acl" => "its ACL differs",
            "xattrs" => "its extended attributes differ",
            other => other,
        });
    words.collect::<Vec<_>>().join(", ")
}

fn left_alone(rule: Rule) -> &'static str {
    match rule {
        Rule::Missing => "left out: the destination does not have it (--existing)",
        Rule::Exists => "left alone: the destination has it (--ignore-existing)",
        Rule::TooLong => "left alone: it is longer than --max-size",
        Rule::TooShort => "left alone: it is shorter than --min-size",
        Rule::Newer => "left alone: what the destination has is newer (--update)",
        _ => "left alone, for an option",
    }
}

fn skipped(reason: Skip) -> &'static str {
    match reason {
        Skip::NonRegular => {
            "left out: files of its kind are not copied (--links, --devices, --specials)"
        }
        Skip::Directory => "left out: directories are not descended into (--recursive, --dirs)",
        Skip::Destination => "left out: it is the destination",
        _ => "left out",
    }
}
