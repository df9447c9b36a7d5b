// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a file's blocks are taken from, and how it is read for its signature.

use crate::block::Layout;
use crate::error::{Action, Cause};
use crate::io::{CHUNK, Held, SOURCE, yield_now};
use crate::list::{Attributes, DirList, Kind};
use crate::share::share;
use crate::side::Side;
use crate::signature::{Builder, Signature};
use crate::target::Target;
use crate::transfer::StandIn;
use libflexsc::op::Pread;
use libflexsc::{Context, Errno, Handle, SharedFd, Stats};
use std::ops::Range;

/// A file of at least so many bytes is read by several threads, if calls are plain ones.
const SHARED: u64 = 8 << 20;

/// About so many bytes are one thread's at a time.
const SEGMENT: u64 = 1 << 20;

/// So many segments are shared out at once.
const ROUND: u64 = 16;

/// The old version of a file, or what stands in for it.
#[derive(Debug)]
pub(crate) struct Basis {
    /// Whether it is what has the file's name.
    pub(crate) old: bool,
    /// Whether it is the file that is written, in its place.
    pub(crate) in_place: bool,
    pub(crate) layout: Layout,
    pub(crate) data: Data,
}

/// Where the old version's bytes are.
#[derive(Debug)]
pub(crate) enum Data {
    /// A short one, read as a whole.
    Memory(Vec<u8>),
    /// A long one.
    File(Held),
}

impl Side<'_, '_> {
    /// Reads the old version of a file, or what stands in for it, and makes its signature. Without one the whole file is
    /// transferred.
    pub(crate) async fn basis(
        &self,
        target: &Target,
        list: &DirList,
        index: u32,
        found: Option<&Attributes>,
        stand_in: Option<StandIn>,
        full: bool,
    ) -> Option<(Basis, Signature)> {
        let options = self.run.options;
        if options.whole_file {
            return None;
        }
        let name = list.name(list.get(index)?);
        let old = found.filter(|found| found.kind == Kind::Regular);
        let held = self.held_file(target, name).await;
        let (basis, is_old) = match (held, stand_in) {
            (Some(held), _) => (held, false),
            (None, Some(stand_in)) => (stand_in, false),
            (None, None) => {
                let dir = self.directory(target).await.ok()?;
                let old = StandIn {
                    dir,
                    name: name.to_vec(),
                    size: old?.size,
                    guessed: false,
                };
                (old, true)
            }
        };
        if basis.size == 0 {
            return None;
        }
        let layout = Layout::new(basis.size, options.block_size).ok()?;
        let layout = if full { layout.full_strong() } else { layout };
        match self.read_basis(&basis, layout).await {
            Ok(read) => read.map(|(data, signature)| {
                let basis = Basis {
                    old: is_old,
                    in_place: is_old && options.in_place(),
                    layout,
                    data,
                };
                (basis, signature)
            }),
            // Nobody has promised that it can be read.
            Err(_) if basis.guessed => None,
            Err(errno) => {
                let cause = Cause::Errno(errno);
                self.fail(&target.join(name), Action::ReadBasis, cause);
                None
            }
        }
    }

    async fn read_basis(
        &self,
        basis: &StandIn,
        layout: Layout,
    ) -> Result<Option<(Data, Signature)>, Errno> {
        let io = &self.run.io;
        let file = io.open(basis.dir.at(), &basis.name, SOURCE, 0).await?;
        let sum = self.run.options.block_sum();
        if io.plain && self.run.options.threads > 1 && layout.size() >= SHARED {
            let signature = self.read_shared(&file, layout).await?;
            return Ok(signature.map(|signature| (Data::File(file), signature)));
        }
        let mut builder = Builder::new(layout, sum);
        let mut buf = io.buffer(layout.size().saturating_add(1));
        let mut read = 0;
        loop {
            let (count, back) = io.read(&file, buf).await;
            buf = back;
            let count = count?;
            builder.push(&buf[..count]);
            read += count as u64;
            if count == 0 || read > layout.size() || count < buf.len() && read == layout.size() {
                break;
            }
        }
        // One that has another length by now is no basis.
        let Some(signature) = builder.finish() else {
            io.recycle(buf);
            return Ok(None);
        };
        let data = if read < CHUNK as u64 && read < buf.len() as u64 {
            let _ = file.close().await;
            buf.truncate(read as usize);
            Data::Memory(buf)
        } else {
            io.recycle(buf);
            Data::File(file)
        };
        Ok(Some((data, signature)))
    }

    /// As [`read_basis`](Self::read_basis), of a long file, by several threads.
    async fn read_shared(&self, file: &Held, layout: Layout) -> Result<Option<Signature>, Errno> {
        let threads = self.run.options.threads;
        let sum = self.run.options.block_sum();
        let length = layout.length() as u64;
        // Of whole blocks.
        let segment = (SEGMENT / length).max(1) * length;
        let mut all = Builder::new(layout, sum);
        let mut start = 0;
        while start < layout.size() {
            let end = layout.size().min(start + segment * ROUND);
            let count = (end - start).div_ceil(segment) as usize;
            let fd = file.fd();
            let segments = share(
                threads,
                count,
                || (),
                |number| {
                    let start = start + number as u64 * segment;
                    let blocks = (segment / length) as usize;
                    let builder = Builder::with_room(layout, sum, blocks);
                    read_segment(&fd, start..end.min(start + segment), builder)
                },
            );
            for segment in segments {
                let Some((segment, calls)) = segment? else {
                    return Ok(None);
                };
                all.append(segment);
                self.run.helped(calls);
            }
            start = end;
            // A stop waits for no more than that.
            yield_now().await;
        }
        // One that is longer by now is no basis either.
        loop {
            let beyond = Pread::new(file.fd(), vec![0], layout.size());
            match self.run.io.handle.submit(beyond).await.0 {
                Ok(count) => return Ok(all.finish().filter(|_| count == 0)),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Reads a range of a file that begins with a block, by plain calls, of which it gives back the figures; `None` if the file
/// ends before.
fn read_segment(
    file: &SharedFd,
    range: Range<u64>,
    mut builder: Builder,
) -> Result<Option<(Builder, Stats)>, Errno> {
    let handle = Handle::new(Context::direct());
    let mut buf = vec![0; CHUNK];
    let mut at = range.start;
    while at < range.end {
        buf.resize((range.end - at).min(CHUNK as u64) as usize, 0);
        let (count, back) = handle.run(Pread::new(file.clone(), buf, at));
        buf = back;
        match count {
            Ok(0) => return Ok(None),
            Ok(count) => {
                builder.push(&buf[..count]);
                at += count as u64;
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(Some((builder, handle.stats())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strong::BlockSum;

    #[test]
    fn a_range_that_the_file_does_not_have_is_noticed() {
        let path = std::env::temp_dir().join(format!("rsync-core-basis-{}", std::process::id()));
        std::fs::write(&path, [7; 1000]).unwrap();
        let file = SharedFd::from(std::os::fd::OwnedFd::from(
            std::fs::File::open(&path).unwrap(),
        ));
        std::fs::remove_file(&path).unwrap();
        let read = |range| {
            let layout = Layout::new(1000, Some(100)).unwrap();
            let builder = Builder::new(layout, BlockSum::default());
            read_segment(&file, range, builder).unwrap()
        };
        let (mut all, first) = read(0..500).unwrap();
        assert!(first.entries_c > 0);
        all.append(read(500..1000).unwrap().0);
        let layout = Layout::new(1000, Some(100)).unwrap();
        let whole = Signature::of(&[7; 1000], layout, BlockSum::default());
        assert_eq!(all.finish(), whole);
        assert!(read(500..1001).is_none() && read(1000..1001).is_none());
    }
}
