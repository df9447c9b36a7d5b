// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each operation gives what the plain call gives: result, errno, and effect on the tree.
//!
//! Two directories are made alike; in one the operation runs through a context, in the other the C
//! library's function of that name.
#![cfg(not(loom))]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

#[macro_use]
mod twins;
mod attributes;
mod data;
mod model;
mod names;
mod opening;

use attributes::{access, attributes, changing_attributes, times};
use data::{closing, copying, data, measuring, open_file, positions, vectored};
use model::file_against_a_model;
use names::{directories, links, names, renames};
use opening::{opening, opening_with_rules};

each_backend!(
    measuring,
    data,
    vectored,
    positions,
    open_file,
    copying,
    opening,
    opening_with_rules,
    closing,
    attributes,
    changing_attributes,
    times,
    names,
    links,
    renames,
    access,
    directories,
    file_against_a_model,
);
