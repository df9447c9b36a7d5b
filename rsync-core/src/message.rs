// SPDX-License-Identifier: MIT OR Apache-2.0

//! The messages between sender, generator and receiver, one enumeration a direction.
//!
//! Nothing else passes between the sender and the receiving side, so that a pipe could stand between them:
//! an `Arc` in a message is shared only because both ends are in one process, and holds plain data. The exception is
//! [`Request::into`], which only a receiving side in the sender's process gives.
//!
//! ```text
//!              FromSender: file list, tokens              ToGenerator
//!   sender  ------------------------------------>  receiver  ------->  generator
//!     ^                                                                    |
//!     +--------------------------------------------------------------------+
//!                      ToSender: requests with signatures
//! ```

use crate::error::Action;
use crate::io::CHUNK;
use crate::list::{Attributes, DirId, FileId};
use crate::packed::Contents;
use crate::signature::Signature;
use crate::strong::Digest;
use crate::token::OwnedToken;
use crate::xattrs::Xattrs;
use libflexsc::{Errno, SharedFd};

/// From the sender to the receiving side.
#[derive(Debug)]
pub(crate) enum FromSender {
    /// A directory of the file list. Its parent's came before.
    Directory(Listing),
    /// The file list is complete.
    ListEnd {
        /// Whether all of the source could be read.
        complete: bool,
    },
    /// A part of a file that was requested.
    Delta(Delta),
    /// The ends of files, nothing of which is in any other message.
    Ends(Vec<(FileId, End)>),
}

impl FromSender {
    /// About how many bytes the message would take on a wire.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Directory(listing) => {
                let missing = listing.missing.iter().map(|name| 4 + name.len() as u64);
                8 + listing.list.weight() + missing.sum::<u64>()
            }
            Self::ListEnd { .. } => 1,
            Self::Delta(delta) => {
                8 + delta.tokens.iter().map(OwnedToken::weight).sum::<u64>()
                    + delta.end.as_ref().map_or(0, End::weight)
            }
            Self::Ends(ends) => ends.iter().map(|(_, end)| 8 + end.weight()).sum(),
        }
    }
}

/// A directory of the file list.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// What it is called.
    pub(crate) id: DirId,
    /// The directory that it is in; `None` for the root of the transfer.
    pub(crate) parent: Option<DirId>,
    /// Its name there; empty for the root.
    pub(crate) name: Vec<u8>,
    /// The attributes that it is to have. A directory that only leads to what arguments name may have none.
    pub(crate) attributes: Option<Attributes>,
    /// Its extended attributes, if they are known.
    pub(crate) xattrs: Option<Box<Xattrs>>,
    /// Whether its path is shown with a slash before it.
    pub(crate) absolute: bool,
    /// Its entries.
    pub(crate) list: Contents,
    /// Names that are to be deleted in it.
    pub(crate) missing: Vec<Vec<u8>>,
    /// Whether these are all.
    pub(crate) complete: bool,
    /// Whether all of the source could be read so far.
    pub(crate) faultless: bool,
    /// Whether one name of the source may come more than once, in this list or in others.
    pub(crate) repeated: bool,
}

/// A part of a file.
#[derive(Debug)]
pub(crate) struct Delta {
    /// The file.
    pub(crate) file: FileId,
    /// What comes next in it.
    pub(crate) tokens: Vec<OwnedToken>,
    /// Set when nothing follows.
    pub(crate) end: Option<End>,
}

/// What the bytes of a whole file of that length would weigh as tokens.
pub(crate) fn whole_weight(size: u64) -> u64 {
    size + 4 * size.div_ceil(CHUNK as u64)
}

/// The end of a file.
#[derive(Debug)]
pub(crate) enum End {
    /// All of it was sent.
    Complete {
        /// Its checksum. `None` for a whole file, of which every byte came in these messages, or where what the receiver had is
        /// trusted.
        digest: Option<Digest>,
        /// Its attributes, when they are no longer those of the file list.
        fresh: Option<Attributes>,
    },
    /// All of it was written to the file that the request names.
    Filled {
        /// Its length in bytes.
        size: u64,
        /// Its attributes, when they are no longer those of the file list.
        fresh: Option<Attributes>,
    },
    /// That was not done.
    NotFilled {
        /// What failed.
        action: Action,
        /// How.
        errno: Errno,
    },
    /// It did not have the length that it should have: it changes.
    Changed,
    /// It could not be read. The sender has reported it.
    Failed {
        /// It is no longer there.
        vanished: bool,
    },
}

impl End {
    fn weight(&self) -> u64 {
        match self {
            Self::Filled { size, .. } => 20 + whole_weight(*size),
            _ => 20,
        }
    }
}

/// From the generator to the sender.
#[derive(Debug)]
pub(crate) enum ToSender {
    /// Send this file.
    Request(Request),
    /// The destination has this file: its source may be removed, if it is still this one.
    Done {
        /// The file.
        file: FileId,
        /// Its attributes when it was read.
        attributes: Attributes,
    },
    /// No file of this directory will be requested any more.
    Release(DirId),
}

impl ToSender {
    /// About how many bytes the message would take on a wire.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Request(request) => 8 + request.signature.as_ref().map_or(16, Signature::weight),
            Self::Done { .. } => 28,
            Self::Release(_) => 4,
        }
    }
}

/// A request for a file.
#[derive(Debug)]
pub(crate) struct Request {
    /// The file.
    pub(crate) file: FileId,
    /// The signature of the receiver's basis; `None` asks for the whole file.
    pub(crate) signature: Option<Signature>,
    /// Whether the receiver writes the file over its basis, so that blocks that it has gone past are gone.
    pub(crate) in_place: bool,
    /// The bytes that the receiver has, which are not to be sent.
    pub(crate) start: u64,
    /// Whether a first attempt failed: the file's attributes are to be looked at anew.
    pub(crate) again: bool,
    /// The file that a sender in the same process is to write all of it to.
    pub(crate) into: Option<SharedFd>,
}

/// From the receiver to the generator, which run on the same side.
#[derive(Debug)]
pub(crate) enum ToGenerator {
    /// A directory of the file list.
    Directory(Listing),
    /// The file list is complete.
    ListEnd {
        /// Whether all of the source could be read.
        complete: bool,
    },
    /// A file is dealt with, well or not.
    Finished,
    /// A file is to be requested once more.
    Again(FileId),
    /// The same, but when nothing else is in transfer: what is may have taken the room that it needs.
    WithRoom(FileId),
}
