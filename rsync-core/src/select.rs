// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finds what arguments name, or a list of names in a file.

use crate::engine::Sync;
use crate::error::{Action, Cause, Error, Failure};
use crate::event::{Event, Skip};
use crate::filter::{FilterList, Scope, Side};
use crate::links::Resolved;
use crate::list::{Attributes, Extent, Kind};
use crate::run::{Run, WINDOW};
use crate::source::{Item, Root, Sources, What};
use crate::spec::{Source, join, split};
use libflexsc::{At, Errno};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

/// The longest list of names, bytes.
const LONGEST: usize = 1 << 30;

/// One argument, or one name of a list.
struct Argument {
    source: Source,
    /// As the user would write it.
    shown: Vec<u8>,
    /// It begins with a slash that is shown before its path in the transfer.
    absolute: bool,
    /// It begins with `./`, which names the root of the transfer itself.
    dot: bool,
}

impl Argument {
    fn plain(argument: &[u8]) -> Self {
        Self {
            source: Source::parse(argument),
            shown: argument.to_vec(),
            absolute: false,
            dot: false,
        }
    }

    fn relative(argument: &[u8]) -> Result<Self, Error> {
        let source = Source::relative(argument).map_err(|error| Error::Relative {
            source: argument.to_vec(),
            error,
        })?;
        let begins = source.root == b"." || source.root == b"/";
        let begins = begins && !argument.windows(3).any(|part| part == b"/./");
        Ok(Self {
            absolute: begins && argument.starts_with(b"/"),
            dot: begins && argument.starts_with(b"./"),
            shown: argument.to_vec(),
            source,
        })
    }

    fn listed(directory: &[u8], name: &[u8], relative: bool) -> Self {
        let source = Source::listed(directory, name);
        let shown = join(&source.root, &source.path());
        match relative {
            true => Self {
                dot: name.starts_with(b"./") && source.root == directory,
                absolute: false,
                shown,
                source,
            },
            // The slash or the dot at the end still means the contents.
            false if source.name.is_none() => Self::plain(&join(&shown, b".")),
            false => Self::plain(&shown),
        }
    }

    /// Whether the contents of the directory that paths start from are meant.
    fn is_root(&self) -> bool {
        self.source.name.is_none() && self.source.way.is_empty()
    }
}

/// The names in a list of them.
fn names(list: &[u8], from0: bool) -> impl Iterator<Item = &[u8]> {
    let is_end = move |byte: &u8| match from0 {
        true => *byte == 0,
        false => matches!(byte, b'\n' | b'\r' | 0),
    };
    let names = list.split(is_end);
    names.filter(|name| !matches!(name.first(), None | Some(b'#' | b';')))
}

impl Sync {
    /// Finds what the sources are. One that cannot be found is reported and left out; as for rsync, one that
    /// does not exist is no reason not to delete, since nothing of it can be taken for missing.
    pub(crate) async fn select(
        &self,
        run: &Run<'_>,
        filters: &Arc<FilterList>,
    ) -> Result<Sources, Error> {
        let arguments = self.arguments(run).await?;
        let mut selection = Selection {
            run,
            filters,
            roots: HashMap::new(),
            ways: HashSet::new(),
            sources: Sources {
                complete: true,
                ..Sources::default()
            },
        };
        for (number, window) in arguments.chunks(WINDOW).enumerate() {
            selection.add(window, (number * WINDOW) as u32).await;
        }
        let mut sources = selection.sources;
        sources.repeated = arguments.len() > 1 || run.options.follows_links();
        sources.root = sources.root.map(|root| run.options.as_sent(root));
        Ok(sources)
    }

    async fn arguments(&self, run: &Run<'_>) -> Result<Vec<Argument>, Error> {
        let options = run.options;
        let sources = self.sources().iter();
        let Some(list) = &options.files_from else {
            return match options.relative {
                true => sources.map(|name| Argument::relative(name)).collect(),
                false => Ok(sources.map(|name| Argument::plain(name)).collect()),
            };
        };
        let [directory] = self.sources() else {
            return Err(Error::ManySources);
        };
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let opened = run.io.open(At::Cwd, directory, flags, 0).await;
        opened.map_err(|errno| {
            Error::Source(Failure {
                path: directory.clone(),
                action: Action::OpenDirectory,
                cause: errno.into(),
                of_source: true,
            })
        })?;
        let name: &[u8] = if list == b"-" { b"/dev/stdin" } else { list };
        let read = run.io.read_file(At::Cwd, name, 0, LONGEST).await;
        let read = read.map_err(|errno| Error::FilesFrom {
            path: list.clone(),
            errno,
        })?;
        let listed = |name| Argument::listed(directory, name, options.relative);
        Ok(names(&read, options.from0).map(listed).collect())
    }
}

/// A root's path, whether paths are shown with a slash, and whether the root's own contents are meant.
type Key = (Vec<u8>, bool, bool);

struct Selection<'a, 'o> {
    run: &'a Run<'o>,
    filters: &'a Arc<FilterList>,
    /// Those that other arguments may share.
    roots: HashMap<Key, Rc<Root>>,
    /// The directories on the way to something.
    ways: HashSet<Vec<u8>>,
    sources: Sources,
}

impl Selection<'_, '_> {
    /// Looks at some arguments, all calls for which are posted together.
    async fn add(&mut self, arguments: &[Argument], first: u32) {
        let mut posted = Vec::with_capacity(arguments.len());
        for (number, argument) in (first..).zip(arguments) {
            let Some(root) = self.root(argument).await else {
                continue;
            };
            if argument.dot {
                self.dot(&root).await;
            }
            let path = argument.source.path();
            let flags = match &argument.source.name {
                Some(_) => libc::AT_SYMLINK_NOFOLLOW,
                None if path.is_empty() => libc::AT_EMPTY_PATH,
                None => 0,
            };
            let found = self.run.io.statx(root.dir.at(), &path, flags);
            posted.push((number, argument, root, found));
        }
        for (number, argument, root, found) in posted {
            let (mut name, mut found) = (argument.source.name.clone(), found.await);
            let way = &argument.source.way;
            let directory = matches!(&found, Ok(found) if found.kind == Kind::Directory);
            let mut way = way.clone();
            if name.is_none() && !way.is_empty() && !directory {
                // A slash behind something else says nothing.
                let (parent, last) = split(&way);
                found = self.run.io.stat(root.dir.at(), &way).await;
                name = Some(last.to_vec());
                way = parent.to_vec();
            }
            let place = Place {
                argument: number,
                root,
                way,
                name,
            };
            if let Ok(own) = found {
                match self.run.faked_at(&place.root.dir, &place.path(), own).await {
                    Ok(faked) => found = Ok(faked),
                    Err((action, cause)) => {
                        self.sources.complete = false;
                        self.run.fail(argument.shown.clone(), action, cause);
                        continue;
                    }
                }
            }
            let mut followed = false;
            if matches!(&found, Ok(found) if found.kind == Kind::Symlink) {
                let path = place.path();
                let resolved = self.run.resolve(&place.root.dir, &path, &place.way, None);
                match resolved.await {
                    Ok(Resolved::Referent(referent)) => {
                        found = Ok(referent);
                        followed = true;
                    }
                    // The target is read when its turn comes.
                    Ok(Resolved::Link(_)) => {}
                    Err((_, Cause::Errno(errno))) => found = Err(errno),
                    // What is wrong is said when its turn comes.
                    Err(_) => {}
                }
            }
            match found {
                Ok(found) => self.found(argument, place, found, followed).await,
                Err(errno) => self.missing(argument, place, errno).await,
            }
        }
    }

    /// Takes the directory that a path begins at as the root of the transfer, without what is in it.
    async fn dot(&mut self, root: &Root) {
        let options = self.run.options;
        let descends = options.recursive || options.dirs;
        // As rsync has it, by its name: rules that leave out all leave out this, too.
        let hidden = || root.scope.excluding(Side::Sender, b".", true).is_some();
        if descends && !options.no_implied_dirs && self.sources.root.is_none() && !hidden() {
            // Whatever is wrong with it is said of what is reached through it.
            let found = self.run.io.stat_held(&root.dir).await;
            let Ok(own) = found else { return };
            match self.run.faked_at(&root.dir, b"", own).await {
                Ok(faked) => self.sources.root = Some(faked),
                Err((action, cause)) => {
                    self.sources.complete = false;
                    self.run.fail(root.path.clone(), action, cause);
                }
            }
        }
    }

    /// What an argument's path begins at; none if that cannot be opened, which was reported.
    async fn root(&mut self, argument: &Argument) -> Option<Rc<Root>> {
        let contents = argument.is_root();
        let key = (argument.source.root.clone(), argument.absolute, contents);
        if let Some(root) = self.roots.get(&key) {
            return Some(root.clone());
        }
        match self.open_root(argument).await {
            Ok(root) => {
                let root = Rc::new(root);
                self.roots.insert(key, root.clone());
                Some(root)
            }
            Err((path, action, cause)) => {
                self.sources.complete &= cause == Cause::Errno(Errno::ENOENT);
                let path = path.unwrap_or_else(|| argument.shown.clone());
                self.run.fail(path, action, cause);
                None
            }
        }
    }

    /// Opens what a path begins at; an error is of the path that comes with it or, if none does, of the argument.
    async fn open_root(
        &self,
        argument: &Argument,
    ) -> Result<Root, (Option<Vec<u8>>, Action, Cause)> {
        let io = &self.run.io;
        let contents = argument.is_root();
        let path = &argument.source.root;
        let mut opened = Err(Errno::EACCES);
        if contents {
            let flags = libc::O_RDONLY | libc::O_DIRECTORY;
            opened = io.open(At::Cwd, path, flags, 0).await;
        }
        // Where it is above may have to be known, which is found out later.
        let enters = contents && (opened.is_err() || !self.run.options.may_hit_unknown());
        // That the contents cannot be read is said when their turn comes.
        if let Err(Errno::EACCES) = opened {
            let flags = libc::O_PATH | libc::O_DIRECTORY;
            opened = io.open(At::Cwd, path, flags, 0).await;
        }
        if let (Ok(dir), true) = (&opened, enters) {
            // As for rsync, a directory that cannot be entered is left out as a whole.
            if let Err(errno) = io.stat(dir.at(), b".").await {
                opened = Err(errno);
            }
        }
        let dir = opened.map_err(|errno| {
            // What an argument names was never there, and has not vanished.
            let action = match errno {
                Errno::ENOENT => Action::Select,
                _ => Action::OpenDirectory,
            };
            (None, action, errno.into())
        })?;
        let scope = Scope::around(io, self.filters, &dir, !contents).await;
        let scope = scope.map_err(|(path, cause)| (Some(path), Action::ReadFilter, cause))?;
        Ok(Root {
            dir: Rc::new(dir),
            links: Vec::new(),
            path: path.clone(),
            at: Vec::new(),
            absolute: argument.absolute,
            scope,
        })
    }

    /// Takes something that is there.
    async fn found(
        &mut self,
        argument: &Argument,
        place: Place,
        attributes: Attributes,
        followed: bool,
    ) {
        let options = self.run.options;
        let is_directory = attributes.kind == Kind::Directory;
        if is_directory && !options.recursive && !options.dirs {
            return self.run.event(Event::Skipped {
                path: &argument.shown,
                reason: Skip::Directory,
            });
        }
        let path = place.path();
        let scope = &place.root.scope;
        if !path.is_empty() && !scope.is_empty() {
            if let Some(rule) = scope.excluding(Side::Sender, &path, is_directory) {
                if options.hidden {
                    self.run.event(Event::Hidden {
                        path: &path,
                        directory: is_directory,
                        rule,
                    });
                }
                return;
            }
        }
        if !self.lead(&place).await {
            return;
        }
        let named = self.sources.named.directory(&place.way);
        let what = match place.name {
            Some(name) => What::Entry {
                name,
                attributes,
                extent: Extent::Whole,
                followed,
            },
            None => {
                if path.is_empty() {
                    self.sources.root.get_or_insert(attributes);
                }
                What::Contents { attributes }
            }
        };
        named.items.push(Item {
            argument: place.argument,
            root: place.root,
            what,
        });
    }

    /// Takes something that is not there, if that is wanted.
    async fn missing(&mut self, argument: &Argument, place: Place, errno: Errno) {
        let options = self.run.options;
        let delete = options.delete_missing_args;
        if errno != Errno::ENOENT || !delete && !options.ignore_missing_args {
            self.sources.complete &= errno == Errno::ENOENT;
            self.run
                .fail(argument.shown.clone(), Action::Select, Cause::Errno(errno));
            return;
        }
        let (true, Some(name)) = (delete, place.name.clone()) else {
            return;
        };
        if self.lead(&place).await {
            self.sources.named.directory(&place.way).items.push(Item {
                argument: place.argument,
                root: place.root,
                what: What::Missing { name },
            });
        }
    }

    /// Takes the directories that lead to something; true if they are there.
    async fn lead(&mut self, place: &Place) -> bool {
        let io = &self.run.io;
        let implied = !self.run.options.no_implied_dirs;
        let way = &place.way;
        let ends = (0..way.len()).filter(|end| way[*end] == b'/');
        let ends = ends.chain(Some(way.len()).filter(|end| *end > 0));
        for end in ends {
            let path = &way[..end];
            // The directory whose contents are meant is there for its own sake.
            let own = place.name.is_none() && end == way.len();
            if !own && self.ways.contains(path) {
                continue;
            }
            let found = match io.statx(place.root.dir.at(), path, 0).await {
                Ok(own) => self.run.faked_at(&place.root.dir, path, own).await,
                Err(errno) => Err((Action::Stat, errno.into())),
            };
            let attributes = match found {
                Ok(attributes) => attributes,
                Err((action, cause)) => {
                    self.sources.complete &= cause == Cause::Errno(Errno::ENOENT);
                    let path = join(&place.root.path, path);
                    self.run.fail(path, action, cause);
                    return false;
                }
            };
            let (parent, name) = split(path);
            let what = What::Entry {
                name: name.to_vec(),
                attributes,
                extent: match implied || own {
                    true => Extent::Alone,
                    false => Extent::Passed,
                },
                // Wherever links lead on the way is found when it is opened.
                followed: false,
            };
            self.ways.insert(path.to_vec());
            self.sources.named.directory(path);
            self.sources.named.directory(parent).items.push(Item {
                argument: place.argument,
                root: place.root.clone(),
                what,
            });
        }
        true
    }
}

/// Where something is that an argument names.
struct Place {
    argument: u32,
    root: Rc<Root>,
    /// The directories below the root that lead to it.
    way: Vec<u8>,
    /// Its name; none for the contents of the last directory.
    name: Option<Vec<u8>>,
}

impl Place {
    fn path(&self) -> Vec<u8> {
        join(&self.way, self.name.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_list_has_comments_and_empty_names() {
        let read = |list: &'static [u8], from0| names(list, from0).collect::<Vec<_>>();
        assert_eq!(
            read(b"a\n\n#b\n;c\r\n d \r\ne", false),
            [&b"a"[..], b" d ", b"e"]
        );
        assert_eq!(read(b"a\0b\n", false), [&b"a"[..], b"b"]);
        assert_eq!(read(b"#a\0\0b\n;c\r\0;d", true), [b"b\n;c\r"]);
    }
}
