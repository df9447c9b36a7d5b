// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--json`: each event as one JSON object on a line.

use libflexsc::Errno;
use rsync_core::event::{Rule, Skip};
use rsync_core::item::{Differences, Item, Update};
use rsync_core::list::Kind;
use rsync_core::stats::Count;
use rsync_core::{Event, Progress, Stats};
use serde_json::{Map, Value, json};

/// An object that says what kind of event it is.
fn object(event: &str) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("event".into(), event.into());
    object
}

/// Adds bytes that are text in most cases: those that are not UTF-8 are hexadecimal digits under another name.
fn put(object: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(key.into(), text.into()),
        Err(_) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            object.insert(format!("{key}_hex"), digits.into())
        }
    };
}

fn about(event: &str, path: &[u8]) -> Map<String, Value> {
    let mut object = object(event);
    put(&mut object, "path", path);
    object
}

fn with_errno(mut object: Map<String, Value>, errno: Errno) -> Map<String, Value> {
    object.insert("error".into(), errno.to_string().into());
    object
}

fn to_target(event: &str, path: &[u8], target: &[u8]) -> Map<String, Value> {
    let mut object = about(event, path);
    put(&mut object, "target", target);
    object
}

/// What an event is for a program, if it is anything.
pub(crate) fn event(event: &Event<'_>) -> Option<Value> {
    let object = match *event {
        Event::MadeDestination(path) => about("made_destination", path),
        Event::MadePath { path, made } => {
            let mut object = about("made_path", path);
            object.insert("made".into(), made.into());
            object
        }
        Event::RemovedSource(path) => about("removed_source", path),
        Event::Item(item) => self::item(&item),
        Event::LeftAlone {
            path,
            directory,
            rule,
        } => {
            let mut object = about("left_alone", path);
            object.insert("directory".into(), directory.into());
            object.insert("rule".into(), self::rule(rule).into());
            object
        }
        Event::Deleted { path, directory } => {
            let mut object = about("deleted", path);
            object.insert("directory".into(), directory.into());
            object
        }
        Event::NotEmpty(path) => about("not_empty", path),
        Event::Clearing(path) => about("clearing", path),
        Event::BackedUp { path, to } => {
            let mut object = about("backed_up", path);
            put(&mut object, "to", to);
            object
        }
        Event::NoAlternate { path, errno } => with_errno(about("no_alternate", path), errno),
        Event::NotLinked { path, to, errno } => {
            let mut object = about("not_linked", path);
            put(&mut object, "to", to);
            with_errno(object, errno)
        }
        Event::StandIn {
            path,
            basis,
            tree,
            same,
        } => {
            let mut object = about("stand_in", path);
            put(&mut object, "basis", basis);
            if let Some(tree) = tree {
                put(&mut object, "tree", tree);
            }
            object.insert("same".into(), same.into());
            object
        }
        Event::Cleaned(path) => about("cleaned", path),
        Event::Missing(path) => about("missing", path),
        Event::UnsafeLink { path, target } => to_target("unsafe_link", path, target),
        Event::UnsafeLinkFollowed { path, target } => {
            to_target("unsafe_link_followed", path, target)
        }
        Event::Skipped { path, reason } => {
            let mut object = about("skipped", path);
            object.insert("reason".into(), self::reason(reason).into());
            object
        }
        Event::Failed(failure) => {
            let mut object = about("failed", &failure.path);
            object.insert("message".into(), failure.to_string().into());
            object.insert("vanished".into(), failure.is_vanished().into());
            object
        }
        Event::DeletionSuppressed => object("deletion_suppressed"),
        Event::Progress(progress) => self::progress(progress),
        _ => return None,
    };
    Some(object.into())
}

fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::Missing => "existing",
        Rule::Exists => "ignore-existing",
        Rule::TooLong => "max-size",
        Rule::TooShort => "min-size",
        Rule::Newer => "update",
        _ => "other",
    }
}

fn reason(reason: Skip) -> &'static str {
    match reason {
        Skip::NonRegular => "non_regular",
        Skip::Directory => "directory",
        Skip::Destination => "destination",
        _ => "other",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Regular => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
        Kind::CharDevice => "char_device",
        Kind::BlockDevice => "block_device",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
        Kind::Other => "other",
    }
}

fn item(item: &Item<'_>) -> Map<String, Value> {
    let mut object = about("item", item.path);
    let update = match item.update {
        Update::Transferred => "transferred",
        Update::Made => "made",
        Update::Linked => "linked",
        Update::Kept => "kept",
    };
    let attributes = &item.attributes;
    let fields = [
        ("update", json!(update)),
        ("itemized", json!(item.to_string())),
        ("differences", json!(differences(&item.differences))),
        ("kind", json!(kind(attributes.kind))),
        ("size", json!(attributes.size)),
        ("mode", json!(attributes.mode)),
        ("uid", json!(attributes.uid)),
        ("gid", json!(attributes.gid)),
        ("mtime", json!(attributes.mtime.0)),
        ("mtime_nsec", json!(attributes.mtime.1)),
        ("sent", json!(item.sent)),
        ("received", json!(item.received)),
    ];
    for (key, value) in fields {
        object.insert(key.into(), value);
    }
    for (key, bytes) in [("target", item.target), ("hard_link", item.hard_link)] {
        if !bytes.is_empty() {
            put(&mut object, key, bytes);
        }
    }
    if let Some(digest) = item.digest {
        object.insert("digest".into(), digest.to_string().into());
    }
    object
}

/// In what a file differed, the names of [`Differences`].
pub(crate) fn differences(differences: &Differences) -> Vec<&'static str> {
    let all = [
        ("new", differences.new),
        ("contents", differences.contents),
        ("size", differences.size),
        ("time", differences.time),
        ("time_of_transfer", differences.time_of_transfer),
        ("mode", differences.mode),
        ("owner", differences.owner),
        ("group", differences.group),
        ("access_time", differences.access_time),
        ("acl", differences.acl),
        ("xattrs", differences.xattrs),
    ];
    let differing = all.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(name, _)| name).collect()
}

fn progress(progress: Progress) -> Map<String, Value> {
    let mut object = object("progress");
    let fields = [
        ("files", json!(progress.files)),
        ("bytes", json!(progress.bytes)),
        ("complete", json!(progress.complete)),
        ("checked", json!(progress.checked)),
        ("kept", json!(progress.kept)),
        ("moved", json!(progress.moved)),
    ];
    for (key, value) in fields {
        object.insert(key.into(), value);
    }
    object
}

fn count(count: &Count) -> Value {
    json!({
        "files": count.regular,
        "directories": count.directories,
        "symlinks": count.links,
        "devices": count.devices,
        "specials": count.special,
    })
}

/// The last object: what all came to.
pub(crate) fn end(stats: &Stats, status: u8) -> Value {
    json!({
        "event": "end",
        "exit_status": status,
        "listed": count(&stats.files),
        "created": count(&stats.created),
        "deleted": count(&stats.deleted),
        "transferred": stats.transferred,
        "total_size": stats.total_size,
        "transferred_size": stats.transferred_size,
        "literal": stats.matching.literal,
        "matched": stats.matching.matched,
        "sent": stats.sent,
        "received": stats.received,
        "failures": stats.failures,
        "vanished": stats.vanished,
    })
}

/// The last object of a run of which nothing came.
pub(crate) fn refused(message: &str, status: u8) -> Value {
    json!({ "event": "end", "exit_status": status, "message": message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_text_are_hexadecimal() {
        let text = event(&Event::Cleaned("\u{e4}\n\"".as_bytes())).unwrap();
        assert_eq!(text.to_string(), r#"{"event":"cleaned","path":"ä\n\""}"#);
        let bytes = event(&Event::Cleaned(b"a\xff")).unwrap();
        assert_eq!(
            bytes.to_string(),
            r#"{"event":"cleaned","path_hex":"61ff"}"#
        );
    }
}
