// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names of temporary files: `.name.flexsync.XXXXXX`, beside the file that they become. rsync's have no word in the middle,
//! so that `.vimrc.backup` looks like one of them; what the next run may remove has to be told from that.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};

/// The longest name a file may have, bytes: `NAME_MAX`.
const NAME_MAX: usize = 255;

/// What tells a temporary file from one that somebody keeps, before the suffix.
const MARK: &[u8] = b".flexsync.";

/// Letters in the suffix.
const SUFFIX: usize = 6;

/// Letters of the suffix.
const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Makes names, each with another suffix. Whoever opens one does so with `O_EXCL`, so a guess at the next one gains
/// nothing; no random bytes are fetched per file.
#[derive(Debug)]
pub(crate) struct TempNames {
    state: RandomState,
    next: Cell<u64>,
}

impl TempNames {
    pub(crate) fn new() -> Self {
        Self {
            state: RandomState::new(),
            next: Cell::new(0),
        }
    }

    /// A new name for a temporary file that becomes `name`.
    pub(crate) fn name(&self, name: &[u8]) -> Vec<u8> {
        let number = self.next.get();
        self.next.set(number + 1);
        let mut suffix = self.state.hash_one(number);
        // A hidden file's dot does for the temporary file too.
        let name = name.strip_prefix(b".").unwrap_or(name);
        let around = 1 + MARK.len() + SUFFIX;
        let name = cut(name, NAME_MAX - around);
        let mut temp = Vec::with_capacity(name.len() + around);
        temp.push(b'.');
        temp.extend_from_slice(name);
        temp.extend_from_slice(MARK);
        for _ in 0..SUFFIX {
            temp.push(LETTERS[(suffix % 62) as usize]);
            suffix /= 62;
        }
        temp
    }
}

/// Whether a name is one that [`TempNames`] makes.
pub(crate) fn is_temporary(name: &[u8]) -> bool {
    let Some((front, suffix)) = name.split_last_chunk::<SUFFIX>() else {
        return false;
    };
    let stem = front.strip_suffix(MARK).unwrap_or_default();
    stem.len() > 1 && stem[0] == b'.' && suffix.iter().all(u8::is_ascii_alphanumeric)
}

/// The first bytes of a name, without the pieces of a character at its end.
fn cut(name: &[u8], most: usize) -> &[u8] {
    if name.len() <= most {
        return name;
    }
    let mut end = most;
    // A UTF-8 continuation byte does not start a character.
    while end > most - 3 && name[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hidden_recognisable_and_different() {
        let names = TempNames::new();
        let (first, second) = (names.name(b"file"), names.name(b"file"));
        assert!(
            first.starts_with(b".file.flexsync.") && first.len() == 21,
            "{}",
            first.escape_ascii()
        );
        assert_ne!(first, second);
        assert!(names.name(b".profile").starts_with(b".profile."));
        for name in [&first[..], &names.name(b".p"), &names.name(&[b'x'; 255])] {
            assert!(is_temporary(name), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn what_somebody_keeps_is_not_taken_for_temporary() {
        for name in [
            ".vimrc.backup",
            ".file.XXXXXX",
            "file.flexsync.abcdef",
            "..flexsync.abcdef",
            ".file.flexsync.abcde",
            ".file.flexsync.abc-ef",
            ".file.flexsync.abcdefg",
            ".flexsync.abcdef",
            "",
        ] {
            assert!(!is_temporary(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let names = TempNames::new();
        assert_eq!(names.name(&[b'x'; 255]).len(), 255);
        for shift in 0..4 {
            let long = "x".repeat(shift) + &"\u{1f980}".repeat(63);
            let temp = names.name(long.as_bytes());
            assert!(temp.len() <= 255 && temp.len() > 250, "{}", temp.len());
            assert!(std::str::from_utf8(&temp).is_ok());
        }
        assert_eq!(names.name(&[0x80; 255]).len(), 252);
    }
}
