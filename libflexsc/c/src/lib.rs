// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C library of libflexsc. `include/flexsc.h` says what each function does, the manual pages in
//! `man/` at length; this crate is for no Rust program.
//!
//! It stands on [`libflexsc::raw`]: a context, calls that are prepared in memory of the library and
//! submitted together, completions in a queue.
//!
//! - No function touches `errno`.
//! - No panic leaves the library: a function with the C ABI ends the process instead.
//! - The header, `libflexsc.map` and what is exported here are held together by `tests/`.

#![allow(non_camel_case_types)]

pub mod attr;
pub mod call;
pub mod completion;
pub mod context;
mod errno;
pub mod message;
pub mod prep;
pub mod stats;
