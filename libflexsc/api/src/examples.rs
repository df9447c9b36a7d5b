// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which public functions no example shows.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Map, Value};

use crate::{Error, rustdoc};

/// The public functions, each by its path, that have no example: neither in their own documentation nor, of
/// a method, in that of its type, trait or `impl` block, nor, of another, in that of its module. The crate's
/// own does not count. An example is a block of Rust that is compiled and is meant to be.
///
/// # Errors
///
/// [`Error::Read`], [`Error::Format`], [`Error::Parse`].
pub fn without_example(json: &Path) -> Result<BTreeSet<String>, Error> {
    let parse = |reason: &str| Error::Parse {
        path: json.to_owned(),
        reason: reason.to_owned(),
    };
    rustdoc::check_format(json)?;
    let text = fs::read_to_string(json).map_err(|source| Error::Read {
        path: json.to_owned(),
        source,
    })?;
    let described: Value =
        serde_json::from_str(&text).map_err(|error| parse(&error.to_string()))?;
    let index = described["index"].as_object();
    let mut walk = Walk {
        index: index.ok_or_else(|| parse("no index"))?,
        seen: BTreeSet::new(),
        found: BTreeSet::new(),
    };
    let root = walk.item(&described["root"]);
    let root = root.ok_or_else(|| parse("no root"))?;
    let name = root["name"].as_str().ok_or_else(|| parse("no name"))?;
    walk.module(root, name, false);
    Ok(walk.found)
}

struct Walk<'a> {
    index: &'a Map<String, Value>,
    /// Types may be had under several paths: the first counts.
    seen: BTreeSet<String>,
    found: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    /// The item with this number; `None` of another crate.
    fn item(&self, id: &Value) -> Option<&'a Value> {
        self.index.get(&id.to_string())
    }

    /// `shown` is whether its documentation counts as an example of the functions in it.
    fn module(&mut self, module: &'a Value, path: &str, shown: bool) {
        for id in array(&module["inner"]["module"]["items"]) {
            let Some(item) = self.item(id) else {
                continue;
            };
            let used = &item["inner"]["use"];
            if used.is_null() {
                self.member(item, item["name"].as_str(), path, shown);
            } else if let Some(target) = self.item(&used["id"]) {
                match used["is_glob"].as_bool() {
                    Some(true) => self.module(target, path, shown),
                    _ => self.member(target, used["name"].as_str(), path, shown),
                }
            }
        }
    }

    fn member(&mut self, item: &'a Value, name: Option<&str>, path: &str, shown: bool) {
        let Some(name) = name else {
            return;
        };
        let path = format!("{path}::{name}");
        let inner = &item["inner"];
        if !inner["module"].is_null() {
            return self.module(item, &path, has_example(item));
        }
        if !self.seen.insert(item["id"].to_string()) {
            return;
        }
        if !inner["function"].is_null() {
            self.function(item, &path, shown);
        }
        if !inner["trait"].is_null() {
            let shown = has_example(item);
            self.methods(&inner["trait"]["items"], &path, shown, |_| true);
        }
        for kind in ["struct", "enum", "union"] {
            for id in array(&inner[kind]["impls"]) {
                let Some(block) = self.item(id) else {
                    continue;
                };
                let of = &block["inner"]["impl"];
                // What a trait asks for is shown there.
                if of["trait"].is_null() {
                    let shown = has_example(item) || has_example(block);
                    self.methods(&of["items"], &path, shown, |method| {
                        method["visibility"] == "public"
                    });
                }
            }
        }
    }

    fn methods(&mut self, ids: &Value, path: &str, shown: bool, counts: fn(&Value) -> bool) {
        for id in array(ids) {
            let Some(method) = self.item(id).filter(|method| counts(method)) else {
                continue;
            };
            if let (Some(name), false) = (
                method["name"].as_str(),
                method["inner"]["function"].is_null(),
            ) {
                self.function(method, &format!("{path}::{name}"), shown);
            }
        }
    }

    fn function(&mut self, function: &Value, path: &str, shown: bool) {
        if !shown && !has_example(function) {
            self.found.insert(path.to_owned());
        }
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether its documentation has a block that rustdoc compiles as an example.
fn has_example(item: &Value) -> bool {
    let mut inside = false;
    for line in item["docs"].as_str().unwrap_or("").lines() {
        let Some(rest) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        if !inside {
            let mut words = rest.split([',', ' ']).filter(|word| !word.is_empty());
            if words.all(|word| matches!(word, "rust" | "no_run" | "should_panic")) {
                return true;
            }
        }
        inside = !inside;
    }
    false
}
