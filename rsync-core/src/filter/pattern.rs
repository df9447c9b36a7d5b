// SPDX-License-Identifier: MIT OR Apache-2.0

//! Patterns of filter rules, and which paths they match.

use std::borrow::Cow;

/// A pattern of a filter rule: rsync(1), "PATTERN MATCHING RULES".
///
/// - `?` stands for any byte but a slash, `*` for any number of those, `**` for any number of any bytes, `[...]` for
///   one byte of a class.
/// - A backslash takes the special meaning from the byte after it, but only in a pattern that has one of `*`, `?`, `[`.
/// - A pattern with a slash, one at its end not counted, or with `**` is compared with the end of the path, from the
///   beginning of any name on; any other is compared with the last name only.
/// - With a slash at its beginning it is compared with the whole path; with one at its end it matches directories only.
/// - `dir/***` matches `dir` itself and all that is in it.
///
/// # Examples
///
/// ```
/// use rsync_core::filter::Pattern;
///
/// let pattern = Pattern::new(b"/build/**/*.[oa]").unwrap();
/// assert!(pattern.matches(b"build/x/y/main.o", false));
/// assert!(!pattern.matches(b"src/build/x/main.o", false));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    tokens: Box<[Token]>,
    /// Compared with the whole path, from its beginning.
    anchored: bool,
    /// Compared with the path, not only with its last name.
    whole_path: bool,
    directories_only: bool,
    /// Begins with `**`, which also stands for the slash before the path.
    open_start: bool,
    /// Ends in `***`: a directory's path is compared with a slash at its end.
    open_end: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `**`
    DoubleStar,
    Class(Box<Class>),
    /// What no byte matches: a class without an end, a backslash before nothing.
    Nothing,
}

/// A set of bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Class([u64; 4]);

impl Class {
    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & 1 << (byte & 63) != 0
    }

    /// Reads a class of which the `[` is taken off; gives what follows it. `None` if it has no end or names a class
    /// of characters that there is not.
    fn parse(rest: &[u8]) -> Option<(Self, &[u8])> {
        let mut class = Self::default();
        let (negated, mut rest) = match rest {
            [b'!' | b'^', rest @ ..] => (true, rest),
            _ => (false, rest),
        };
        let mut first = true;
        loop {
            rest = match rest {
                [b']', rest @ ..] if !first => {
                    if negated {
                        class.0 = class.0.map(|bits| !bits);
                    }
                    // A slash separates names, and no class crosses that.
                    class.0[usize::from(b'/' >> 6)] &= !(1 << (b'/' & 63));
                    return Some((class, rest));
                }
                [b'[', b':', rest @ ..] => {
                    let end = rest.windows(2).position(|two| two == b":]")?;
                    let is_member = named(&rest[..end])?;
                    (0..=u8::MAX)
                        .filter(is_member)
                        .for_each(|byte| class.add(byte));
                    &rest[end + 2..]
                }
                _ => {
                    let (low, after) = member(rest)?;
                    match after {
                        [b'-', next, ..] if *next != b']' => {
                            let (high, after) = member(&after[1..])?;
                            (low..=high).for_each(|byte| class.add(byte));
                            after
                        }
                        _ => {
                            class.add(low);
                            after
                        }
                    }
                }
            };
            first = false;
        }
    }
}

/// One byte of a class, perhaps after a backslash.
fn member(rest: &[u8]) -> Option<(u8, &[u8])> {
    match rest {
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => Some((*byte, rest)),
        [] => None,
    }
}

/// POSIX's classes, in the C locale.
fn named(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

impl Pattern {
    /// Reads a pattern; `None` if it is empty.
    pub fn new(text: &[u8]) -> Option<Self> {
        let (directories_only, text) = match text {
            [] => return None,
            [text @ .., b'/'] if !text.is_empty() => (true, text),
            _ => (false, text),
        };
        let wild = text.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
        let has_double = wild && text.windows(2).any(|two| two == b"**");
        let (anchored, body) = match text {
            [b'/', body @ ..] => (true, body),
            _ => (false, text),
        };
        let tokens = if wild {
            tokens(body)
        } else {
            body.iter().map(|byte| Token::Byte(*byte)).collect()
        };
        Some(Self {
            tokens: tokens.into(),
            anchored,
            whole_path: has_double || text.contains(&b'/'),
            directories_only,
            open_start: !anchored && text.starts_with(b"**"),
            open_end: text.ends_with(b"***"),
        })
    }

    /// Whether it begins with a slash.
    pub(crate) fn is_anchored(&self) -> bool {
        self.anchored
    }

    /// Whether it matches `path`, which begins and ends without a slash.
    pub fn matches(&self, path: &[u8], directory: bool) -> bool {
        if self.directories_only && !directory {
            return false;
        }
        if !self.whole_path {
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
            return is_match(&self.tokens, name);
        }
        let mut text = Cow::Borrowed(path);
        if self.open_start {
            text.to_mut().insert(0, b'/');
        }
        if self.open_end && directory {
            text.to_mut().push(b'/');
        }
        if self.anchored || self.open_start {
            return is_match(&self.tokens, &text);
        }
        let starts = text.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        std::iter::once(0)
            .chain(starts.map(|(at, _)| at + 1))
            .any(|start| is_match(&self.tokens, &text[start..]))
    }
}

fn tokens(mut text: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    loop {
        let (token, rest) = match text {
            [] => return tokens,
            [b'*', b'*', rest @ ..] => {
                let more = rest.iter().take_while(|byte| **byte == b'*').count();
                (Token::DoubleStar, &rest[more..])
            }
            [b'*', rest @ ..] => (Token::Star, rest),
            [b'?', rest @ ..] => (Token::Any, rest),
            [b'[', rest @ ..] => match Class::parse(rest) {
                Some((class, rest)) => (Token::Class(Box::new(class)), rest),
                None => (Token::Nothing, &[][..]),
            },
            [b'\\', byte, rest @ ..] => (Token::Byte(*byte), rest),
            [b'\\'] => (Token::Nothing, &[][..]),
            [byte, rest @ ..] => (Token::Byte(*byte), rest),
        };
        tokens.push(token);
        text = rest;
    }
}

/// Whether the tokens match all of a text.
///
/// A star takes as little as it can and is given more when what follows it does not match. To go back to the last star
/// suffices, and where that could not take a slash, to the last double star: an earlier one has nothing to gain.
fn is_match(tokens: &[Token], text: &[u8]) -> bool {
    // After which token to go on, and from where in the text.
    let mut star: Option<(usize, usize)> = None;
    let mut double: Option<(usize, usize)> = None;
    let (mut token, mut at) = (0, 0);
    loop {
        let next = text.get(at).copied();
        let matched = match (tokens.get(token), next) {
            (None, None) => return true,
            (Some(Token::Star), _) => {
                token += 1;
                star = Some((token, at));
                continue;
            }
            (Some(Token::DoubleStar), _) => {
                token += 1;
                (star, double) = (None, Some((token, at)));
                continue;
            }
            (Some(Token::Byte(byte)), Some(next)) => *byte == next,
            (Some(Token::Any), Some(next)) => next != b'/',
            (Some(Token::Class(class)), Some(next)) => class.has(next),
            (Some(Token::Nothing), _) => return false,
            (None, Some(_)) | (Some(_), None) => false,
        };
        if matched {
            (token, at) = (token + 1, at + 1);
            continue;
        }
        (token, at) = match (star, double) {
            (Some((after, from)), _) if text.get(from).is_some_and(|byte| *byte != b'/') => {
                star = Some((after, from + 1));
                (after, from + 1)
            }
            (_, Some((after, from))) if from < text.len() => {
                (star, double) = (None, Some((after, from + 1)));
                (after, from + 1)
            }
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let compiled = Pattern::new(pattern.as_bytes()).unwrap();
        for (paths, expected) in [(matching, true), (others, false)] {
            for path in paths {
                let (plain, directory) = match path.strip_suffix('/') {
                    Some(plain) => (plain, true),
                    None => (*path, false),
                };
                let matched = compiled.matches(plain.as_bytes(), directory);
                assert_eq!(matched, expected, "{pattern} on {path}");
            }
        }
    }

    #[test]
    fn the_manual_s_examples_hold() {
        check("*.o", &["a.o", "x/y.o", ".o"], &["a.oo", "a.o/b"]);
        check("/foo", &["foo", "foo/"], &["x/foo", "foo/x"]);
        check("foo/", &["foo/", "x/foo/"], &["foo", "foo/x"]);
        check(
            "foo/bar",
            &["foo/bar", "x/foo/bar"],
            &["xfoo/bar", "foo/bar/x"],
        );
        check(
            "foo/*/bar",
            &["foo/x/bar", "a/foo/x/bar"],
            &["foo/bar", "foo/x/y/bar"],
        );
        check(
            "/foo/**/bar",
            &["foo/x/bar", "foo/x/y/bar"],
            &["foo/bar", "a/foo/x/bar"],
        );
        check(
            "dir/***",
            &["dir/", "dir/x", "a/dir/", "a/dir/x/y"],
            &["dir", "xdir/"],
        );
        check("**/foo", &["foo", "a/foo", "a/b/foo"], &["afoo", "foo/a"]);
        check("/**/foo", &["a/foo"], &["foo"]);
        check(
            "foo**bar",
            &["foobar", "x/foo/bar", "foo/x/bar"],
            &["xfoobar"],
        );
        check("?", &["a", "b/c"], &["ab", ""]);
        check("a?b/c", &["axb/c"], &["a/b/c"]);
    }

    #[test]
    fn a_backslash_means_itself_unless_the_pattern_is_wild() {
        check("foo\\bar", &["foo\\bar"], &["foobar"]);
        check("foo\\bar*", &["foobar", "foobarx"], &["foo\\bar"]);
        check("foo\\\\bar*", &["foo\\barx"], &["foobarx"]);
        check("a\\*b", &["a*b"], &["axb"]);
        check("*\\", &[], &["a\\", "a"]);
    }

    #[test]
    fn classes_have_ranges_names_and_negation() {
        check("[a-c]", &["a", "c"], &["d", "-"]);
        check("[!a-c]", &["d"], &["b"]);
        check("[^a]", &["b"], &["a"]);
        check("[]x]", &["]", "x"], &["y"]);
        check("[a-]", &["a", "-"], &["b"]);
        check("[\\]a]", &["]", "a"], &["\\"]);
        check("[[:digit:]x]", &["7", "x"], &["y"]);
        check("[[:nonsense:]]", &[], &["n", "]"]);
        check("[ab", &[], &["a", "[ab"]);
        check("x[!a]y/z", &["xby/z"], &["x/y/z"]);
        assert_eq!(Pattern::new(b""), None);
    }

    /// The same language, written as its definition reads: by trying everything.
    fn oracle(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', b'*', rest @ ..] => {
                let rest = &rest[rest.iter().take_while(|byte| **byte == b'*').count()..];
                (0..=text.len()).any(|taken| oracle(rest, &text[taken..]))
            }
            [b'*', rest @ ..] => {
                let most = text.iter().take_while(|byte| **byte != b'/').count();
                (0..=most).any(|taken| oracle(rest, &text[taken..]))
            }
            [b'?', rest @ ..] => {
                matches!(text, [byte, ..] if *byte != b'/') && oracle(rest, &text[1..])
            }
            [b'[', b'!', low, b'-', high, b']', rest @ ..] => {
                matches!(text, [byte, ..] if *byte != b'/' && !(low..=high).contains(&byte))
                    && oracle(rest, &text[1..])
            }
            [b'[', one, two, b']', rest @ ..] => {
                matches!(text, [byte, ..] if byte == one || byte == two) && oracle(rest, &text[1..])
            }
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                text.first() == Some(byte) && oracle(rest, &text[1..])
            }
        }
    }

    /// All of a pattern's language: which part of the path is compared with what.
    fn whole_oracle(pattern: &[u8], path: &[u8], directory: bool) -> bool {
        let (pattern, only) = match pattern {
            [pattern @ .., b'/'] => (pattern, true),
            _ => (pattern, false),
        };
        let slashed = [&b"/"[..], path].concat();
        let mut ends = vec![slashed.clone()];
        if pattern.ends_with(b"***") && directory {
            ends = vec![[&slashed[..], b"/"].concat()];
        }
        let wild = pattern.iter().any(|byte| b"*?[".contains(byte));
        let equal = |pattern: &[u8], text: &[u8]| match wild {
            true => oracle(pattern, text),
            false => pattern == text,
        };
        let text = ends.remove(0);
        let pathwise = pattern.contains(&b'/') || pattern.windows(2).any(|two| two == b"**");
        let starts = (0..text.len()).filter(|at| text[*at] == b'/');
        let matched = if let Some(anchored) = pattern.strip_prefix(b"/") {
            equal(anchored, &text[1..])
        } else if pattern.starts_with(b"**") {
            equal(pattern, &text)
        } else if pathwise {
            starts.into_iter().any(|at| equal(pattern, &text[at + 1..]))
        } else {
            equal(pattern, path.rsplit(|byte| *byte == b'/').next().unwrap())
        };
        matched && (directory || !only)
    }

    fn pattern() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            6 => prop::sample::select(vec!["a", "b", "ab", "/", "a/", "/b"]),
            4 => prop::sample::select(vec!["*", "**", "***", "?", "[ab]", "[!a-a]", "\\a", "*/", "/**/", "/***"]),
        ];
        prop::collection::vec(piece, 1..7).prop_map(|pieces| pieces.concat().into_bytes())
    }

    fn path() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec("[ab*]{1,3}", 1..5).prop_map(|names| names.join("/").into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8000))]

        #[test]
        fn matches_are_those_of_the_definition(pattern in pattern(), path in path(), directory: bool) {
            prop_assume!(pattern != b"/");
            let compiled = Pattern::new(&pattern).unwrap();
            let expected = whole_oracle(&pattern, &path, directory);
            let shown = (pattern.escape_ascii().to_string(), path.escape_ascii().to_string());
            prop_assert_eq!(compiled.matches(&path, directory), expected, "{:?}", shown);
        }

        #[test]
        fn any_bytes_are_a_pattern(pattern in prop::collection::vec(any::<u8>(), 1..40), path in path()) {
            Pattern::new(&pattern).unwrap().matches(&path, false);
        }
    }
}
