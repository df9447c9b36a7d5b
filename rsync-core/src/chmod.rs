// SPDX-License-Identifier: MIT OR Apache-2.0

//! Changes of mode bits as `--chmod` writes them.

use crate::list::Kind;
use std::fmt;

/// Changes of mode bits, made one after the other.
///
/// # Examples
///
/// ```
/// use rsync_core::chmod::Chmod;
/// use rsync_core::list::Kind;
///
/// let mut chmod = Chmod::default();
/// chmod.add("D755,Fgo-w,u+X", 0o022)?;
/// assert_eq!(chmod.apply(Kind::Directory, 0o700), 0o755);
/// assert_eq!(chmod.apply(Kind::Regular, 0o666), 0o644);
/// # Ok::<(), rsync_core::chmod::ChmodError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chmod {
    changes: Vec<Change>,
}

/// Text that is no change of mode bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChmodError(String);

impl fmt::Display for ChmodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is no change of modes: write octal digits, or letters as for chmod(1), perhaps after a D for directories \
             or an F for files",
            self.0.escape_default()
        )
    }
}

impl std::error::Error for ChmodError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    /// Directories only, or all but directories.
    directories: Option<bool>,
    /// The bits of the classes that are named, of all if none is.
    classes: u32,
    /// The special bits that go with the classes that are named.
    special: u32,
    /// The permission bits that are set or cleared, if the letters say so.
    allowed: u32,
    operator: Operator,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// All bits of a mode.
    Mode(u32),
    /// These bits for each class.
    Bits {
        bits: u32,
        /// The bit to execute, too; it is set only of a directory, or if somebody could execute the file before.
        execute: bool,
        /// Set-user-ID, set-group-ID and sticky bits.
        special: u32,
    },
    /// The bits that a class has, given by its place in a mode.
    Copy(u32),
}

impl Chmod {
    /// Appends changes, divided by commas. Where no class of users is named, bits of `umask` are left alone.
    ///
    /// # Errors
    ///
    /// [`ChmodError`] if it is not written as rsync and chmod(1) have it.
    pub fn add(&mut self, text: &str, umask: u32) -> Result<(), ChmodError> {
        let changes = text.split(',').map(|change| parse(change, umask));
        let changes: Option<Vec<_>> = changes.collect();
        let changes = changes.ok_or_else(|| ChmodError(text.to_owned()))?;
        self.changes.extend(changes);
        Ok(())
    }

    /// The mode bits after the changes. Symbolic links have none.
    pub fn apply(&self, kind: Kind, mode: u32) -> u32 {
        if kind == Kind::Symlink {
            return mode;
        }
        let directory = kind == Kind::Directory;
        self.changes
            .iter()
            .filter(|change| change.directories.is_none_or(|only| only == directory))
            .fold(mode, |now, change| {
                change.apply(directory || mode & 0o111 != 0, now)
            })
    }
}

impl Change {
    /// The mode after the change, of a directory or what anybody could execute before all changes, or of another file.
    fn apply(&self, executable: bool, mode: u32) -> u32 {
        // What is set, and which special bits of the classes "=" clears, which for rsync depends on what it sets.
        let (set, cleared) = match self.what {
            What::Mode(mode) => return mode,
            What::Bits {
                bits,
                execute,
                special,
            } => {
                let bits = match execute {
                    true if executable || self.operator == Operator::Remove => bits | 1,
                    // rsync then takes an x beside it for nothing.
                    true => bits & !1,
                    false => bits,
                };
                let cleared = match special {
                    0 => 0,
                    _ => self.special & 0o6000,
                };
                (((bits * 0o111) & self.allowed) | special, cleared)
            }
            What::Copy(place) => {
                let bits = (((mode >> place) & 7) * 0o111) & self.allowed;
                let all = self.special == 0;
                (bits, if all { 0o7000 } else { self.special })
            }
        };
        match self.operator {
            Operator::Add => mode | set,
            Operator::Remove => mode & !set,
            Operator::Set => (mode & !(self.classes | cleared)) | set,
        }
    }
}

fn parse(text: &str, umask: u32) -> Option<Change> {
    let mut directories = None;
    let mut classes = 0;
    let mut rest = text.chars();
    let operator = loop {
        let mut next = rest.clone();
        match next.next()? {
            letter @ ('D' | 'F') => {
                let only = letter == 'D';
                if directories.is_some_and(|given| given != only) {
                    return None;
                }
                directories = Some(only);
            }
            'u' => classes |= 0o700,
            'g' => classes |= 0o070,
            'o' => classes |= 0o007,
            'a' => classes |= 0o777,
            '0'..='7' if classes == 0 => {
                let digits = rest.as_str();
                if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
                    return None;
                }
                let mode = u32::from_str_radix(digits, 8).ok()?;
                return (mode <= 0o7777).then_some(Change {
                    directories,
                    classes: 0o777,
                    special: 0,
                    allowed: 0o777,
                    operator: Operator::Set,
                    what: What::Mode(mode),
                });
            }
            '+' => break Operator::Add,
            '-' => break Operator::Remove,
            '=' => break Operator::Set,
            _ => return None,
        }
        rest = next;
    };
    rest.next();
    let what = match rest.as_str() {
        "u" => What::Copy(6),
        "g" => What::Copy(3),
        "o" => What::Copy(0),
        letters => {
            let (mut bits, mut execute, mut special) = (0, false, 0);
            for letter in letters.chars() {
                match letter {
                    'r' => bits |= 4,
                    'w' => bits |= 2,
                    'x' => bits |= 1,
                    'X' => execute = true,
                    't' => special |= 0o1000,
                    // Whose it is if neither user nor group is named: the user's.
                    's' if classes & 0o770 == 0 => special |= 0o4000,
                    's' => special |= ((classes & 0o400) << 3) | ((classes & 0o040) << 5),
                    _ => return None,
                }
            }
            What::Bits {
                bits,
                execute,
                special,
            }
        }
    };
    let special = ((classes & 0o400) << 3) | ((classes & 0o040) << 5) | ((classes & 0o004) << 7);
    let (classes, allowed) = match classes {
        0 => (0o777, 0o777 & !umask),
        classes => (classes, classes),
    };
    Some(Change {
        directories,
        classes,
        special,
        allowed,
        operator,
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_rsync_refuses_is_refused() {
        for wrong in [
            "", ",", "u+x,", ",u+x", "u", "D", "DF+x", "u+r-w", "u=go", "u=gr", "u=a", "888",
            "77777", "-644", "D+644", "u644", "u+q", "u+x, g+x", "o=u-w", "64\u{e4}",
        ] {
            assert!(Chmod::default().add(wrong, 0).is_err(), "{wrong}");
        }
    }

    #[test]
    fn changes_are_made_in_their_order() {
        let mut chmod = Chmod::default();
        chmod.add("u+w", 0).unwrap();
        chmod.add("g=u,Fo=,D=t", 0o027).unwrap();
        assert_eq!(chmod.apply(Kind::Regular, 0o404), 0o660);
        assert_eq!(chmod.apply(Kind::Directory, 0o404), 0o1000);
        assert_eq!(chmod.apply(Kind::Symlink, 0o777), 0o777);
    }
}
