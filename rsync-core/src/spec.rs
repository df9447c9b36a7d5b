// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a source or destination argument names.

use std::fmt;

/// The host part of a name, if it names one: `host:path`, `host::module` or `rsync://...`.
///
/// A colon counts before the first slash only, so `./a:b` and `/a:b` are local.
///
/// # Examples
///
/// ```
/// use rsync_core::spec::host;
///
/// assert_eq!(host(b"backup:/srv"), Some(&b"backup"[..]));
/// assert_eq!(host(b"./a:b"), None);
/// ```
pub fn host(name: &[u8]) -> Option<&[u8]> {
    const URL: &[u8] = b"rsync://";
    if name.len() >= URL.len() && name[..URL.len()].eq_ignore_ascii_case(URL) {
        return name[URL.len()..].split(|byte| *byte == b'/').next();
    }
    let end = name.iter().position(|byte| matches!(byte, b':' | b'/'))?;
    (name[end] == b':').then_some(&name[..end])
}

/// A source argument, cut the way rsync reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// The directory that paths start from: the argument itself when its contents are meant, else its parent.
    pub root: Vec<u8>,
    /// The entry in it that is meant; `None` for the contents.
    pub name: Option<Vec<u8>>,
}

impl Source {
    /// Cuts an argument: one that ends in a slash, in `.` or in `..` means the directory's contents.
    ///
    /// # Examples
    ///
    /// ```
    /// use rsync_core::spec::Source;
    ///
    /// let entry = Source::parse(b"a/b");
    /// assert_eq!((&entry.root[..], entry.name.as_deref()), (&b"a"[..], Some(&b"b"[..])));
    /// let contents = Source::parse(b"a/b/");
    /// assert_eq!((&contents.root[..], contents.name), (&b"a/b/"[..], None));
    /// ```
    pub fn parse(argument: &[u8]) -> Self {
        let (root, name) = match argument.iter().rposition(|byte| *byte == b'/') {
            None => (&b"."[..], argument),
            // The root directory keeps its slash.
            Some(slash) => (&argument[..slash.max(1)], &argument[slash + 1..]),
        };
        if matches!(name, b"" | b"." | b"..") {
            let root = if argument.is_empty() { b"." } else { argument };
            return Self {
                root: root.to_vec(),
                name: None,
            };
        }
        Self {
            root: root.to_vec(),
            name: Some(name.to_vec()),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self
            .name
            .as_ref()
            .map(|name| name.escape_ascii().to_string());
        f.debug_struct("Source")
            .field("root", &self.root.escape_ascii().to_string())
            .field("name", &name)
            .finish()
    }
}

/// Two parts of a path put together with one slash between; an empty part is left out.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !directory.is_empty() && !name.is_empty() && !directory.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_local_names() {
        for remote in [
            "h:p",
            "u@h:p",
            "h::m",
            "h:",
            ":p",
            "rsync://h/m",
            "RSYNC://h:1/m",
            "[::1]:p",
            "rsync://",
        ] {
            assert!(host(remote.as_bytes()).is_some(), "{remote}");
        }
        for local in ["", "a", "./a:b", "/a:b", "a/b:c", "../h:p", "rsync/h:p"] {
            assert!(host(local.as_bytes()).is_none(), "{local}");
        }
        assert_eq!(host(b"rsync://h/m"), Some(&b"h"[..]));
    }

    #[test]
    fn sources_are_cut_at_the_last_slash() {
        let cases: [(&str, &str, Option<&str>); 12] = [
            ("a", ".", Some("a")),
            ("a/", "a/", None),
            ("a/.", "a/.", None),
            ("a/..", "a/..", None),
            (".", ".", None),
            ("..", "..", None),
            ("/", "/", None),
            ("/a", "/", Some("a")),
            ("/a/b", "/a", Some("b")),
            ("a//b", "a/", Some("b")),
            ("./-n", ".", Some("-n")),
            ("a/...", "a", Some("...")),
        ];
        for (argument, root, name) in cases {
            let source = Source::parse(argument.as_bytes());
            let expected = Source {
                root: root.into(),
                name: name.map(|name| name.as_bytes().to_vec()),
            };
            assert_eq!(source, expected, "{argument}");
        }
    }

    #[test]
    fn joining_adds_at_most_one_slash() {
        assert_eq!(join(b"", b"a"), b"a");
        assert_eq!(join(b"a", b""), b"a");
        assert_eq!(join(b"/", b"a"), b"/a");
        assert_eq!(join(b"a", b"b"), b"a/b");
    }
}
