// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an operation asks for is executed as it is: only the library's own are trusted.

struct Mine;

impl libflexsc::op::Sealed for Mine {}

fn main() {}
