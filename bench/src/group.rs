// SPDX-License-Identifier: MIT OR Apache-2.0
//! Groups of measurements.

pub(crate) mod cost;
pub(crate) mod delta;
pub(crate) mod files;
pub(crate) mod fio;
pub(crate) mod flat;
pub(crate) mod indirect;
pub(crate) mod ioping;
pub(crate) mod micro;
pub(crate) mod net;
pub(crate) mod rsync;
pub(crate) mod scale;
