// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the test programs of the guest share.
//!
//! Each program runs as root, by itself, and prints one line per behaviour: `PASS name`, `FAIL name: why` or
//! `SKIP name: why`. Its exit status is 0, 1 or 77 (nothing could be tested). With `--fake` every call is made by
//! the plain system call: that checks the harness on any machine and never counts as a pass.
#![warn(missing_docs)]

pub mod arena;
pub mod arm;
pub mod calls;
pub mod cancel;
pub mod case;
pub mod cases;
pub mod client;
pub mod differential;
pub mod fuse;
pub mod fuzz;
pub mod garbage;
pub mod handback;
pub mod ioctls;
pub mod isolation;
pub mod lanes;
pub mod lifecycle;
pub mod link;
pub mod matrix;
pub mod normal;
pub mod op;
pub mod options;
pub mod policy;
pub mod posted;
pub mod process;
pub mod protocol;
pub mod random;
pub mod random_io;
pub mod received;
pub mod report;
pub mod rng;
pub mod scratch;
pub mod shared_words;
pub mod snapshot;
pub mod stalls;
pub mod storm;
pub mod suite;
pub mod tree;
pub mod userfault;
pub mod world;
pub mod xattr;
