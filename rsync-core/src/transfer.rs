// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file in transfer, as the receiving side knows it.

use crate::basis::Basis;
use crate::group::Lead;
use crate::io::Held;
use crate::list::{Attributes, DirList, FileId};
use crate::receiver::Begun;
use crate::target::Target;
use crate::xattrs::Unlike;
use async_lock::SemaphoreGuardArc;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// A file that was requested.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) id: FileId,
    /// Where it goes.
    pub(crate) target: Rc<Target>,
    pub(crate) list: Arc<DirList>,
    /// What has its name now.
    pub(crate) found: Option<Attributes>,
    /// The bytes of the signature that went with the first request.
    pub(crate) sums: u64,
    /// What it is compared with where nothing has its name: a file of another tree.
    pub(crate) model: Option<Attributes>,
    /// In which extended attributes that, or what has its name, is not as wanted.
    pub(crate) unlike: Unlike,
    /// The bytes of the file that stay, and more are appended to.
    pub(crate) start: Cell<u64>,
    /// What blocks are taken from.
    pub(crate) basis: RefCell<Option<Rc<Basis>>>,
    /// The right to lead, if other names are to be linked to it.
    pub(crate) lead: RefCell<Option<Lead>>,
    /// What was done for it before it comes.
    pub(crate) begun: RefCell<Begun>,
    /// Whether its answer is expected soon.
    pub(crate) soon: Cell<bool>,
    /// Whether it was requested a second time.
    pub(crate) again: Cell<bool>,
    pub(crate) _permit: SemaphoreGuardArc,
}

/// A file that is the basis of another one.
#[derive(Debug)]
pub(crate) struct StandIn {
    /// The directory that it is in.
    pub(crate) dir: Rc<Held>,
    pub(crate) name: Vec<u8>,
    pub(crate) size: u64,
    /// Whether it is only like the other one.
    pub(crate) guessed: bool,
}
