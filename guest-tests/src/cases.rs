// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directed cases, by group of calls.

pub mod attributes;
pub mod change;
pub mod data;
pub mod extent;
pub mod look;
pub mod message;
pub mod opening;
pub mod socket;
pub mod splice;
pub mod system;
pub mod xattr;

use crate::case::{Case, Cases};

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases = Cases::default();
    data::add(&mut cases);
    extent::add(&mut cases);
    attributes::add(&mut cases);
    opening::add(&mut cases);
    look::add(&mut cases);
    change::add(&mut cases);
    system::add(&mut cases);
    xattr::add(&mut cases);
    socket::add(&mut cases);
    message::add(&mut cases);
    splice::add(&mut cases);
    cases.0
}
