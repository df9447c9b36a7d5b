// SPDX-License-Identifier: MIT OR Apache-2.0
//! To come.
use crate::case::Cases;
/// Adds the cases.
pub fn add(_cases: &mut Cases) {}
