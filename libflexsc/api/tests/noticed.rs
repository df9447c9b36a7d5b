// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each change of a public API that breaks programs is noticed.

mod common;

use std::{fs, path::Path};

use libflexsc_api::{Difference, list};

use common::described;

const LIBRARY: &str = "
#![allow(missing_docs)]
pub struct Open { pub flags: u32 }
impl Open { pub fn at(&self, path: &str) -> u32 { self.flags } }
pub fn wait(count: usize) -> bool { count > 0 }
pub struct Ticket { key: std::sync::Arc<u32> }
pub trait Buffer { fn len(&self) -> usize; }
impl Buffer for Vec<u8> { fn len(&self) -> usize { 0 } }
";

/// A change of the source takes this away and adds that.
fn change(test: &str, from: &str, to: &str, gone: &[&str], new: &[&str]) {
    assert_eq!(LIBRARY.matches(from).count(), 1, "{from}");
    let Some(before) = described(test, "before", LIBRARY, list) else {
        return;
    };
    let after = described(test, "after", &LIBRARY.replace(from, to), list).unwrap();
    let difference = Difference::between(&before, &after);
    assert_eq!(difference.gone, gone, "{difference}");
    assert_eq!(difference.new, new, "{difference}");
}

#[test]
fn function_that_is_gone() {
    let gone = ["pub fn library::wait(count: usize) -> bool"];
    change(
        "function_that_is_gone",
        "pub fn wait",
        "fn wait",
        &gone,
        &[],
    );
}

#[test]
fn argument_of_another_type() {
    let gone = ["pub fn library::wait(count: usize) -> bool"];
    let new = ["pub fn library::wait(count: u32) -> bool"];
    change(
        "argument_of_another_type",
        "count: usize",
        "count: u32",
        &gone,
        &new,
    );
}

#[test]
fn field_that_is_private() {
    let gone = ["pub library::Open::flags: u32"];
    change("field_that_is_private", "pub flags", "flags", &gone, &[]);
}

#[test]
fn type_that_is_no_longer_send() {
    let gone = [
        "impl core::marker::Send for library::Ticket",
        "impl core::marker::Sync for library::Ticket",
    ];
    let new = [
        "impl !core::marker::Send for library::Ticket",
        "impl !core::marker::Sync for library::Ticket",
    ];
    change(
        "type_that_is_no_longer_send",
        "std::sync::Arc",
        "std::rc::Rc",
        &gone,
        &new,
    );
}

#[test]
fn trait_that_is_no_longer_implemented() {
    let gone = [
        "impl library::Buffer for alloc::vec::Vec<u8>",
        "pub fn alloc::vec::Vec<u8>::len(&self) -> usize",
    ];
    change(
        "trait_that_is_no_longer_implemented",
        "impl Buffer for Vec<u8> { fn len(&self) -> usize { 0 } }",
        "",
        &gone,
        &[],
    );
}

#[test]
fn what_is_private_does_not_count() {
    change(
        "what_is_private_does_not_count",
        "self.flags",
        "self.flags + 1",
        &[],
        &[],
    );
}

/// Any line of the lists that are committed.
#[test]
fn line_that_is_gone() {
    for file in ["libflexsc.txt", "rsync-core.txt"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let committed = fs::read_to_string(path).unwrap();
        let lines: Vec<_> = committed.lines().collect();
        assert!(lines.len() > 100, "{file} has {} lines", lines.len());
        for (index, line) in lines.iter().enumerate().step_by(97) {
            let rest: Vec<_> = [&lines[..index], &lines[index + 1..]].concat();
            let difference = Difference::between(&committed, &rest.join("\n"));
            assert_eq!(difference.gone, [*line]);
            assert!(difference.new.is_empty());
        }
    }
}

#[test]
fn order_does_not_count() {
    assert!(Difference::between("a\nb\n", "b\na\n").is_empty());
}
