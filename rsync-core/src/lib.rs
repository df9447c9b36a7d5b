// SPDX-License-Identifier: MIT OR Apache-2.0

#![forbid(unsafe_code)]
#![doc = "The rsync algorithm as a library."]

pub mod block;
pub mod matcher;
pub mod patch;
pub mod rolling;
pub mod signature;
pub mod strong;
pub mod table;
pub mod token;
