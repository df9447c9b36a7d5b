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
    /// With `--relative`, the directories below that one which lead to what is meant, a part of the transfer too; else empty.
    pub way: Vec<u8>,
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
                way: Vec::new(),
                name: None,
            };
        }
        Self {
            root: root.to_vec(),
            way: Vec::new(),
            name: Some(name.to_vec()),
        }
    }

    /// Cuts an argument as `--relative` has it: paths start at the working directory, the root directory, or where the
    /// argument has `/./` for the first time.
    ///
    /// # Errors
    ///
    /// [`Upwards`] if there is a `..` behind that.
    ///
    /// # Examples
    ///
    /// ```
    /// use rsync_core::spec::Source;
    ///
    /// let entry = Source::relative(b"../x/./a/b/c")?;
    /// assert_eq!((&entry.root[..], &entry.way[..], entry.name.as_deref()), (&b"../x"[..], &b"a/b"[..], Some(&b"c"[..])));
    /// let contents = Source::relative(b"a/b/")?;
    /// assert_eq!((&contents.root[..], &contents.way[..], contents.name), (&b"."[..], &b"a/b"[..], None));
    /// # Ok::<(), rsync_core::spec::Upwards>(())
    /// ```
    pub fn relative(argument: &[u8]) -> Result<Self, Upwards> {
        let (root, path) = cut(argument);
        let root = root.unwrap_or(if argument.starts_with(b"/") {
            b"/"
        } else {
            b"."
        });
        if path.split(|byte| *byte == b'/').any(|part| part == b"..") {
            return Err(Upwards);
        }
        Ok(Self::below(root.to_vec(), path))
    }

    /// Cuts a name of a list of them, which starts at the directory `source` and never leads out of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use rsync_core::spec::Source;
    ///
    /// let entry = Source::listed(b"src", b"/a/../../b/c");
    /// assert_eq!((&entry.root[..], &entry.way[..], entry.name.as_deref()), (&b"src"[..], &b"b"[..], Some(&b"c"[..])));
    /// ```
    pub fn listed(source: &[u8], name: &[u8]) -> Self {
        let (front, path) = cut(name);
        let front = front.map(within).unwrap_or_default();
        let mut clean = within(path);
        if path.ends_with(b"/") || path.ends_with(b"/.") {
            clean.push(b'/');
        }
        Self::below(join(source, &front), &clean)
    }

    /// What a path without `..` means below a directory.
    fn below(root: Vec<u8>, path: &[u8]) -> Self {
        let mut way = within(path);
        let contents = way.is_empty() || path.ends_with(b"/") || path.ends_with(b"/.");
        if contents {
            return Self {
                root,
                way,
                name: None,
            };
        }
        let start = way.iter().rposition(|byte| *byte == b'/');
        let name = way.split_off(start.map_or(0, |slash| slash + 1));
        way.pop();
        Self {
            root,
            way,
            name: Some(name),
        }
    }

    /// The path below its root; empty for the contents of the root itself.
    pub fn path(&self) -> Vec<u8> {
        join(&self.way, self.name.as_deref().unwrap_or_default())
    }
}

/// A path of `--relative` that leads out of a directory again: nobody can say where in the transfer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upwards;

impl fmt::Display for Upwards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it has a .. in the part that the destination is to have")
    }
}

impl std::error::Error for Upwards {}

/// What stands before the first `/./` of a path, if there is one, and what stands behind it.
fn cut(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.windows(3).position(|part| part == b"/./") {
        Some(0) => (Some(b"/"), &path[3..]),
        Some(at) => (Some(&path[..at]), &path[at + 3..]),
        None => (None, path),
    }
}

/// A path without what means nothing in it, and without what leads upwards.
fn within(path: &[u8]) -> Vec<u8> {
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self
            .name
            .as_ref()
            .map(|name| name.escape_ascii().to_string());
        f.debug_struct("Source")
            .field("root", &self.root.escape_ascii().to_string())
            .field("way", &self.way.escape_ascii().to_string())
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

/// A path cut into the path of its directory and its name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
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
                way: Vec::new(),
                name: name.map(|name| name.as_bytes().to_vec()),
            };
            assert_eq!(source, expected, "{argument}");
        }
    }

    fn shown(source: &Source) -> [String; 3] {
        let name = source.name.as_deref().unwrap_or(b"(contents)");
        [&source.root[..], &source.way, name].map(|part| part.escape_ascii().to_string())
    }

    #[test]
    fn relative_paths_start_at_the_first_dot() {
        let cases = [
            ("a", [".", "", "a"]),
            ("a/b/c", [".", "a/b", "c"]),
            ("./a/b", [".", "a", "b"]),
            ("a//b///c", [".", "a/b", "c"]),
            ("a/b/", [".", "a/b", "(contents)"]),
            ("a/b/.", [".", "a/b", "(contents)"]),
            (".", [".", "", "(contents)"]),
            ("./", [".", "", "(contents)"]),
            ("/", ["/", "", "(contents)"]),
            ("/a/b", ["/", "a", "b"]),
            ("/./a", ["/", "", "a"]),
            ("/x/./a/b", ["/x", "a", "b"]),
            ("./x/./a", ["./x", "", "a"]),
            ("x/./a/./b", ["x", "a", "b"]),
            ("x/./", ["x", "", "(contents)"]),
            ("x/./.", ["x", "", "(contents)"]),
            ("../x/./a/...", ["../x", "a", "..."]),
        ];
        for (argument, expected) in cases {
            let source = Source::relative(argument.as_bytes()).unwrap();
            assert_eq!(shown(&source), expected, "{argument}");
        }
        for wrong in ["..", "../a", "a/..", "a/../b", "x/./a/../b", "x/./.."] {
            assert_eq!(Source::relative(wrong.as_bytes()), Err(Upwards), "{wrong}");
        }
    }

    #[test]
    fn listed_names_stay_below_their_directory() {
        let cases = [
            ("a", ["s", "", "a"]),
            ("//a/b", ["s", "a", "b"]),
            ("a/b/", ["s", "a/b", "(contents)"]),
            ("a/../../b", ["s", "", "b"]),
            ("../x/..", ["s", "", "(contents)"]),
            ("a/./b/c", ["s/a", "b", "c"]),
            ("../a/./../b/./c", ["s/a", "b", "c"]),
            (".", ["s", "", "(contents)"]),
        ];
        for (name, expected) in cases {
            assert_eq!(
                shown(&Source::listed(b"s", name.as_bytes())),
                expected,
                "{name}"
            );
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
