// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which types of a list can get no more variants or fields without breaking programs.

/// The paths of enums, and of structures with public fields, that are not `#[non_exhaustive]`; without those in
/// a module that is not promised.
///
/// A structure that has a private field cannot be told from one that has none: only fields that are public are in
/// the list. So each with a public field has to say it.
pub fn closed(list: &str, unpromised: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for item in list.lines().filter_map(without_attributes) {
        let path = match item.strip_prefix("pub enum ") {
            Some(rest) => name(rest),
            // Of a tuple its fields stand in the list's line, the private ones as `_`.
            None => match item.strip_prefix("pub struct ") {
                Some(rest) if rest.contains("(pub ") => name(rest),
                Some(rest) if has_field(list, name(rest)) => name(rest),
                _ => continue,
            },
        };
        let promised = !unpromised
            .iter()
            .any(|module| path.starts_with(&format!("{module}::")));
        if promised && !found.iter().any(|known| known == path) {
            found.push(path.to_owned());
        }
    }
    found
}

/// An item without what stands before it, unless that is `#[non_exhaustive]`.
fn without_attributes(line: &str) -> Option<&str> {
    let mut item = line;
    while let Some((attribute, rest)) = item.strip_prefix("#[").and_then(|it| it.split_once("] ")) {
        if attribute == "non_exhaustive" {
            return None;
        }
        item = rest;
    }
    Some(item)
}

/// The path at the beginning of an item.
fn name(item: &str) -> &str {
    item.split(['<', '(', ' ']).next().unwrap_or(item)
}

fn has_field(list: &str, path: &str) -> bool {
    let field = format!("pub {path}::");
    list.lines()
        .filter_map(|line| line.strip_prefix(&field))
        .any(|rest| rest.contains(": "))
}
