// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is kept account of: buffers, which come back once and are left alone afterwards, and records,
//! which arrive once.

use std::{
    collections::{HashSet, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libflexsc::{Errno, IoBuf, IoBufMut};

/// Bytes before and behind what a call may touch.
const GUARD: usize = 32;
/// What the guards hold, what a buffer to be read into holds, and what is left of a buffer that came back.
const EDGE: u8 = 0xB1;
const EMPTY: u8 = 0xE5;
const GONE: u8 = 0xD7;
/// How many buffers that came back are kept, to see whether somebody still writes to them.
const KEPT: usize = 256;

/// A record: its stream in the upper half, and its number from 1 on.
pub(crate) const RECORD: usize = 8;

#[derive(Default)]
pub(crate) struct Books(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    /// Buffers that did not come back.
    out: HashSet<u64>,
    made: u64,
    kept: VecDeque<Vec<u8>>,
    streams: Vec<Vec<Record>>,
    faults: Vec<String>,
    /// Records that arrived at operations whose output nobody wanted.
    orphaned: u64,
}

#[derive(Clone, Copy, Default)]
struct Record {
    /// Whether it was written, if that is known.
    sent: Option<bool>,
    seen: u32,
}

impl Books {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stream(&self) -> usize {
        let streams = &mut self.pages().streams;
        streams.push(Vec::new());
        streams.len() - 1
    }

    /// The next records of a stream, of which is not known yet whether they are sent.
    pub(crate) fn reserve(&self, stream: usize, count: usize) -> Range<usize> {
        let records = &mut self.pages().streams[stream];
        let first = records.len();
        records.resize(first + count, Record::default());
        first..first + count
    }

    /// Of these records the first ones, so many bytes, were sent.
    pub(crate) fn sent(&self, stream: usize, range: Range<usize>, bytes: usize) {
        let pages = &mut *self.pages();
        if bytes % RECORD != 0 || bytes > range.len() * RECORD {
            let what = format!("{bytes} bytes of {} records were written", range.len());
            pages.faults.push(what);
        }
        for (i, record) in pages.streams[stream][range].iter_mut().enumerate() {
            record.sent = Some(i < bytes / RECORD);
        }
    }

    /// Takes in what has arrived.
    pub(crate) fn seen(&self, stream: usize, bytes: &[u8]) {
        let pages = &mut *self.pages();
        if bytes.len() % RECORD != 0 {
            let what = format!("{} bytes arrived, no whole records", bytes.len());
            pages.faults.push(what);
        }
        for word in bytes.chunks_exact(RECORD) {
            let word = u64::from_ne_bytes(word.try_into().unwrap());
            let number = (word & 0xffff_ffff) as usize;
            let known = pages.streams[stream].get_mut(number.wrapping_sub(1));
            match known.filter(|_| (word >> 32) as usize == stream) {
                Some(record) => record.seen += 1,
                None => {
                    let what = format!("{word:#x} arrived in stream {stream}, nobody sent it");
                    pages.faults.push(what);
                }
            }
        }
    }

    pub(crate) fn fault(&self, what: String) {
        self.pages().faults.push(what);
    }

    /// Records that arrived where nobody wanted them.
    pub(crate) fn orphaned(&self) -> u64 {
        self.pages().orphaned
    }

    /// When nothing is in progress any more, and all that was under way was taken in.
    pub(crate) fn close(&self) -> Vec<String> {
        let pages = &mut *self.pages();
        if !pages.out.is_empty() {
            let what = format!("{} buffers did not come back", pages.out.len());
            pages.faults.push(what);
        }
        for bytes in pages.kept.drain(..) {
            if bytes.iter().any(|&byte| byte != GONE) {
                let what = "a buffer was written to after it came back".to_owned();
                pages.faults.push(what);
            }
        }
        for (stream, records) in pages.streams.iter().enumerate() {
            for (i, record) in records.iter().enumerate() {
                let what = match (record.sent, record.seen) {
                    (None, 0 | 1) | (Some(true), 1) | (Some(false), 0) => continue,
                    (Some(true), 0) => "is lost",
                    (Some(false), _) => "was not sent, and arrived",
                    _ => "arrived more than once",
                };
                let fault = format!("record {i} of stream {stream} {what}");
                pages.faults.push(fault);
            }
        }
        std::mem::take(&mut pages.faults)
    }
}

/// The bytes of records.
pub(crate) fn records(stream: usize, range: Range<usize>) -> Vec<u8> {
    range
        .flat_map(|i| (((stream as u64) << 32) | (i as u64 + 1)).to_ne_bytes())
        .collect()
}

enum Role {
    /// It takes what arrives in this stream.
    Reads(usize),
    /// It holds these records of this stream.
    Writes(usize, Range<usize>),
    /// It takes a part of a file that holds these bytes.
    Copies(Vec<u8>),
    /// It came back and was looked at.
    Over,
}

/// A buffer of the books.
pub(crate) struct Tracked {
    books: Arc<Books>,
    id: u64,
    bytes: Vec<u8>,
    role: Role,
}

impl Tracked {
    fn new(books: &Arc<Books>, content: impl FnOnce(&mut Vec<u8>), role: Role) -> Self {
        let mut bytes = vec![EDGE; GUARD];
        content(&mut bytes);
        bytes.resize(bytes.len() + GUARD, EDGE);
        let mut pages = books.pages();
        pages.made += 1;
        let id = pages.made;
        pages.out.insert(id);
        drop(pages);
        let books = books.clone();
        Self {
            books,
            id,
            bytes,
            role,
        }
    }

    /// For so many records of a stream.
    pub(crate) fn to_read(books: &Arc<Books>, stream: usize, count: usize) -> Self {
        let empty = |bytes: &mut Vec<u8>| bytes.resize(bytes.len() + count * RECORD, EMPTY);
        Self::new(books, empty, Role::Reads(stream))
    }

    /// With the next records of a stream.
    pub(crate) fn to_write(books: &Arc<Books>, stream: usize, count: usize) -> Self {
        let range = books.reserve(stream, count);
        let fill = |bytes: &mut Vec<u8>| bytes.extend(records(stream, range.clone()));
        Self::new(books, fill, Role::Writes(stream, range.clone()))
    }

    /// For a part of a file that holds these bytes.
    pub(crate) fn to_copy(books: &Arc<Books>, expected: &[u8]) -> Self {
        let empty = |bytes: &mut Vec<u8>| bytes.resize(bytes.len() + expected.len(), EMPTY);
        Self::new(books, empty, Role::Copies(expected.to_vec()))
    }

    /// The number of its first record.
    pub(crate) fn first(&self) -> usize {
        match &self.role {
            Role::Writes(_, range) => range.start,
            _ => 0,
        }
    }

    fn content(&self) -> &[u8] {
        &self.bytes[GUARD..self.bytes.len() - GUARD]
    }

    /// It came back from a call with this result; whether it has moved less than it could.
    pub(crate) fn back(mut self, result: Result<usize, Errno>) -> bool {
        let moved = result.unwrap_or(0);
        let len = self.content().len();
        match std::mem::replace(&mut self.role, Role::Over) {
            Role::Writes(stream, range) => self.books.sent(stream, range, moved),
            Role::Reads(stream) => {
                let (arrived, rest) = self.content().split_at(moved.min(len));
                self.books.seen(stream, arrived);
                if rest.iter().any(|&byte| byte != EMPTY) {
                    let what = format!("{result:?}, and bytes behind that were written");
                    self.books.fault(what);
                }
            }
            Role::Copies(expected) => {
                if moved > len || self.content()[..moved] != expected[..moved] {
                    self.books.fault("a file was read wrong".to_owned());
                }
            }
            Role::Over => {}
        }
        moved < len
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Role::Reads(stream) = self.role {
            // Nobody has seen how much it is.
            let empty = |word: &[u8]| word.iter().all(|&byte| byte == EMPTY);
            let words = self.content().chunks_exact(RECORD);
            let arrived = words.take_while(|word| !empty(word)).count();
            let (arrived, rest) = self.content().split_at(arrived * RECORD);
            self.books.seen(stream, arrived);
            self.books.pages().orphaned += (arrived.len() / RECORD) as u64;
            if rest.iter().any(|&byte| byte != EMPTY) {
                let what = "an orphan was written to in the middle".to_owned();
                self.books.fault(what);
            }
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        let len = bytes.len();
        let pages = &mut *self.books.pages();
        if bytes[..GUARD]
            .iter()
            .chain(&bytes[len - GUARD..])
            .any(|&byte| byte != EDGE)
        {
            let what = "a byte beside a buffer was written to".to_owned();
            pages.faults.push(what);
        }
        if !pages.out.remove(&self.id) {
            let what = "a buffer came back twice".to_owned();
            pages.faults.push(what);
        }
        bytes.fill(GONE);
        pages.kept.push_back(bytes);
        if pages.kept.len() > KEPT {
            let oldest = pages.kept.pop_front().unwrap_or_default();
            if oldest.iter().any(|&byte| byte != GONE) {
                let what = "a buffer was written to after it came back".to_owned();
                pages.faults.push(what);
            }
        }
    }
}

// SAFETY: The bytes are on the heap and do not move with the value; between submission and completion
// nothing looks at them.
unsafe impl IoBuf for Tracked {
    fn as_ptr(&self) -> *const u8 {
        self.content().as_ptr()
    }

    fn bytes_len(&self) -> usize {
        self.content().len()
    }
}

// SAFETY: As above, and the vector is the only owner.
unsafe impl IoBufMut for Tracked {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes[GUARD..].as_mut_ptr()
    }
}
