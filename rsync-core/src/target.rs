// SPDX-License-Identifier: MIT OR Apache-2.0

//! A directory of the destination, from the moment its list comes until its times are set.

use crate::alternates::Others;
use crate::filter::Scope;
use crate::fuzzy::Candidates;
use crate::io::Held;
use crate::list::{Attributes, DirId};
use crate::message::Listing;
use crate::receiver::MadeWith;
use crate::spec::join;
use crate::xattrs::{Unlike, Whose, Xattrs};
use async_lock::OnceCell;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Whether a directory is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not known yet.
    Waiting,
    /// It is there.
    Ready,
    /// It would have been made, in a dry run.
    Absent,
    /// It could not be made or opened, or is not to be made; what belongs into it is left out.
    Failed,
}

/// The filter rules in a directory, once they were asked for; none if they cannot be read.
pub(crate) type Rules = OnceCell<Option<Rc<Scope>>>;

/// A directory of the destination.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) id: DirId,
    /// Its path below the root of the transfer; empty for the root itself.
    pub(crate) path: Vec<u8>,
    pub(crate) parent: Option<Rc<Target>>,
    /// The attributes that it is to have; none for one that only leads to what arguments name.
    pub(crate) want: Option<Attributes>,
    /// The extended attributes that it is to have, if they are known.
    pub(crate) xattrs: Option<Box<Xattrs>>,
    /// Whether its path is shown with a slash before it.
    pub(crate) absolute: bool,
    /// Whether symbolic links lead to it, which stay below the destination.
    pub(crate) linked: Cell<bool>,
    /// Its path in the source, if that is to be told.
    pub(crate) origin: Option<Vec<u8>>,
    /// Those that it had before, unless it was made.
    pub(crate) found: Cell<Option<Attributes>>,
    /// Those of a directory of another tree that it is compared with where it is new.
    pub(crate) model: Cell<Option<Attributes>>,
    /// In which extended attributes that one is not as wanted.
    pub(crate) model_unlike: Cell<Unlike>,
    /// The directories of other trees that stand for it, as long as it is open.
    pub(crate) alternates: RefCell<Option<Rc<Others>>>,
    /// The files that may stand in for missing ones, once one was missing, as long as files are requested.
    pub(crate) candidates: RefCell<Rc<OnceCell<Candidates>>>,
    /// Whether it was made, so that nothing can be in it.
    pub(crate) fresh: Cell<bool>,
    /// Whether it could not be read when something was to be deleted before all else.
    pub(crate) unlooked: Cell<bool>,
    /// Whether it is open for no more than to be entered, as only the root may be.
    pub(crate) passage: Cell<bool>,
    /// Whether its mode has bits for the owner that it is not to keep.
    pub(crate) widened: Cell<bool>,
    /// Those that it is to keep if it was made and modes are not copied.
    pub(crate) owner_bits: Cell<u32>,
    /// Whether something in it was made, removed or renamed, so that its time has changed.
    pub(crate) dirty: Cell<bool>,
    /// Whether what is made in it gets its group, for its set-group-ID bit.
    pub(crate) passes_group: Cell<bool>,
    /// Its group, where known.
    pub(crate) gid: Cell<Option<u32>>,
    /// What modes files have that are made in it.
    pub(crate) made_with: MadeWith,
    /// The open directory. May be closed for a while, and opened again by its path.
    pub(crate) held: RefCell<Option<Rc<Held>>>,
    /// What still may change something in it: its own list, files in transfer, directories to be made, deletion.
    pub(crate) items: Cell<usize>,
    /// What still may request a file of it: its own list, files in transfer.
    pub(crate) files: Cell<usize>,
    /// Whether what a killed run left in it is gone.
    pub(crate) clean: Cell<bool>,
    /// Set once temporary files may be made in it.
    pub(crate) claimed: OnceCell<()>,
    /// The names of what its holding directory had at first.
    pub(crate) held_back: OnceCell<HashSet<Vec<u8>>>,
    /// Whether that may be empty by now.
    pub(crate) unheld: Cell<bool>,
    /// The filter rules in it, once they were asked for; none if they cannot be read.
    pub(crate) scope: RefCell<Rc<Rules>>,
    state: Cell<State>,
    wakers: RefCell<Vec<Waker>>,
}

impl Target {
    /// The directory of a listing in `parent`.
    pub(crate) fn new(parent: Option<Rc<Self>>, listing: &Listing) -> Self {
        Self {
            id: listing.id,
            path: parent
                .as_ref()
                .map(|parent| join(&parent.path, &listing.name))
                .unwrap_or_default(),
            parent,
            want: listing.attributes,
            xattrs: listing.xattrs.clone(),
            absolute: listing.absolute,
            linked: Cell::default(),
            origin: listing.list.directory_origin().map(<[u8]>::to_vec),
            found: Cell::default(),
            model: Cell::default(),
            model_unlike: Cell::default(),
            alternates: RefCell::default(),
            candidates: RefCell::default(),
            fresh: Cell::default(),
            unlooked: Cell::default(),
            passage: Cell::default(),
            widened: Cell::default(),
            owner_bits: Cell::new(0o700),
            dirty: Cell::default(),
            passes_group: Cell::default(),
            gid: Cell::default(),
            made_with: MadeWith::default(),
            held: RefCell::default(),
            items: Cell::new(1 + listing.list.directories()),
            files: Cell::new(1),
            clean: Cell::default(),
            claimed: OnceCell::new(),
            held_back: OnceCell::new(),
            unheld: Cell::default(),
            scope: RefCell::default(),
            state: Cell::new(State::Waiting),
            wakers: RefCell::default(),
        }
    }

    /// The open directory, or its name where it is open for no more than to be entered.
    pub(crate) fn whose<'d>(&self, dir: &'d Held) -> Whose<'d> {
        match self.passage.get() {
            true => Whose::Named(dir, b"."),
            false => Whose::Open(dir),
        }
    }

    /// Its own name; empty for the root.
    pub(crate) fn name(&self) -> &[u8] {
        self.path
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default()
    }

    /// The path of an entry in it, below the root of the transfer.
    pub(crate) fn join(&self, name: &[u8]) -> Vec<u8> {
        join(&self.path, name)
    }

    /// What is known now.
    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    /// Says whether it is there, and wakes whoever waits for that.
    pub(crate) fn establish(&self, state: State) {
        self.state.set(state);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    /// Waits until it is known whether it is there.
    pub(crate) async fn established(&self) -> State {
        poll_fn(|task| match self.state.get() {
            State::Waiting => {
                self.wakers.borrow_mut().push(task.waker().clone());
                Poll::Pending
            }
            state => Poll::Ready(state),
        })
        .await
    }
}

/// Adds one to a counter.
pub(crate) fn more(counter: &Cell<usize>) {
    counter.set(counter.get() + 1);
}

/// Takes one from a counter; true when none is left.
pub(crate) fn fewer(counter: &Cell<usize>) -> bool {
    let left = counter.get().saturating_sub(1);
    counter.set(left);
    left == 0
}
