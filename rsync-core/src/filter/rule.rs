// SPDX-License-Identifier: MIT OR Apache-2.0

//! Filter rules as they are written: rsync(1), "FILTER RULES IN DEPTH".

use super::pattern::Pattern;
use std::borrow::Cow;
use std::fmt;

/// Where a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sides {
    pub(crate) sender: bool,
    pub(crate) receiver: bool,
}

/// An include or an exclude.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) pattern: Pattern,
    pub(crate) include: bool,
    /// `None` if the rule does not say.
    pub(crate) sides: Option<Sides>,
    /// It applies to what the pattern does not match.
    pub(crate) negated: bool,
    /// It does not count in directories that are being deleted.
    pub(crate) perishable: bool,
    /// The pattern is compared with the path from the root directory on.
    pub(crate) absolute: bool,
}

impl Rule {
    pub(crate) fn new(pattern: Pattern, include: bool, defaults: Defaults) -> Self {
        Self {
            pattern,
            include,
            sides: defaults.sides,
            negated: false,
            perishable: defaults.perishable,
            absolute: defaults.absolute,
        }
    }
}

/// How a file of rules is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// One rule a line.
    Rules,
    /// A pattern a line, before which `- ` or `+ ` may stand, or `!`.
    Patterns { include: bool },
    /// Nothing but patterns.
    Bare { include: bool },
    /// Patterns to be excluded, or `!`.
    Cvs,
}

/// What a rule has that says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Defaults {
    pub(crate) sides: Option<Sides>,
    pub(crate) perishable: bool,
    pub(crate) absolute: bool,
}

/// How the rules of a file are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) syntax: Syntax,
    /// Divided at white space instead of line ends.
    pub(crate) words: bool,
    pub(crate) defaults: Defaults,
}

impl Reading {
    pub(crate) const fn new(syntax: Syntax) -> Self {
        let defaults = Defaults {
            sides: None,
            perishable: false,
            absolute: false,
        };
        Self {
            syntax,
            words: false,
            defaults,
        }
    }
}

/// A file of rules that is looked for in each directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirMerge {
    pub(crate) name: Vec<u8>,
    /// It is looked for in the directories above the transfer too.
    pub(crate) above: bool,
    /// Its rules count in the directories below too.
    pub(crate) inherited: bool,
    pub(crate) reading: Reading,
}

/// What one rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Rule(Rule),
    /// It is about names of extended attributes.
    Xattr(Rule),
    /// The rules of a file go here.
    Merge {
        path: Vec<u8>,
        reading: Reading,
    },
    DirMerge(DirMerge),
    /// CVS's own excludes go here.
    Cvs(Defaults),
    /// All rules before it are dropped.
    Clear,
}

/// What is wrong with a filter rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It begins with none of the rules' names.
    Unknown,
    /// It has a modifier that its kind does not take.
    Modifier(u8),
    /// It ends where a pattern or a file name should stand.
    NoArgument,
    /// Something follows a rule that takes no argument.
    Trailing,
    /// The merge rule that it came by has said on which side its rules count.
    Sides,
    /// The name of a per-directory file has a directory in it.
    MergeName,
    /// A per-directory file is to merge another file.
    Nested,
    /// A per-directory file has a rule for extended attributes.
    Xattr,
    /// Files of rules that merge one another.
    TooDeep,
    /// A file that is divided at line ends has a NUL byte in it, which is in no name.
    Nul,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str(
                "it must begin with one of - + . : H S P R ! or its long name, and a space before the pattern",
            ),
            Self::Modifier(byte) => write!(
                f,
                "the modifier '{}' does not go with this rule",
                byte.escape_ascii()
            ),
            Self::NoArgument => f.write_str("a pattern or a file name is missing at its end"),
            Self::Trailing => f.write_str("nothing may follow it"),
            Self::Sides => f.write_str("its merge rule has already chosen the side (s or r)"),
            Self::MergeName => f.write_str(
                "a per-directory file is given by its name only, with a slash before it to search above the source too",
            ),
            Self::Nul => f.write_str("it has a NUL byte in it: -0 counts for the files that are named behind it"),
            Self::Nested => f.write_str("a per-directory file cannot merge another file"),
            Self::Xattr => f.write_str(
                "rules for extended attributes (x) hold everywhere: give it on the command line, or in a file that is merged there",
            ),
            Self::TooDeep => f.write_str("files of rules merge one another without end"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Include or exclude, perhaps on one side only.
    Pattern(bool, Option<Sides>),
    Merge,
    DirMerge,
    Clear,
}

const SENDER: Option<Sides> = Some(Sides {
    sender: true,
    receiver: false,
});
const RECEIVER: Option<Sides> = Some(Sides {
    sender: false,
    receiver: true,
});

const KINDS: [(u8, &[u8], Kind); 9] = [
    (b'-', b"exclude", Kind::Pattern(false, None)),
    (b'+', b"include", Kind::Pattern(true, None)),
    (b'.', b"merge", Kind::Merge),
    (b':', b"dir-merge", Kind::DirMerge),
    (b'H', b"hide", Kind::Pattern(false, SENDER)),
    (b'S', b"show", Kind::Pattern(true, SENDER)),
    (b'P', b"protect", Kind::Pattern(false, RECEIVER)),
    (b'R', b"risk", Kind::Pattern(true, RECEIVER)),
    (b'!', b"clear", Kind::Clear),
];

/// A rule, cut into its kind, its modifiers and its argument if there is one.
struct Cut<'a> {
    kind: Kind,
    modifiers: &'a [u8],
    argument: Option<&'a [u8]>,
}

fn cut(text: &[u8]) -> Result<Cut<'_>, Reason> {
    let ends = |rest: &[u8]| matches!(rest, [] | [b',' | b' ' | b'_', ..]);
    let long = KINDS.iter().find_map(|(_, name, kind)| {
        let rest = text.strip_prefix(*name).filter(|rest| ends(rest))?;
        Some((*kind, rest))
    });
    let short = || {
        let (first, rest) = text.split_first()?;
        let (.., kind) = KINDS.iter().find(|(letter, ..)| letter == first)?;
        Some((*kind, rest))
    };
    let (kind, rest) = long.or_else(short).ok_or(Reason::Unknown)?;
    let rest = rest.strip_prefix(b",").unwrap_or(rest);
    let space = rest.iter().position(|byte| matches!(byte, b' ' | b'_'));
    let (modifiers, argument) = match space {
        Some(space) => (&rest[..space], Some(&rest[space + 1..])),
        None => (rest, None),
    };
    Ok(Cut {
        kind,
        modifiers,
        argument,
    })
}

/// Reads one rule. It may be nothing, and a merge rule may be two: the first one excludes the file itself.
pub(crate) fn parse(text: &[u8], reading: &Reading) -> Result<Vec<Parsed>, Reason> {
    let bare = |include, pattern: &[u8]| {
        let defaults = reading.defaults;
        let pattern = Pattern::new(pattern).into_iter();
        pattern
            .map(|pattern| Parsed::Rule(Rule::new(pattern, include, defaults)))
            .collect::<Vec<_>>()
    };
    match (reading.syntax, text) {
        (_, []) => Ok(Vec::new()),
        (Syntax::Patterns { .. } | Syntax::Cvs, b"!") => Ok(vec![Parsed::Clear]),
        (Syntax::Patterns { .. }, [b'-' | b'+', b' ']) => Err(Reason::NoArgument),
        (Syntax::Patterns { .. }, [sign @ (b'-' | b'+'), b' ', pattern @ ..]) => {
            Ok(bare(*sign == b'+', pattern))
        }
        (Syntax::Patterns { include } | Syntax::Bare { include }, _) => Ok(bare(include, text)),
        (Syntax::Cvs, _) => Ok(bare(false, text)),
        (Syntax::Rules, _) => {
            let cut = cut(text)?;
            match cut.kind {
                Kind::Clear if cut.modifiers.is_empty() && cut.argument.is_none() => {
                    Ok(vec![Parsed::Clear])
                }
                Kind::Clear => Err(Reason::Trailing),
                Kind::Pattern(include, sides) => {
                    pattern_rule(include, sides, &cut, reading.defaults)
                }
                Kind::Merge | Kind::DirMerge => merge_rule(&cut, reading.defaults),
            }
        }
    }
}

/// Adds a modifier that names a side.
fn add_side(sides: &mut Option<Sides>, modifier: u8) {
    let old = sides.unwrap_or(Sides {
        sender: false,
        receiver: false,
    });
    *sides = Some(Sides {
        sender: old.sender || modifier == b's',
        receiver: old.receiver || modifier == b'r',
    });
}

fn pattern_rule(
    include: bool,
    sides: Option<Sides>,
    cut: &Cut<'_>,
    defaults: Defaults,
) -> Result<Vec<Parsed>, Reason> {
    let one_sided = sides.is_some();
    if one_sided && defaults.sides.is_some() {
        return Err(Reason::Sides);
    }
    let (mut chosen, mut perishable, mut absolute) =
        (sides, defaults.perishable, defaults.absolute);
    let (mut negated, mut cvs, mut xattr) = (false, false, false);
    for modifier in cut.modifiers {
        match modifier {
            b'/' => absolute = true,
            b'!' => negated = true,
            b'p' => perishable = true,
            b'x' => xattr = true,
            b'C' if !include && !one_sided => cvs = true,
            b's' | b'r' if one_sided => return Err(Reason::Modifier(*modifier)),
            b's' | b'r' if defaults.sides.is_some() => return Err(Reason::Sides),
            b's' | b'r' => add_side(&mut chosen, *modifier),
            other => return Err(Reason::Modifier(*other)),
        }
    }
    let sides = chosen.or(defaults.sides);
    if cvs {
        if cut.argument.is_some() {
            return Err(Reason::Trailing);
        }
        return Ok(vec![Parsed::Cvs(Defaults {
            sides,
            perishable,
            absolute,
        })]);
    }
    let pattern = cut.argument.and_then(Pattern::new);
    let pattern = pattern.ok_or(Reason::NoArgument)?;
    let rule = Rule {
        pattern,
        include,
        sides,
        negated,
        perishable,
        absolute,
    };
    Ok(vec![match xattr {
        true => Parsed::Xattr(rule),
        false => Parsed::Rule(rule),
    }])
}

fn merge_rule(cut: &Cut<'_>, defaults: Defaults) -> Result<Vec<Parsed>, Reason> {
    let mut reading = Reading {
        defaults,
        ..Reading::new(Syntax::Rules)
    };
    let (mut sides, mut inherited, mut hidden) = (None, true, false);
    for modifier in cut.modifiers {
        match modifier {
            // As for rsync, it is either lines of one kind or the words of CVS.
            b'-' | b'+' | b'C' if reading.syntax != Syntax::Rules => {
                return Err(Reason::Modifier(*modifier));
            }
            b'-' => reading.syntax = Syntax::Bare { include: false },
            b'+' => reading.syntax = Syntax::Bare { include: true },
            b'C' => {
                (reading.syntax, reading.words) = (Syntax::Cvs, true);
                inherited = false;
            }
            b'e' => hidden = true,
            b'n' => inherited = false,
            b'w' => reading.words = true,
            b'/' => reading.defaults.absolute = true,
            b'p' => reading.defaults.perishable = true,
            b's' | b'r' if defaults.sides.is_some() => return Err(Reason::Sides),
            b's' | b'r' => add_side(&mut sides, *modifier),
            other => return Err(Reason::Modifier(*other)),
        }
    }
    reading.defaults.sides = sides.or(defaults.sides);
    let is_cvs = reading.syntax == Syntax::Cvs;
    let path = match cut.argument {
        Some(path) if !path.is_empty() => path,
        _ if is_cvs => b".cvsignore",
        _ => return Err(Reason::NoArgument),
    };
    let mut parsed = Vec::new();
    let itself = path.rsplit(|byte| *byte == b'/').next().filter(|_| hidden);
    if let Some(pattern) = itself.and_then(Pattern::new) {
        let defaults = Defaults {
            sides: reading.defaults.sides,
            ..Defaults::default()
        };
        parsed.push(Parsed::Rule(Rule::new(pattern, false, defaults)));
    }
    if cut.kind == Kind::Merge {
        parsed.push(Parsed::Merge {
            path: path.to_vec(),
            reading,
        });
        return Ok(parsed);
    }
    let (above, name) = match path {
        [b'/', name @ ..] => (true, name),
        name => (false, name),
    };
    if name.contains(&b'/') || matches!(name, b"" | b"." | b"..") {
        return Err(Reason::MergeName);
    }
    parsed.push(Parsed::DirMerge(DirMerge {
        name: name.to_vec(),
        above,
        inherited,
        reading,
    }));
    Ok(parsed)
}

/// The rules of a file, each with the number of its line or, where it is divided at white space, of its word.
pub(crate) fn split<'a>(
    data: &'a [u8],
    reading: &Reading,
    from0: bool,
) -> Vec<(u32, Cow<'a, [u8]>)> {
    if reading.words {
        return words(data, reading.syntax == Syntax::Rules);
    }
    let ends = move |byte: &u8| match from0 {
        true => *byte == 0,
        false => matches!(byte, b'\n' | b'\r'),
    };
    let mut line = 0;
    let mut rules = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        let text = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        line += 1;
        if !matches!(text, [] | [b'#' | b';', ..]) {
            rules.push((line, Cow::Borrowed(text)));
        }
    }
    rules
}

fn words(data: &[u8], rules: bool) -> Vec<(u32, Cow<'_, [u8]>)> {
    let words = data.split(|byte| byte.is_ascii_whitespace() || *byte == 0x0b || *byte == 0);
    let mut words = words.filter(|word| !word.is_empty()).zip(1..);
    let mut found = Vec::new();
    while let Some((word, number)) = words.next() {
        let waits = rules
            && cut(word).is_ok_and(|cut| {
                cut.argument.is_none() && cut.kind != Kind::Clear && !cut.modifiers.contains(&b'C')
            });
        let word = match waits.then(|| words.next()).flatten() {
            Some((argument, _)) => Cow::Owned([word, b" ", argument].concat()),
            None => Cow::Borrowed(word),
        };
        found.push((number, word));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Reading = Reading::new(Syntax::Rules);

    fn one(text: &str) -> Rule {
        match &parse(text.as_bytes(), &RULES).unwrap()[..] {
            [Parsed::Rule(rule)] => rule.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn short_and_long_names_mean_the_same() {
        let pairs = [
            ("- x", "exclude x"),
            ("+ x", "include_x"),
            ("H x", "hide x"),
            ("S x", "show x"),
            ("P x", "protect x"),
            ("R_x", "risk x"),
            ("-s x", "H x"),
            ("-,s x", "H x"),
            ("+r x", "risk x"),
            ("-p! x", "exclude,p! x"),
        ];
        for (left, right) in pairs {
            assert_eq!(one(left), one(right), "{left} and {right}");
        }
        assert_ne!(one("- x"), one("-  x"), "only one space separates");
        assert_ne!(one("-sr x"), one("- x"), "both sides were asked for");
    }

    #[test]
    fn what_is_no_rule_says_why() {
        let wrong: [(&str, Reason); 21] = [
            ("x bar", Reason::Unknown),
            ("excluded x", Reason::Unknown),
            ("-foo bar", Reason::Modifier(b'f')),
            ("H,s x", Reason::Modifier(b's')),
            ("+C", Reason::Modifier(b'C')),
            (":! x", Reason::Modifier(b'!')),
            (":-C x", Reason::Modifier(b'C')),
            (":C- x", Reason::Modifier(b'-')),
            (".-+ x", Reason::Modifier(b'+')),
            (".CC x", Reason::Modifier(b'C')),
            ("-", Reason::NoArgument),
            ("- ", Reason::NoArgument),
            (".", Reason::NoArgument),
            (":", Reason::NoArgument),
            ("!x", Reason::Trailing),
            ("clear x", Reason::Trailing),
            ("-C x", Reason::Trailing),
            (": a/b", Reason::MergeName),
            (": ..", Reason::MergeName),
            (": /", Reason::MergeName),
            (": ../x", Reason::MergeName),
        ];
        for (text, reason) in wrong {
            assert_eq!(parse(text.as_bytes(), &RULES), Err(reason), "{text}");
        }
        let sided = Reading {
            defaults: Defaults {
                sides: SENDER,
                ..Defaults::default()
            },
            ..RULES
        };
        for text in ["P x", "-r x", "H x", ".s x"] {
            assert_eq!(parse(text.as_bytes(), &sided), Err(Reason::Sides), "{text}");
        }
    }

    #[test]
    fn old_rules_take_a_sign_and_a_space() {
        let reading = Reading::new(Syntax::Patterns { include: false });
        let is = |text: &str| match &parse(text.as_bytes(), &reading).unwrap()[..] {
            [Parsed::Rule(rule)] => Some(rule.include),
            [Parsed::Clear] => None,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(
            [is("x"), is("+ x"), is("- x"), is("+x"), is("!"), is("!x")],
            [
                Some(false),
                Some(true),
                Some(false),
                Some(false),
                None,
                Some(false)
            ]
        );
    }

    #[test]
    fn files_are_divided_at_lines_words_or_nul() {
        let texts = |data: &str, reading: &Reading, from0| -> Vec<String> {
            let rules = split(data.as_bytes(), reading, from0);
            let text = |rule: &[u8]| String::from_utf8(rule.to_vec()).unwrap();
            rules.iter().map(|(_, rule)| text(rule)).collect()
        };
        let lines = "- a\n# no\n\n;no\r\n+ b c\n-#";
        assert_eq!(texts(lines, &RULES, false), ["- a", "+ b c", "-#"]);
        assert_eq!(texts("- a\nb\0#\0- c", &RULES, true), ["- a\nb", "- c"]);
        let by_words = Reading {
            words: true,
            ..RULES
        };
        let words = "- foo +\tbar\n-_x -C :C ! - ";
        let expected = ["- foo", "+ bar", "-_x", "-C", ":C", "!", "-"];
        assert_eq!(texts(words, &by_words, false), expected);
        let cvs = Reading {
            words: true,
            ..Reading::new(Syntax::Cvs)
        };
        assert_eq!(texts("*.o - #x", &cvs, false), ["*.o", "-", "#x"]);
    }

    proptest! {
        #[test]
        fn any_text_is_a_rule_or_an_error(text: Vec<u8>, words: bool) {
            for syntax in [Syntax::Rules, Syntax::Patterns { include: true }, Syntax::Cvs] {
                let reading = Reading { words, ..Reading::new(syntax) };
                for (_, rule) in split(&text, &reading, false) {
                    let _ = parse(&rule, &reading);
                }
            }
        }
    }
}
