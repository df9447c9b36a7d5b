// SPDX-License-Identifier: MIT OR Apache-2.0

//! The destination: found, or made as far as it is missing.

use crate::error::{Action, Cause, Error, Failure};
use crate::event::Event;
use crate::guard::Inode;
use crate::io::{Held, c_name};
use crate::list::{Attributes, Kind};
use crate::run::Run;
use crate::source::Sources;
use crate::spec::Source;
use libflexsc::op::Mkdirat;
use libflexsc::{At, Errno, SharedFd};
use std::collections::HashSet;

/// How a directory is opened that an argument names: symbolic links are followed there.
const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY;

/// How one is opened that can only be entered.
const PASSAGE: i32 = libc::O_PATH | libc::O_DIRECTORY;

pub(crate) fn failure(path: &[u8], action: Action, errno: Errno) -> Error {
    Error::Destination(Failure {
        path: path.to_vec(),
        action,
        cause: Cause::Errno(errno),
        of_source: false,
    })
}

/// The destination, opened.
pub(crate) struct Destination {
    /// The directory that files go to; none in a dry run that would have made it.
    pub(crate) root: Option<Held>,
    /// Its attributes, unless it was made.
    pub(crate) found: Option<Attributes>,
    /// Its path as given.
    pub(crate) shown: Vec<u8>,
    /// What the only file is to be called there, if the destination names the file itself.
    pub(crate) rename: Option<Vec<u8>>,
}

/// The destination, and what was found out about it before it is worked on.
pub(crate) struct Place {
    /// The directory that files go to; none in a dry run that would have made it.
    pub(crate) root: Option<SharedFd>,
    /// Its attributes, unless it was made.
    pub(crate) found: Option<Attributes>,
    /// Its group.
    pub(crate) gid: Option<u32>,
    /// Its path as given.
    pub(crate) shown: Vec<u8>,
    /// The sources themselves, which are never deleted.
    pub(crate) sources: HashSet<Inode>,
    /// Whether it only takes entries, and is not a part of the transfer itself.
    pub(crate) takes_entries: bool,
}

/// Opens the destination, and makes it if it is missing and its parent is there.
pub(crate) async fn open(
    run: &Run<'_>,
    path: &[u8],
    sources: &Sources,
) -> Result<Destination, Error> {
    let only = sources.named.single().filter(|_| sources.root.is_none());
    let single = only.is_some();
    if run.options.mkpath {
        let to = match Source::parse(path) {
            Source {
                root,
                name: Some(_),
                ..
            } if single => root,
            _ => path.to_vec(),
        };
        make_path(run, path, &to).await?;
    }
    let found = match run.io.stat_follow(At::Cwd, path).await {
        Ok(found) => Some(found),
        Err(Errno::ENOENT) => None,
        Err(errno) => return Err(failure(path, Action::Stat, errno)),
    };
    match found {
        Some(found) if found.kind == Kind::Directory => {
            let root = open_directory(run, path).await?;
            return Ok(Destination {
                root: Some(root),
                found: Some(found),
                shown: path.to_vec(),
                rename: None,
            });
        }
        Some(_) if !single => return Err(Error::NotADirectory(path.to_vec())),
        None if !single || path.ends_with(b"/") => {
            return make_destination(run, path, sources.root.as_ref()).await;
        }
        _ => {}
    }
    let Source {
        root: parent, name, ..
    } = Source::parse(path);
    let root = match open_directory(run, &parent).await {
        // A dry run made no path.
        Err(_) if run.options.dry_run && run.options.mkpath => {
            return Ok(Destination {
                root: None,
                found: None,
                shown: parent,
                rename: name,
            });
        }
        root => root?,
    };
    let found = run
        .io
        .stat_held(&root)
        .await
        .map_err(|errno| failure(&parent, Action::Stat, errno))?;
    let shown = if parent == b"." && !path.starts_with(b"./") {
        Vec::new()
    } else {
        parent
    };
    Ok(Destination {
        root: Some(root),
        found: Some(found),
        shown,
        rename: name,
    })
}

/// Makes what is missing of the directory `to` of the destination `path`.
async fn make_path(run: &Run<'_>, path: &[u8], to: &[u8]) -> Result<(), Error> {
    let to = to.strip_suffix(b"/").unwrap_or(to);
    let ends = (1..to.len()).filter(|end| to[*end] == b'/' && to[end - 1] != b'/');
    let mut made = 0;
    for end in ends.chain([to.len()]) {
        let part = &to[..end];
        match run.io.stat_follow(At::Cwd, part).await {
            Ok(_) => continue,
            Err(Errno::ENOENT) => made += 1,
            Err(errno) => return Err(failure(part, Action::Stat, errno)),
        }
        if !run.options.dry_run {
            let op = Mkdirat::new(At::Cwd, c_name(part), 0o777);
            match run.io.handle.submit(op).await {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(failure(part, Action::MakeDirectory, errno)),
            }
        }
    }
    if made > 0 {
        let path = match to.len() < path.len() && !path.ends_with(b"/") {
            true => to,
            false => path.strip_suffix(b"/").unwrap_or(path),
        };
        run.event(Event::MadePath { path, made });
    }
    Ok(())
}

/// Makes the destination, with the mode of the directory whose contents it is to have.
async fn make_destination(
    run: &Run<'_>,
    path: &[u8],
    want: Option<&Attributes>,
) -> Result<Destination, Error> {
    let mut root = None;
    if !run.options.dry_run {
        let mode = want.map_or(0o777, |want| run.options.first_mode(want) | 0o700);
        let op = Mkdirat::new(At::Cwd, c_name(path), mode);
        let made = run.io.handle.submit(op).await;
        made.map_err(|errno| failure(path, Action::MakeDirectory, errno))?;
        root = Some(open_directory(run, path).await?);
    }
    run.event(Event::MadeDestination(path));
    Ok(Destination {
        root,
        found: None,
        shown: path.to_vec(),
        rename: None,
    })
}

/// Opens a directory. One that may be entered and not read is as good as any that takes part in no more than its entries, and its
/// owner lets itself in when its turn comes.
async fn open_directory(run: &Run<'_>, path: &[u8]) -> Result<Held, Error> {
    let io = &run.io;
    let mut opened = io.open(At::Cwd, path, DIRECTORY, 0).await;
    if let Err(Errno::EACCES) = opened {
        opened = io.open(At::Cwd, path, PASSAGE, 0).await;
    }
    if let Ok(dir) = &opened {
        if let Err(errno) = io.stat(dir.at(), b".").await {
            opened = Err(errno);
        }
    }
    opened.map_err(|errno| failure(path, Action::OpenDirectory, errno))
}
