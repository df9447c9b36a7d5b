// SPDX-License-Identifier: MIT OR Apache-2.0
//! A crate's public API as a list of items, how two lists differ, and which functions no example shows.

mod difference;
mod examples;
mod growth;
mod rustdoc;

pub use difference::Difference;
pub use examples::without_example;
pub use growth::closed;
pub use rustdoc::{Error, FORMAT, list, run};
