// SPDX-License-Identifier: MIT OR Apache-2.0

//! The rsync algorithm and a synchronisation engine that does all its file access by posted system calls.
//!
//! - The algorithm, without any I/O: [`rolling`] and [`strong`] checksums, [`block`] layout, [`signature`] of a basis,
//!   the [`table`] that the [`matcher`] searches, [`token`]s, and the [`patch`] that makes the target of them.
//! - The engine: [`Sync`] takes sources, a destination and [`Options`], and runs on a
//!   [`libflexsc::Handle`]; it tells an [`Observer`] of [`Event`]s and returns [`Stats`].
//!
//! # How the engine works
//!
//! A *sender* walks over the source and sends the file list, directory by directory. A *generator* compares it with the
//! destination and requests the files that differ, with the signature of the old version where the delta algorithm is
//! used. The sender answers with tokens, and a *receiver* writes the file beside the old one, checks it and renames it.
//! The three are futures of one thread that talk by messages only. Each has many directories and files in hand
//! at once, so that the calls of all of them are posted together.
//!
//! Reference: A. Tridgell, P. Mackerras, "The rsync algorithm", TR-CS-96-05, Australian National University, 1996.

#![forbid(unsafe_code)]

pub mod acl;
pub mod block;
pub mod chmod;
pub mod error;
pub mod escape;
pub mod event;
pub mod fake;
pub mod filter;
pub mod idmap;
pub mod item;
pub mod list;
pub mod matcher;
mod opened;
pub mod options;
mod pace;
pub mod patch;
mod progress;
pub use rsync_rolling as rolling;
pub mod search;
pub mod signature;
pub mod spec;
pub mod stats;
pub mod strong;
pub mod table;
pub mod token;

mod alternates;
mod apart;
mod backup;
mod basis;
mod delayed;
mod delete;
mod deletions;
mod destination;
mod engine;
mod fuzzy;
mod generator;
mod group;
mod guard;
mod holding;
mod io;
mod jobs;
mod links;
mod listing;
mod message;
mod names;
mod node;
mod outbox;
mod packed;
mod receiver;
mod receiving;
mod run;
mod select;
mod sender;
mod sent;
mod share;
mod side;
mod source;
mod sparse;
mod target;
mod tell;
mod teller;
mod temp;
mod transfer;
mod unfinished;
mod update;
mod walk;
mod workplace;
mod xattrs;

pub use self::{
    engine::Sync,
    error::{Error, Failure},
    event::{Event, Observer},
    item::Item,
    options::{
        Alternate, Alternates, Append, Backups, DeleteWhen, FakeSuper, Fuzzy, Identity,
        MountPoints, Options, Reflink,
    },
    progress::Progress,
    stats::Stats,
};
