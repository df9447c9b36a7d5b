// SPDX-License-Identifier: MIT OR Apache-2.0
//! What programs take apart can grow: see "What is promised" in docs/design.md.

use libflexsc_api::closed;

/// What is complete as it is.
const COMPLETE: [&str; 3] = [
    // Two halves, each of the caller's.
    "libflexsc::net::ReuniteError",
    // `struct timespec`.
    "libflexsc::Timespec",
    "libflexsc::op::Timespec",
];

/// They follow the ABI, and the protocol.
const UNPROMISED: [&str; 2] = ["libflexsc::page", "libflexsc::sys"];

#[test]
fn what_can_be_taken_apart_can_grow() {
    let list = include_str!("../libflexsc.txt");
    let mut found = closed(list, &UNPROMISED);
    found.retain(|path| !COMPLETE.contains(&path.as_str()));
    assert!(
        found.is_empty(),
        "#[non_exhaustive], or a reason why not in docs/design.md: {found:?}"
    );
}

#[test]
fn what_is_closed_is_found() {
    let list = "pub enum library::Answer\n\
                #[non_exhaustive] pub enum library::Open\n\
                pub struct library::Choice\n\
                pub library::Choice::reason: alloc::string::String\n\
                #[non_exhaustive] #[repr(C)] pub struct library::How\n\
                pub library::How::flags: u64\n\
                #[repr(C)] pub struct library::Time\n\
                pub library::Time::seconds: u64\n\
                pub struct library::Hidden\n\
                pub fn library::Hidden::new(count: u32) -> Self\n\
                pub struct library::Pair<T>(pub T, pub T)\n\
                pub struct library::Own(_)\n\
                pub enum library::sys::Word\n";
    let closed = closed(list, &["library::sys"]);
    assert_eq!(
        closed,
        [
            "library::Answer",
            "library::Choice",
            "library::Time",
            "library::Pair"
        ]
    );
}
