// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file list alone, in the order of names: files before directories, each directory before what is in it.

use crate::engine::Sync;
use crate::error::Error;
use crate::event::{Event, Observer};
use crate::filter::FilterList;
use crate::item::{Differences, Item, Update};
use crate::list::{Attributes, DirId, Entry, Kind, ROOT};
use crate::message::{FromSender, Listing, ToSender};
use crate::run::Run;
use crate::sender;
use crate::spec::join;
use crate::stats::Stats;
use crate::teller::Teller;
use async_channel::{Receiver, Sender};
use libflexsc::Handle;
use std::collections::HashMap;
use std::sync::Arc;

/// Messages that wait for either side.
const WAITING: usize = 64;

impl Sync {
    /// Tells the observer of each file of the sources as an [`Event::Item`] about which nothing was done, and changes
    /// nothing; no destination is needed. Nothing is told before all was read: memory grows with the list.
    ///
    /// # Errors
    ///
    /// [`Error`] when nothing could be listed at all.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Context, Handle, task::block_on};
    /// use rsync_core::{Event, Options, Sync};
    ///
    /// # let root = std::env::temp_dir().join(format!("rsync-core-list-{}", std::process::id()));
    /// # std::fs::create_dir_all(root.join("dir")).unwrap();
    /// # std::fs::write(root.join("file"), "contents").unwrap();
    /// let handle = Handle::new(Context::direct());
    /// let mut names = Vec::new();
    /// let mut observer = |event: Event<'_>| {
    ///     if let Event::Item(item) = event {
    ///         names.push(item.path.to_vec());
    ///     }
    /// };
    /// let sync = Sync::new(Options::archive()).source(root.join("."));
    /// block_on(&handle, sync.list(&handle, &mut observer))?;
    /// assert_eq!(names, [&b""[..], b"file", b"dir"]); // The first one is the directory itself.
    /// # std::fs::remove_dir_all(root).unwrap();
    /// # Ok::<(), rsync_core::Error>(())
    /// ```
    pub async fn list(&self, handle: &Handle, observer: &mut dyn Observer) -> Result<Stats, Error> {
        self.check_sources()?;
        if let Some((one, other)) = self.options().conflict() {
            return Err(Error::Conflict(one, other));
        }
        let teller = Teller::new(observer);
        let run = Run::new(handle, self.options(), &teller);
        let result = self.list_sources(&run).await;
        run.io.settle().await;
        result.map(|()| *run.stats())
    }

    async fn list_sources(&self, run: &Run<'_>) -> Result<(), Error> {
        let options = run.options;
        let filters = FilterList::read(&run.io, &options.filters, false, options.from0);
        let sources = self.select(run, &Arc::new(filters.await?)).await?;
        let (to_lister, inbox) = async_channel::bounded(WAITING);
        let (to_sender, requests) = async_channel::bounded(WAITING);
        let ((), listings) = futures_util::join!(
            sender::send(run, sources, requests, to_lister),
            collect(inbox, to_sender)
        );
        if let Some(root) = listings.get(&ROOT) {
            if let Some(attributes) = root.attributes {
                tell(run, b"", attributes, b"");
            }
        }
        tell_all(run, &listings);
        Ok(())
    }
}

/// Takes all lists off the sender.
async fn collect(
    inbox: Receiver<FromSender>,
    to_sender: Sender<ToSender>,
) -> HashMap<DirId, Listing> {
    let mut listings = HashMap::new();
    while let Ok(message) = inbox.recv().await {
        match message {
            FromSender::Directory(mut listing) => {
                // Fails only when the sender has gone, which then holds nothing.
                let _ = to_sender.send(ToSender::Release(listing.id)).await;
                listing.list.pack();
                listings.insert(listing.id, listing);
            }
            FromSender::ListEnd { .. } => {
                to_sender.close();
            }
            // Nothing was asked for.
            FromSender::Delta(_) | FromSender::Ends(_) => {}
        }
    }
    listings
}

/// Tells of what is in the root and below it.
fn tell_all(run: &Run<'_>, listings: &HashMap<DirId, Listing>) {
    // Directories that were told of, whose contents come next, with their paths: the first one last.
    let mut stack = vec![(ROOT, None::<Attributes>, Vec::new())];
    while let Some((id, attributes, path)) = stack.pop() {
        let Some(listing) = listings.get(&id) else {
            continue;
        };
        if let Some(attributes) = attributes.filter(|_| listing.attributes.is_some()) {
            tell(run, &path, attributes, b"");
        }
        let list = listing.list.open();
        for name in &listing.missing {
            run.event(Event::Missing(&join(&path, name)));
        }
        let is_directory = |entry: &&Entry| entry.attributes.kind == Kind::Directory;
        for entry in list.entries().iter().filter(|entry| !is_directory(entry)) {
            let path = join(&path, list.name(entry));
            tell(run, &path, entry.attributes, list.target(entry));
        }
        let directories = list.entries().iter().filter(is_directory).rev();
        stack.extend(directories.map(|entry| {
            let path = join(&path, list.name(entry));
            (entry.dir, Some(entry.attributes), path)
        }));
    }
}

fn tell(run: &Run<'_>, path: &[u8], attributes: Attributes, target: &[u8]) {
    run.event(Event::Item(Item {
        path,
        update: Update::Kept,
        differences: Differences::default(),
        attributes,
        target,
        hard_link: b"",
        origin: None,
        sent: 0,
        received: 0,
        digest: None,
    }));
}
