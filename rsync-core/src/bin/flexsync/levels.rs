// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--info` and `--debug`: rsync's categories, each with a level.

use std::fmt::Write as _;

/// What is told of the work, or of how it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    kind: &'static Kind,
    levels: Vec<u8>,
}

/// The categories of one option.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    option: &'static str,
    /// Names and what they mean.
    categories: &'static [(&'static str, &'static str)],
    /// What each further `-v` adds, from none on.
    verbosity: &'static [&'static str],
}

pub(crate) const INFO: Kind = Kind {
    option: "info",
    categories: &[
        ("BACKUP", "Files of which a backup was made"),
        ("COPY", "Accepted as rsync does; says nothing here"),
        ("DEL", "Deletions"),
        ("FLIST", "That the list of files is made"),
        ("MISC", "What is of interest now and then (levels 1-2)"),
        ("MOUNT", "Accepted as rsync does; says nothing here"),
        ("NAME", "Names: 1) of what is updated, 2) of what is not"),
        (
            "NONREG",
            "Files left out for their kind (level 1 unless set to 0)",
        ),
        ("PROGRESS", "Progress: 1) of each file, 2) of all"),
        ("REMOVE", "Files removed from the source"),
        ("SKIP", "Files left alone for an option"),
        ("STATS", "Figures at the end (levels 1-2)"),
        (
            "SYMSAFE",
            "Symbolic links that are followed as they lead out of the transfer",
        ),
    ],
    verbosity: &[
        "NONREG",
        "COPY,DEL,FLIST,MISC,NAME,STATS,SYMSAFE",
        "BACKUP,MISC2,MOUNT,NAME2,REMOVE,SKIP",
    ],
};

/// What all categories of `--debug` say that say nothing.
const SILENT: &str = "Accepted as rsync does; says nothing here";

pub(crate) const DEBUG: Kind = Kind {
    option: "debug",
    categories: &[
        ("ACL", SILENT),
        ("BACKUP", SILENT),
        ("BIND", SILENT),
        ("CHDIR", SILENT),
        ("CONNECT", SILENT),
        ("CMD", SILENT),
        (
            "DEL",
            "Directories in which something is deleted before or after all else",
        ),
        (
            "DELTASUM",
            "The delta algorithm: 1) its figures, 2) what it finds, 3) each block's checksum",
        ),
        ("DUP", SILENT),
        ("EXIT", SILENT),
        ("FILTER", SILENT),
        ("FLIST", SILENT),
        (
            "FUZZY",
            "--fuzzy: 1) what stands in for a missing file, 2) whether its size and time are the same",
        ),
        ("GENR", SILENT),
        ("HASH", SILENT),
        ("HLINK", SILENT),
        ("ICONV", SILENT),
        ("IO", SILENT),
        ("NSTR", SILENT),
        ("OWN", SILENT),
        ("PROTO", SILENT),
        ("RECV", SILENT),
        ("SEND", SILENT),
        ("TIME", SILENT),
    ],
    verbosity: &[
        "",
        "",
        "BIND,CONNECT,CMD,DEL,DELTASUM,DUP,FILTER,FLIST,ICONV",
        "ACL,BACKUP,CONNECT2,DEL2,DELTASUM2,EXIT,FILTER2,FLIST2,FUZZY,GENR,OWN,RECV,SEND,TIME",
        "CMD2,DEL3,DELTASUM3,EXIT2,FLIST3,ICONV2,OWN2,PROTO,TIME2",
        "CHDIR,DELTASUM4,FLIST4,FUZZY2,HASH,HLINK",
    ],
};

/// Why categories were not taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such category.
    Unknown(String),
    /// They were asked for.
    Help(String),
}

impl Levels {
    /// What so many `-v` tell.
    pub(crate) fn new(kind: &'static Kind, verbose: u8) -> Self {
        let mut levels = Self {
            kind,
            levels: vec![0; kind.categories.len()],
        };
        for names in kind.verbosity.iter().take(usize::from(verbose) + 1) {
            // They are known: a test looks.
            let _ = levels.add(names);
        }
        levels
    }

    /// Takes in what an option implies, where no more is told already.
    pub(crate) fn raise(&mut self, names: &str) {
        let before = self.levels.clone();
        // The command's own names are known.
        let _ = self.add(names);
        for (level, before) in self.levels.iter_mut().zip(before) {
            *level = before.max(*level);
        }
    }

    /// Takes in names with commas between them, each perhaps with a level: `name2`.
    pub(crate) fn add(&mut self, names: &str) -> Result<(), Refused> {
        for given in names.split(',').filter(|name| !name.is_empty()) {
            let name = given.trim_end_matches(|char: char| char.is_ascii_digit());
            let level = match &given[name.len()..] {
                "" => 1,
                // More than there is means all that there is.
                level => level.parse().unwrap_or(u8::MAX),
            };
            match name.to_ascii_uppercase().as_str() {
                "HELP" => return Err(Refused::Help(self.help())),
                "ALL" => self.levels.fill(level),
                "NONE" => self.levels.fill(0),
                name => match self.position(name) {
                    Some(place) => self.levels[place] = level,
                    None => return Err(Refused::Unknown(given.to_owned())),
                },
            }
        }
        Ok(())
    }

    fn position(&self, name: &str) -> Option<usize> {
        let mut categories = self.kind.categories.iter();
        categories.position(|(known, _)| *known == name)
    }

    /// The level of a category.
    pub(crate) fn of(&self, name: &str) -> u8 {
        self.position(name).map_or(0, |place| self.levels[place])
    }

    fn help(&self) -> String {
        let mut text =
            "NAME or NAME1 is level 1, NAME2 level 2 and so on; NAME0 silences.\n\n".to_owned();
        let others = [
            ("ALL", "All of them; ALL2 and so on for their levels"),
            ("NONE", "None of them"),
            ("HELP", "This list"),
        ];
        for (name, meaning) in self.kind.categories {
            let _ = writeln!(text, "{name:<10} {meaning}");
        }
        text.push('\n');
        for (name, meaning) in others {
            let _ = writeln!(text, "{name:<10} {meaning}");
        }
        text.push_str("\nWhat each -v adds:\n");
        for (verbose, names) in self.kind.verbosity.iter().enumerate() {
            if !names.is_empty() {
                let _ = writeln!(text, "{verbose}) {names}");
            }
        }
        text
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(name) => write!(
                f,
                "there is no category \"{name}\": HELP lists those that there are"
            ),
            Self::Help(text) => f.write_str(text),
        }
    }
}

impl Kind {
    pub(crate) fn option(&self) -> &'static str {
        self.option
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_verbosity_adds_is_known() {
        for kind in [&INFO, &DEBUG] {
            for names in kind.verbosity {
                assert_eq!(Levels::new(kind, 0).add(names), Ok(()));
            }
        }
        let level = |verbose| Levels::new(&INFO, verbose).of("NAME");
        assert_eq!([0, 1, 2, 9].map(level), [0, 1, 2, 2]);
        assert_eq!(Levels::new(&DEBUG, 3).of("DELTASUM"), 2);
    }

    #[test]
    fn levels_follow_the_names() {
        let level = |names| {
            let mut levels = Levels::new(&DEBUG, 0);
            levels.add(names).map(|()| levels.of("DELTASUM"))
        };
        assert_eq!(level("deltasum"), Ok(1));
        assert_eq!(level("DELTASUM3"), Ok(3));
        assert_eq!(level("deltasum2,acl0,flist4"), Ok(2));
        assert_eq!(level("deltasum2,none"), Ok(0));
        assert_eq!(level(",all2,"), Ok(2));
        assert_eq!(level("deltasum999"), Ok(u8::MAX));
        for wrong in ["delta", "deltasum=2", "-1", "deltasum-1", "name"] {
            assert_eq!(level(wrong), Err(Refused::Unknown(wrong.into())), "{wrong}");
        }
        assert!(matches!(level("help"), Err(Refused::Help(_))));
    }
}
