// SPDX-License-Identifier: MIT OR Apache-2.0

//! File names as they are shown: names are bytes, a terminal wants text without surprises.

use std::fmt::{self, Write as _};

/// Shows a name as rsync does: printable UTF-8 and tabs as they are, every other byte as `\#` and three octal digits.
///
/// A backslash that would read as such an escape is escaped itself, so that different names look different.
///
/// # Examples
///
/// ```
/// use rsync_core::escape::Escaped;
///
/// assert_eq!(Escaped(b"a\nb \xc3\xa4 \xff").to_string(), "a\\#012b ä \\#377");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                let looks_escaped = char == '\\' && is_escape(rest);
                rest = &rest[char.len_utf8()..];
                if char.is_control() && char != '\t' || looks_escaped {
                    let mut bytes = [0; 4];
                    char.encode_utf8(&mut bytes)
                        .bytes()
                        .try_for_each(|byte| octal(f, byte))?;
                } else {
                    f.write_char(char)?;
                }
            }
            chunk
                .invalid()
                .iter()
                .try_for_each(|byte| octal(f, *byte))?;
            rest = &rest[chunk.invalid().len()..];
        }
        Ok(())
    }
}

fn octal(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    write!(f, "\\#{byte:03o}")
}

fn is_escape(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [b'\\', b'#', b'0'..=b'7', b'0'..=b'7', b'0'..=b'7', ..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_and_bad_utf8_are_octal() {
        assert_eq!(Escaped(b"\x1b[2J").to_string(), "\\#033[2J");
        assert_eq!(Escaped(b"\xe2\x82").to_string(), "\\#342\\#202");
        assert_eq!(Escaped(b"\t\x7f").to_string(), "\t\\#177");
        assert_eq!(Escaped("\u{85}".as_bytes()).to_string(), "\\#302\\#205");
    }

    #[test]
    fn only_a_backslash_that_reads_as_an_escape_is_escaped() {
        assert_eq!(Escaped(b"a\\b\\#01").to_string(), "a\\b\\#01");
        assert_eq!(Escaped(b"\\#012").to_string(), "\\#134#012");
    }

    proptest! {
        #[test]
        fn different_names_look_different(a: Vec<u8>, b: Vec<u8>) {
            prop_assert_eq!(a == b, Escaped(&a).to_string() == Escaped(&b).to_string());
        }

        #[test]
        fn nothing_shown_is_a_control_character_but_a_tab(name: Vec<u8>) {
            let shown = Escaped(&name).to_string();
            prop_assert!(!shown.chars().any(|char| char.is_control() && char != '\t'));
        }
    }
}
