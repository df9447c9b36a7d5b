// SPDX-License-Identifier: MIT OR Apache-2.0

//! How far a synchronisation has come.

/// How far a synchronisation has come: [`Event::Progress`](crate::Event::Progress). No number ever gets smaller.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, Handle, task::block_on};
/// use rsync_core::{Event, Options, Progress, Sync};
///
/// # let root = std::env::temp_dir().join(format!("rsync-core-progress-{}", std::process::id()));
/// # std::fs::create_dir_all(root.join("source")).unwrap();
/// # std::fs::write(root.join("source/file"), "contents").unwrap();
/// let handle = Handle::new(Context::direct());
/// let mut options = Options::archive();
/// options.progress = true;
/// let mut last = Progress::default();
/// let mut observer = |event: Event<'_>| {
///     if let Event::Progress(progress) = event {
///         last = progress;
///     }
/// };
/// let sync = Sync::new(options).source(root.join("source/")).destination(root.join("copy"));
/// block_on(&handle, sync.run(&handle, &mut observer))?;
/// assert!(last.complete);
/// assert_eq!((last.files, last.checked), (2, 2)); // The directory and the file in it.
/// assert_eq!((last.bytes, last.moved), (8, 8));
/// # std::fs::remove_dir_all(root).unwrap();
/// # Ok::<(), rsync_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Entries of the file list, as far as it is known.
    pub files: u64,
    /// The length of all regular files and symbolic links among them, bytes.
    pub bytes: u64,
    /// Whether the file list is complete.
    pub complete: bool,
    /// Entries that were compared with the destination.
    pub checked: u64,
    /// The length of regular files that need no transfer, bytes.
    pub kept: u64,
    /// Bytes of the source that were read to be transferred. A file that is transferred twice counts twice.
    pub moved: u64,
}
