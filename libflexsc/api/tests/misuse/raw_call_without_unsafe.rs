// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nobody keeps alive what a call by number points to.

use libflexsc::{
    Backend,
    raw::{RawCall, RawContext},
};

fn main() {
    let mut context = RawContext::new(Backend::direct());
    context.post(RawCall::new(0, [0; 6]), 1);
}
