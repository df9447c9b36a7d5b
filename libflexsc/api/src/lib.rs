// SPDX-License-Identifier: MIT OR Apache-2.0
//! A crate's public API as a list of items, and how two lists differ.

mod difference;
mod rustdoc;

pub use difference::Difference;
pub use rustdoc::{Error, FORMAT, list, run};
