// SPDX-License-Identifier: MIT OR Apache-2.0

//! Directories that lead to what arguments name.

use super::{Reading, Walker};
use crate::error::{Action, Cause};
use crate::filter::Scope;
use crate::io::{Held, WAY};
use crate::links::Resolved;
use crate::list::{Extent, Kind};
use crate::source::{Item, Named, Part, Root, What};
use crate::spec::join;
use libflexsc::Errno;
use std::rc::Rc;

/// A directory that leads to what arguments name.
#[derive(Debug, Default)]
pub(super) struct Leading {
    pub(super) named: Named,
    /// Where it is below each of the roots, and in the transfer.
    pub(super) path: Vec<u8>,
    /// The filter rules around it, for each of the roots that it was reached from.
    pub(super) scopes: Vec<(Rc<Root>, Rc<Scope>)>,
}

/// A directory that leads to what arguments name, below one of the roots.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Where it is, with the filter rules in it.
    pub(super) part: Part,
    dir: Rc<Held>,
    /// The filter rules around it.
    around: Rc<Scope>,
}

impl Walker<'_, '_> {
    /// Takes what an argument names in a directory that leads to it.
    pub(super) async fn named(
        &self,
        reading: &mut Reading,
        leading: &Leading,
        ways: &mut Vec<(Rc<Root>, Option<Way>)>,
        item: Item,
    ) {
        let known = ways.iter().find(|(root, _)| Rc::ptr_eq(root, &item.root));
        let way = match known {
            Some((_, way)) => way.clone(),
            None => {
                let way = self.way(leading, &item.root).await;
                ways.push((item.root.clone(), way.clone()));
                way
            }
        };
        // That it cannot be opened was reported.
        let Some(Way { part, dir, around }) = way else {
            reading.complete = false;
            return;
        };
        let argument = item.argument;
        match item.what {
            What::Missing { name } => reading.missing.push(name),
            What::Contents { attributes } => {
                if !leading.path.is_empty() && self.is_destination(&attributes) {
                    return self.skip_destination(&part.display(b""));
                }
                let part = Part {
                    scope: around,
                    device: attributes.inode.0,
                    argument,
                    ..part
                };
                self.part(reading, part).await;
            }
            What::Entry {
                name,
                attributes,
                extent,
                followed,
            } => {
                let part = Part {
                    device: attributes.inode.0,
                    argument,
                    ..part
                };
                if extent == Extent::Whole {
                    let directory = attributes.kind == Kind::Directory;
                    if part.hides(&name, directory) {
                        self.hidden(&part, &name, directory);
                        return;
                    }
                    if self.is_destination(&attributes) {
                        return self.skip_destination(&part.display(&name));
                    }
                }
                let target = match attributes.kind {
                    Kind::Symlink => self.run.resolve(&dir, &name, &part.place(), None).await,
                    _ => Ok(Resolved::Link(Vec::new())),
                };
                let absolute = part.root.absolute;
                let part = reading.part(part, Some(dir));
                match target {
                    Ok(Resolved::Link(target)) => {
                        let shown = self.rename.as_deref().unwrap_or(&name);
                        let attributes = self.run.options.as_sent(attributes);
                        reading.list.push(shown, attributes, part, &target);
                        reading.list.describe(extent, absolute, followed);
                    }
                    // It was none when it was found.
                    Ok(Resolved::Referent(_)) => {
                        self.fail(reading, part, &name, Action::Follow, Errno::ELOOP);
                    }
                    Err((action, cause)) => self.fail(reading, part, &name, action, cause),
                }
                reading.alias = self.rename.is_some().then_some(name);
            }
        }
    }

    /// Opens a directory that leads to something, below one of the roots.
    async fn way(&self, leading: &Leading, root: &Rc<Root>) -> Option<Way> {
        let io = &self.run.io;
        let mut way = Way {
            part: Part {
                root: root.clone(),
                path: leading.path.clone(),
                scope: root.scope.clone(),
                device: 0,
                argument: 0,
            },
            dir: root.dir.clone(),
            around: root.scope.clone(),
        };
        if leading.path.is_empty() {
            return Some(way);
        }
        let known = leading
            .scopes
            .iter()
            .find(|(known, _)| Rc::ptr_eq(known, root));
        if let Some((_, scope)) = known {
            way.around = scope.clone();
        }
        let failed = |action, path, cause| {
            self.complete
                .set(self.complete.get() && cause == Cause::Errno(Errno::ENOENT));
            self.run.fail(path, action, cause);
        };
        let mut opened = way.part.open(io, WAY).await;
        if let Err(Errno::ELOOP | Errno::ENOTDIR) = opened {
            // Symbolic links that an argument names are followed.
            way.part.root = Rc::new(Root {
                dir: root.dir.clone(),
                links: leading.path.clone(),
                path: way.part.display(b""),
                at: leading.path.clone(),
                absolute: root.absolute,
                scope: way.around.clone(),
            });
            way.part.path = Vec::new();
            opened = way.part.open(io, WAY).await;
        }
        match opened {
            Ok(dir) => way.dir = dir,
            Err(errno) => {
                failed(Action::OpenDirectory, way.part.display(b""), errno.into());
                return None;
            }
        }
        match way.around.enter(io, &way.dir, &leading.path).await {
            Ok(scope) => way.part.scope = scope,
            Err((path, cause)) => {
                failed(Action::ReadFilter, join(&root.path, &path), cause);
                return None;
            }
        }
        Some(way)
    }
}
