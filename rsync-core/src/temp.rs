// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names of temporary files: `.name.XXXXXX`, as rsync's, beside the file that they become.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};

/// The longest name a file may have, bytes: `NAME_MAX`.
const NAME_MAX: usize = 255;

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
        let name = cut(name, NAME_MAX - 8);
        let mut temp = Vec::with_capacity(name.len() + 8);
        temp.push(b'.');
        temp.extend_from_slice(name);
        temp.push(b'.');
        for _ in 0..6 {
            temp.push(LETTERS[(suffix % 62) as usize]);
            suffix /= 62;
        }
        temp
    }
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
            first.starts_with(b".file.") && first.len() == 12,
            "{}",
            first.escape_ascii()
        );
        assert_ne!(first, second);
        assert!(names.name(b".profile").starts_with(b".profile."));
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let names = TempNames::new();
        assert_eq!(names.name(&[b'x'; 255]).len(), 255);
        for shift in 0..4 {
            let long = "x".repeat(shift) + &"\u{1f980}".repeat(63);
            let temp = names.name(long.as_bytes());
            assert!(temp.len() <= 255 && temp.len() > 250);
            assert!(std::str::from_utf8(&temp).is_ok());
        }
        assert_eq!(names.name(&[0x80; 255]).len(), 252);
    }
}
