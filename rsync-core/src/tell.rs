// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the receiving side tells the observer about files.

use crate::event::Event;
use crate::item::{Differences, Item, Update};
use crate::list::{Attributes, DirList, Entry, FileId, Kind};
use crate::message::ToSender;
use crate::side::Side;
use crate::strong::Digest;
use crate::target::Target;
use crate::update::is_new;
use crate::xattrs::Unlike;
use std::borrow::Cow;

/// What went to and fro for a file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    /// Bytes of tokens.
    pub(crate) sent: u64,
    /// Bytes of signatures.
    pub(crate) received: u64,
    /// The checksum of its contents.
    pub(crate) digest: Option<Digest>,
}

/// A path of the transfer as it is shown.
fn shown(path: &[u8], absolute: bool) -> Cow<'_, [u8]> {
    match absolute {
        true => Cow::Owned([b"/", path].concat()),
        false => Cow::Borrowed(path),
    }
}

/// What was done about an entry.
#[derive(Clone, Copy, Debug)]
struct Told<'a> {
    update: Update,
    differences: Differences,
    moved: Moved,
    /// The path of the name that it was linked to, as it is shown.
    hard_link: &'a [u8],
}

impl Side<'_, '_> {
    /// In what a file differs whose contents are `made` anew, or are not.
    pub(crate) fn differences(
        &self,
        want: &Attributes,
        found: Option<&Attributes>,
        made: bool,
    ) -> Differences {
        let options = self.run.options;
        let Some(found) = found.filter(|found| !is_new(want, Some(found))) else {
            return Differences::NEW;
        };
        let regular = want.kind == Kind::Regular;
        let mut differences = Differences {
            contents: made && (options.checksum || !regular),
            size: regular && want.size != found.size,
            time_of_transfer: made && !options.times,
            ..self.changes(want, found).into()
        };
        // As rsync has it, a time that is not kept has changed where a link is made anew.
        let link = want.kind == Kind::Symlink && options.omit_link_times;
        differences.time |= made && link && options.times;
        differences
    }

    /// Tells what was done about an entry of a directory.
    pub(crate) fn tell_entry(
        &self,
        list: &DirList,
        entry: &Entry,
        path: &[u8],
        update: Update,
        differences: Differences,
        moved: Moved,
    ) {
        let told = Told {
            update,
            differences,
            moved,
            hard_link: b"",
        };
        self.told(list, entry, path, told);
    }

    /// Tells of an entry that was made a link to the name that is shown as `hard_link`, or if that is empty is one.
    pub(crate) fn tell_linked(
        &self,
        list: &DirList,
        entry: &Entry,
        path: &[u8],
        differences: Differences,
        hard_link: &[u8],
    ) {
        let told = Told {
            update: Update::Linked,
            differences,
            moved: Moved::default(),
            hard_link,
        };
        self.told(list, entry, path, told);
    }

    /// The path of an entry as it is shown.
    pub(crate) fn shown_path<'a>(
        &self,
        list: &'a DirList,
        entry: &'a Entry,
        path: &'a [u8],
    ) -> Cow<'a, [u8]> {
        let source_name = list.source_name(entry);
        if list.name(entry) == source_name {
            shown(path, entry.absolute)
        } else {
            Cow::Borrowed(source_name)
        }
    }

    fn told(&self, list: &DirList, entry: &Entry, path: &[u8], told: Told<'_>) {
        let origin = list.origin(entry);
        self.run.event(Event::Item(Item {
            path: &self.shown_path(list, entry, path),
            update: told.update,
            differences: told.differences,
            attributes: entry.attributes,
            target: list.target(entry),
            hard_link: told.hard_link,
            origin: origin.as_deref(),
            sent: told.moved.sent,
            received: told.moved.received,
            digest: list.digest_of(list.name(entry)).or(told.moved.digest),
        }));
    }

    /// Tells that nothing was to be done about an entry, if that is wanted.
    pub(crate) fn tell_unchanged(&self, target: &Target, list: &DirList, entry: &Entry) {
        if self.run.options.unchanged {
            let path = target.join(list.name(entry));
            let none = Differences::default();
            self.tell_entry(list, entry, &path, Update::Kept, none, Moved::default());
        }
    }

    /// Tells what was done about a directory; nothing is worth telling only if it is wanted.
    pub(crate) fn tell_directory(&self, target: &Target, update: Update, differences: Differences) {
        let Some(attributes) = target.want else {
            return;
        };
        if differences.is_empty() && !self.run.options.unchanged {
            return;
        }
        self.run.event(Event::Item(Item {
            path: &shown(&target.path, target.absolute),
            update,
            differences,
            attributes,
            target: b"",
            hard_link: b"",
            origin: target.origin.as_deref(),
            sent: 0,
            received: 0,
            digest: None,
        }));
    }

    /// Tells the sender that the destination has a file, if its source is to be removed. A file that is its own source is
    /// not.
    pub(crate) async fn done(
        &self,
        target: &Target,
        index: u32,
        want: &Attributes,
        found: Option<&Attributes>,
    ) {
        let options = self.run.options;
        let own = found.is_some_and(|found| found.inode == want.inode);
        if !options.remove_source_files || options.dry_run || own {
            return;
        }
        let file = FileId {
            dir: target.id,
            index,
        };
        let attributes = *want;
        let done = ToSender::Done { file, attributes };
        Box::pin(self.tell(done, true)).await;
    }

    /// Counts and reports a file that was transferred.
    pub(crate) fn transferred(
        &self,
        list: &DirList,
        entry: &Entry,
        path: &[u8],
        (found, unlike): (Option<&Attributes>, Unlike),
        moved: Moved,
    ) {
        let want = &entry.attributes;
        let mut stats = self.run.stats();
        stats.transferred += 1;
        stats.transferred_size += want.size;
        drop(stats);
        let differences = self.differences(want, found, true).and(unlike);
        self.tell_entry(list, entry, path, Update::Transferred, differences, moved);
    }
}
