// SPDX-License-Identifier: MIT OR Apache-2.0
//! A function without an example is found: of a method its type may show it, of another its module.

mod common;

use libflexsc_api::without_example;

use common::described;

const LIBRARY: &str = r"
//! ```
//! // Of the crate: counts for nothing.
//! ```
#![allow(missing_docs)]
/// ```
/// let one = library::Shown;
/// ```
pub struct Shown;
impl Shown { pub fn by_its_type(&self) {} }
/// ```text
/// no Rust
/// ```
pub struct Plain;
impl Plain {
    /// Words, then:
    ///
    /// ```no_run
    /// library::Plain.by_itself();
    /// ```
    pub fn by_itself(&self) {}
    /// ```compile_fail
    /// library::Plain.misused(1);
    /// ```
    pub fn misused(&self) {}
    /// ```ignore
    /// library::Plain.ignored();
    /// ```
    pub fn ignored(&self) {}
    fn private(&self) {}
}
impl Clone for Plain { fn clone(&self) -> Self { Plain } }
pub trait Buffer { fn len(&self) -> usize; }
impl Buffer for Plain { fn len(&self) -> usize { 0 } }
mod inner { pub fn used() {} pub fn hidden() {} }
pub use inner::used;
/// ```
/// library::module::by_its_module();
/// ```
pub mod module { pub fn by_its_module() {} pub struct InIt; impl InIt { pub fn method() {} } }
pub mod bare { pub fn free() {} }
";

#[test]
fn each_function_without_an_example_is_found() {
    let test = "each_function_without_an_example_is_found";
    let Some(found) = described(test, "only", LIBRARY, without_example) else {
        return;
    };
    let want = [
        "library::Buffer::len",
        "library::Plain::ignored",
        "library::Plain::misused",
        "library::bare::free",
        "library::module::InIt::method",
        "library::used",
    ];
    assert!(found.iter().eq(want), "{found:#?}");
}

#[test]
fn an_example_takes_it_away() {
    let test = "an_example_takes_it_away";
    let with = LIBRARY.replace(
        "pub fn free()",
        "/// ```\n/// library::bare::free();\n/// ```\npub fn free()",
    );
    let Some(found) = described(test, "only", &with, without_example) else {
        return;
    };
    assert!(!found.contains("library::bare::free"), "{found:#?}");
}
