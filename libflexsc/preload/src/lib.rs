// SPDX-License-Identifier: MIT OR Apache-2.0
//! `libflexsc_preload.so`: runs the file system calls of an unmodified program through a context of
//! libflexsc. `man/flexsc_preload.7` says what for, and what not; this crate is for no Rust program.
//!
//! ```text
//! program ── names ──┬── post ── single ── page        if it is right for sure
//!                    └── the C library's function      else
//! ```
//!
//! [`names`] are the functions that stand before those of the C library. Each asks [`post`](mod@post)
//! to make its call, and calls what it stands before if that declines. [`post`](mod@post) has the
//! conditions: the thread has a context that it has made itself, the file is one whose calls end by
//! themselves ([`kind`]), and no signal is handled meanwhile ([`mask`]). Whatever is in doubt, the
//! C library does.

pub mod context;
pub mod kind;
pub mod mask;
pub mod names;
pub mod numbers;
pub mod post;
pub mod real;
pub mod stats;
