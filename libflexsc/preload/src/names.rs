// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions that stand before those of the C library: all of which the library exports.
//!
//! Of each there are the names by which programs know it, those of large files and of checked buffers
//! included. On x86-64 a `stat64` is a `stat`, and an `off64_t` an `off_t`.

pub mod data;
pub mod descriptors;
pub mod leaving;
pub mod opening;
pub mod status;
pub mod threads;
