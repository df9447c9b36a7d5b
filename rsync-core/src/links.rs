// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which symbolic links of the source are followed, and which lead out of the transfer: rsync(1), SYMBOLIC LINKS.

use crate::error::{Action, Cause};
use crate::event::Event;
use crate::io::{Held, c_name};
use crate::list::{Attributes, Kind};
use crate::run::Run;
use crate::spec::join;
use libflexsc::Errno;
use libflexsc::op::Readlinkat;

/// What a receiver with `--munge-links` puts before targets.
const MUNGED: &[u8] = b"/rsyncd-munged/";

/// The directory that must not be there, or those links would lead somewhere.
pub(crate) const MUNGED_DIR: &[u8] = b"/rsyncd-munged";

/// Whether a target, of a link in the directory `place` of the transfer, leads out of the transfer as far as one can read
/// from it, or might.
pub(crate) fn is_unsafe(target: &[u8], place: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") {
        return true;
    }
    let names = |path| <[u8]>::split(path, |byte| *byte == b'/').filter(|name| !name.is_empty());
    let up = names(target).take_while(|name| *name == b"..").count();
    let depth = names(place).count();
    up > depth || names(target).skip(up).any(|name| name == b"..")
}

/// What a symbolic link of the source is in the transfer.
#[derive(Debug)]
pub(crate) enum Resolved {
    /// A link with this target; empty if links are not copied.
    Link(Vec<u8>),
    /// What it points to.
    Referent(Attributes),
}

impl Run<'_> {
    /// Decides about the symbolic link `name` in `dir`, which is at `place` in the transfer. Its target may have been read.
    pub(crate) async fn resolve(
        &self,
        dir: &Held,
        name: &[u8],
        place: &[u8],
        target: Option<Result<Vec<u8>, Errno>>,
    ) -> Result<Resolved, (Action, Cause)> {
        let options = self.options;
        let follow = async || {
            let found = self.io.stat_follow(dir.at(), name).await;
            found.map_err(|errno| (Action::Follow, errno.into()))
        };
        // As rsync has it, a file that stands for a link is never followed.
        if let Some(target) = self.fake_link(dir, name).await? {
            return Ok(Resolved::Link(self.sent_target(target)));
        }
        if options.copy_links {
            return Ok(Resolved::Referent(follow().await?));
        }
        let read = async || match target {
            Some(target) => target,
            None => {
                let op = Readlinkat::new(dir.at(), c_name(name));
                self.io.handle.submit(op).await
            }
        };
        let mut target = Vec::new();
        if options.links || options.copy_unsafe_links {
            target = read()
                .await
                .map_err(|errno| (Action::ReadLink, errno.into()))?;
            if options.copy_unsafe_links && is_unsafe(&target, place) {
                self.event(Event::UnsafeLinkFollowed {
                    path: &join(place, name),
                    target: &target,
                });
                return Ok(Resolved::Referent(follow().await?));
            }
        }
        if options.copy_dirlinks {
            if let Ok(found) = self.io.stat_follow(dir.at(), name).await {
                if found.kind == Kind::Directory {
                    return Ok(Resolved::Referent(found));
                }
            }
        }
        Ok(Resolved::Link(self.sent_target(target)))
    }

    /// A link's target as it is sent.
    fn sent_target(&self, mut target: Vec<u8>) -> Vec<u8> {
        if !self.options.links {
            target.clear();
        } else if self.options.munge_links && target.starts_with(MUNGED) {
            target.drain(..MUNGED.len());
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::is_unsafe;

    #[test]
    fn a_target_is_unsafe_that_climbs_above_the_top_or_might() {
        let safe = [
            ("file", ""),
            ("a/b", ""),
            ("..", "a"),
            ("../x", "a"),
            ("../../x", "a/b"),
            ("./x", ""),
            ("..x", ""),
            ("a/..x", ""),
        ];
        let bad = [
            ("", ""),
            ("/x", "a"),
            ("..", ""),
            ("../x", ""),
            ("../../x", "a"),
            ("x/..", "a"),
            ("x/../y", "a"),
            ("../x/../y", "a/b"),
        ];
        for (target, place) in safe {
            assert!(!is_unsafe(target.as_bytes(), place.as_bytes()), "{target}");
        }
        for (target, place) in bad {
            assert!(is_unsafe(target.as_bytes(), place.as_bytes()), "{target}");
        }
    }
}
