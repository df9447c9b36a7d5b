// SPDX-License-Identifier: MIT OR Apache-2.0

//! Refuses a synchronisation that would delete one of its own sources.
//!
//! What is deleted is known only when lists are compared, and by then other things were changed. So a source counts as
//! hit when it lies anywhere in what deletion may come to: the whole destination, if a directory's contents go there, else
//! what has the name of an entry that goes there. Filter rules are not asked.

use crate::error::{Action, Cause, Error, Failure};
use crate::io::Held;
use crate::list::{Attributes, Extent, Kind};
use crate::run::Run;
use crate::source::{Root, Sources, What};
use crate::spec;
use libflexsc::Errno;
use std::collections::{HashMap, HashSet, hash_map::Entry};
use std::rc::Rc;

/// A file's device and inode number.
pub(crate) type Inode = (u64, u64);

/// The destination, as far as it matters here.
pub(crate) struct Destination<'a> {
    pub(crate) root: &'a Held,
    pub(crate) inode: Inode,
    /// The path as given.
    pub(crate) given: &'a [u8],
    /// The path of the root as the user would write it.
    pub(crate) shown: &'a [u8],
}

/// Where the sources are. The values are their paths as given.
#[derive(Debug, Default)]
struct Places {
    /// The sources themselves; only what is no directory may have more names, so that only those at the destination count.
    own: HashMap<Inode, Vec<u8>>,
    /// Every directory above a source.
    above: HashMap<Inode, Vec<u8>>,
    /// Whether the contents of a directory go to the destination.
    merges: bool,
}

/// Looks at where the sources are, and gives back what they are, for [`Side`](crate::side::Side) to spare whatever of them it
/// meets nevertheless: a source that is mounted at a second place is not below the destination on the way to it. Of one that
/// cannot be entered nobody knows where it is; since it cannot be read either, the sources count as incomplete, and nothing is
/// deleted.
pub(crate) async fn check(
    run: &Run<'_>,
    sources: &mut Sources,
    destination: &Destination<'_>,
) -> Result<HashSet<Inode>, Error> {
    let mut places = Places::default();
    let mut all = HashSet::new();
    let mut ways: HashMap<(*const Root, Rc<[u8]>), Vec<Inode>> = HashMap::new();
    let named = sources.named.all();
    let mut known = true;
    for (at, item) in &named {
        let root = &item.root;
        let way: &[Inode] = match ways.entry((Rc::as_ptr(root), at.clone())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let (way, all) = way_up(run, root, at).await?;
                known &= all;
                new.insert(way)
            }
        };
        let Some((first, rest)) = way.split_first() else {
            continue;
        };
        let here = spec::join(&root.path, at);
        let (path, above) = match &item.what {
            What::Contents { .. } if at.is_empty() && *first == destination.inode => {
                return Err(Error::Same {
                    source: root.path.clone(),
                    destination: destination.given.to_vec(),
                });
            }
            What::Contents { .. } => {
                places.merges |= at.is_empty();
                places.own.insert(*first, here.clone());
                all.insert(*first);
                (here, rest)
            }
            What::Entry {
                name,
                attributes,
                extent: Extent::Whole,
                ..
            } => {
                let path = spec::join(&here, name);
                let beside = at.is_empty() && *first == destination.inode;
                if attributes.kind == Kind::Directory || beside {
                    places.own.insert(attributes.inode, path.clone());
                }
                all.insert(attributes.inode);
                (path, way)
            }
            // Of these nothing is taken.
            What::Entry { .. } | What::Missing { .. } => continue,
        };
        for inode in above {
            // All that is above is known, too.
            if places.above.contains_key(inode) {
                break;
            }
            places.above.insert(*inode, path.clone());
        }
    }
    if run.options.delete && places.merges {
        if let Some(source) = places.above.get(&destination.inode) {
            return Err(Error::SourceInside {
                source: source.clone(),
                destination: destination.given.to_vec(),
            });
        }
    }
    // Without deletion, only what is at the destination itself can have to make way.
    if run.options.delete || run.options.force || places.above.contains_key(&destination.inode) {
        for (at, item) in &named {
            let (name, attributes) = match &item.what {
                What::Entry {
                    name, attributes, ..
                } => (&name[..], attributes),
                What::Contents { attributes } if !at.is_empty() => (&b""[..], attributes),
                _ => continue,
            };
            let path = spec::join(at, name);
            let source = spec::join(&item.root.path, &path);
            let name = sources.rename.as_ref().unwrap_or(&path);
            places
                .entry(run, destination, &source, name, attributes)
                .await?;
        }
    }
    sources.complete &= known;
    Ok(all)
}

impl Places {
    /// Refuses an entry, called `name` at the destination, if a source is in what has that name there.
    async fn entry(
        &self,
        run: &Run<'_>,
        destination: &Destination<'_>,
        source: &[u8],
        name: &[u8],
        want: &Attributes,
    ) -> Result<(), Error> {
        let path = || spec::join(destination.shown, name);
        let found = match run.io.stat(destination.root.at(), name).await {
            // An entry that is its own destination fails by itself, and nothing is done in it.
            Ok(found) if found.inode == want.inode => return Ok(()),
            Ok(found) => found,
            // Nor is it there when something else takes a directory's place on the way.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            Err(errno) => return Err(failure(&path(), errno)),
        };
        let directory = found.kind == Kind::Directory;
        let replaced = directory != (want.kind == Kind::Directory);
        if directory && (run.options.delete || replaced && run.options.force) {
            if let Some(inside) = self.above.get(&found.inode) {
                return Err(Error::SourceInside {
                    source: inside.clone(),
                    destination: path(),
                });
            }
        }
        match self.own.get(&found.inode) {
            Some(own) if replaced || directory && run.options.delete => {
                Err(Error::SourceReplaced {
                    source: own.clone(),
                    by: source.to_vec(),
                })
            }
            _ => Ok(()),
        }
    }
}

/// A directory below a root and, if anything is to be deleted, all directories above it, the nearest one first; and whether
/// these are all that there are.
async fn way_up(run: &Run<'_>, root: &Root, at: &[u8]) -> Result<(Vec<Inode>, bool), Error> {
    let options = run.options;
    let found = match at {
        b"" => run.io.stat_held(&root.dir).await,
        at => run.io.stat_follow(root.dir.at(), at).await,
    };
    let path = || spec::join(&root.path, at);
    let mut way = vec![found.map_err(|errno| failure(&path(), errno))?.inode];
    if !options.delete && !options.force {
        return Ok((way, true));
    }
    let may_lack = !options.may_hit_unknown();
    // Upwards until the root directory, which is its own parent.
    let mut up = spec::join(at, b"..");
    loop {
        let found = match run.io.stat(root.dir.at(), &up).await {
            Ok(found) => found,
            // Itself it cannot be entered, and so not read either.
            Err(Errno::EACCES) if may_lack && way.len() == 1 => {
                let cause = Cause::Errno(Errno::EACCES);
                run.fail(spec::join(&root.path, &up), Action::Stat, cause);
                return Ok((way, false));
            }
            Err(errno) => return Err(failure(&spec::join(&root.path, &up), errno)),
        };
        if way.last() == Some(&found.inode) {
            break;
        }
        way.push(found.inode);
        up.extend_from_slice(b"/..");
    }
    Ok((way, true))
}

fn failure(path: &[u8], errno: Errno) -> Error {
    Error::Destination(Failure {
        path: path.to_vec(),
        action: Action::Stat,
        cause: Cause::Errno(errno),
        of_source: false,
    })
}
