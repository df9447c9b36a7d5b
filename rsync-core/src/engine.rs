// SPDX-License-Identifier: MIT OR Apache-2.0

//! One synchronisation from its arguments to its figures.

use crate::backup;
use crate::block::Layout;
use crate::destination::{self, Destination, Place, failure};
use crate::error::{Action, Error, Failure};
use crate::event::Observer;
use crate::filter::FilterList;
use crate::guard;
use crate::holding;
use crate::io::Held;
use crate::links;
use crate::list::Kind;
use crate::options::{Backups, Options};
use crate::receiving::Receiving;
use crate::run::Run;
use crate::sender;
use crate::source::Sources;
use crate::spec;
use crate::stats::Stats;
use crate::teller::Teller;
use crate::xattrs::{Origin, Whose};
use futures_util::future::{Either, select};
use libflexsc::{At, Handle};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::pin::pin;
use std::sync::Arc;

/// Messages that wait for the receiving side. Each may hold a buffer.
pub(crate) const TO_RECEIVER: usize = 64;

/// Messages that wait for the sender.
pub(crate) const TO_SENDER: usize = 256;

/// A synchronisation of local trees: sources, a destination, options.
///
/// A source that ends in a slash means the contents of that directory, one that does not means the directory itself, as
/// for rsync.
///
/// # Examples
///
/// Copying a tree, and being told what is transferred:
///
/// ```
/// use libflexsc::{Context, Handle, task::block_on};
/// use rsync_core::{Event, Options, Sync};
///
/// # let root = std::env::temp_dir().join(format!("rsync-core-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(root.join("source")).unwrap();
/// # std::fs::write(root.join("source/file"), "contents").unwrap();
/// let handle = Handle::new(Context::direct());
/// let mut transferred = Vec::new();
/// let mut observer = |event: Event<'_>| {
///     if let Event::Item(item) = event {
///         transferred.push(item.to_string());
///     }
/// };
/// let sync = Sync::new(Options::archive()).source(root.join("source/")).destination(root.join("copy"));
/// let stats = block_on(&handle, sync.run(&handle, &mut observer))?;
/// assert_eq!((stats.transferred, stats.failures), (1, 0));
/// assert_eq!(transferred, ["cd+++++++++", ">f+++++++++"]); // The directory and the file in it.
/// assert_eq!(std::fs::read(root.join("copy/file")).unwrap(), b"contents");
/// # std::fs::remove_dir_all(root).unwrap();
/// # Ok::<(), rsync_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sync {
    options: Options,
    sources: Vec<Vec<u8>>,
    destination: Option<Vec<u8>>,
}

impl Sync {
    /// A synchronisation with these options, yet without source and destination.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            sources: Vec::new(),
            destination: None,
        }
    }

    /// Adds a source.
    #[must_use]
    pub fn source(mut self, path: impl AsRef<OsStr>) -> Self {
        self.sources.push(path.as_ref().as_bytes().to_vec());
        self
    }

    /// Sets the destination.
    #[must_use]
    pub fn destination(mut self, path: impl AsRef<OsStr>) -> Self {
        self.destination = Some(path.as_ref().as_bytes().to_vec());
        self
    }

    /// Synchronises. Every access to files is an operation of `handle`'s context, many at a time; run the future
    /// under [`libflexsc::task::block_on`]. Dropping it stops, and may leave temporary files behind, never a half-written file
    /// under its final name.
    ///
    /// What fails for one file is told to the observer and counted in the figures; the others go on.
    ///
    /// # Errors
    ///
    /// [`Error`] when nothing could be done at all.
    pub async fn run(&self, handle: &Handle, observer: &mut dyn Observer) -> Result<Stats, Error> {
        let never = std::future::pending();
        self.run_until(handle, observer, never).await
    }

    /// As [`run`](Self::run), until `stop` is ready. Files that are not complete then are removed, or kept if
    /// [`partial`](Options::partial) says so, before this is.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Context, Handle, task::block_on};
    /// use rsync_core::{Error, Event, Options, Sync};
    ///
    /// let handle = Handle::new(Context::direct());
    /// let sync = Sync::new(Options::archive()).source("/usr").destination("/nowhere/to/be/seen");
    /// let stop = std::future::ready(()); // Better one that waits for a signal.
    /// let result = block_on(&handle, sync.run_until(&handle, &mut |_: Event<'_>| {}, stop));
    /// assert_eq!(result.unwrap_err(), Error::Stopped);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`], and those of [`run`](Self::run).
    pub async fn run_until(
        &self,
        handle: &Handle,
        observer: &mut dyn Observer,
        stop: impl Future<Output = ()>,
    ) -> Result<Stats, Error> {
        let destination = self.check()?;
        let teller = Teller::new(observer);
        let run = Run::new(handle, &self.options, &teller);
        let result = match select(pin!(stop), pin!(self.synchronise(&run, destination))).await {
            Either::Left(((), _)) => Err(Error::Stopped),
            Either::Right((result, _)) => result,
        };
        run.abandon().await;
        run.io.settle().await;
        result.map(|()| *run.stats())
    }

    /// Looks at the arguments themselves.
    pub(crate) fn check(&self) -> Result<&[u8], Error> {
        let destination = self.destination.as_deref().ok_or(Error::NoDestination)?;
        self.check_sources()?;
        check_name(destination)?;
        if let Some(Backups { dir, suffix }) = &self.options.backup {
            let bad = suffix.contains(&b'/')
                || suffix.contains(&0)
                || suffix.is_empty() && dir.is_none()
                || dir
                    .as_ref()
                    .is_some_and(|dir| dir.is_empty() || dir.contains(&0));
            if bad {
                return Err(Error::BadName(match dir {
                    Some(dir) if !suffix.contains(&b'/') => dir.clone(),
                    _ => suffix.clone(),
                }));
            }
        }
        if let Some((one, other)) = self.options.conflict() {
            return Err(Error::Conflict(one, other));
        }
        if let Some(dir) = &self.options.partial_dir {
            if !holding::is_holding_name(dir) {
                return Err(Error::BadName(dir.clone()));
            }
        }
        if let Some(dir) = &self.options.temp_dir {
            if dir.is_empty() || dir.contains(&0) {
                return Err(Error::BadName(dir.clone()));
            }
        }
        Layout::new(0, self.options.block_size).map_err(Error::BlockLength)?;
        Ok(destination)
    }

    /// Looks at the sources' names.
    pub(crate) fn check_sources(&self) -> Result<(), Error> {
        if self.sources.is_empty() {
            return Err(Error::NoSource);
        }
        self.sources.iter().try_for_each(|name| check_name(name))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn sources(&self) -> &[Vec<u8>] {
        &self.sources
    }

    pub(crate) async fn synchronise(&self, run: &Run<'_>, destination: &[u8]) -> Result<(), Error> {
        let Some((sources, place, _)) = self.prepare(run, destination).await? else {
            return Ok(());
        };
        let (to_receiver, from_sender) = async_channel::bounded(TO_RECEIVER);
        let (to_sender, requests) = async_channel::bounded(TO_SENDER);
        let receiving = Receiving::open(run, place, to_sender).await?;
        futures_util::join!(
            sender::send(run, sources, requests, to_receiver),
            receiving.work(from_sender),
        );
        Ok(())
    }

    /// Looks at sources and destination, and makes the latter if it is missing. `None` if there is nothing to do.
    pub(crate) async fn prepare(
        &self,
        run: &Run<'_>,
        destination: &[u8],
    ) -> Result<Option<(Sources, Place, Arc<FilterList>)>, Error> {
        let options = &self.options;
        if options.munge_links {
            let found = run.io.stat_follow(At::Cwd, links::MUNGED_DIR).await;
            if found.is_ok_and(|found| found.kind == Kind::Directory) {
                return Err(Error::Munged);
            }
        }
        let rules = holding::protecting(options, backup::protecting(options));
        let filters = FilterList::read(&run.io, &rules, options.delete_excluded, options.from0);
        let filters = Arc::new(filters.await?);
        let _ = run.filters.set(filters.clone());
        let mut sources = self.select(run, &filters).await?;
        // As for rsync, a slash makes the destination a directory even if nothing goes there.
        let nothing = sources.named.is_empty() && sources.root.is_none();
        if nothing && !destination.ends_with(b"/") {
            return Ok(None);
        }
        let Destination {
            root,
            found,
            shown,
            rename,
        } = destination::open(run, destination, &sources).await?;
        sources.rename = rename;
        let mut gid = None;
        let mut inodes = HashSet::new();
        if let Some(root) = &root {
            let attributes = match found {
                Some(found) => found,
                None => run
                    .io
                    .stat_held(root)
                    .await
                    .map_err(|errno| failure(&shown, Action::Stat, errno))?,
            };
            sources.destination = Some(attributes.inode);
            gid = Some(attributes.gid);
            let place = guard::Destination {
                root,
                inode: attributes.inode,
                given: destination,
                shown: &shown,
            };
            inodes = guard::check(run, &mut sources, &place).await?;
        }
        let found = match (&root, found) {
            (Some(root), Some(own)) if sources.root.is_some() => {
                let fake = options.fakes(Origin::Destination);
                let faked = run.io.faked(Whose::Open(root), own, fake).await;
                let failed = |(action, cause)| {
                    let path = shown.clone();
                    Error::Destination(Failure {
                        path,
                        action,
                        cause,
                        of_source: false,
                    })
                };
                Some(faked.map_err(failed)?)
            }
            (_, found) => found,
        };
        let place = Place {
            root: root.map(Held::into_fd),
            found,
            gid,
            shown,
            sources: inodes,
            takes_entries: sources.root.is_none(),
        };
        Ok(Some((sources, place, filters)))
    }
}

fn check_name(name: &[u8]) -> Result<(), Error> {
    if spec::host(name).is_some() {
        return Err(Error::Remote(name.to_vec()));
    }
    if name.is_empty() || name.contains(&0) {
        return Err(Error::BadName(name.to_vec()));
    }
    Ok(())
}
