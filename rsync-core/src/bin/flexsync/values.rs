// SPDX-License-Identifier: MIT OR Apache-2.0

//! Values of options, as rsync writes them.

use libflexsc::backend::{self, Kind};
use rsync_core::Reflink;
use rsync_core::block::MAX_LENGTH;
use rsync_core::strong::Algorithm;

/// A length in bytes: a number, perhaps with a fraction, a unit and `+1` or `-1`. `K` and `KiB` are 1024, `KB` is 1000.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, offset) = match text.strip_suffix("+1") {
        Some(number) => (number, 1),
        None => match text.strip_suffix("-1") {
            Some(number) => (number, -1),
            None => (text, 0),
        },
    };
    let end = number
        .find(|char: char| !char.is_ascii_digit() && char != '.')
        .unwrap_or(number.len());
    let (number, unit) = number.split_at(end);
    let factor = factor(unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(fraction) {
        return Err(format!(
            "\"{text}\" is no length: write a number of bytes, perhaps with K, M, G, T or P"
        ));
    }
    let too_long = || format!("\"{text}\" is more than a file can hold");
    let whole: u128 = whole.parse().map_err(|_| too_long())?;
    // More digits are less than a byte, whatever the unit.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = match fraction.parse::<u128>() {
        Ok(part) => part * factor / 10u128.pow(fraction.len() as u32),
        Err(_) => 0,
    };
    let bytes = whole.checked_mul(factor).and_then(|whole| {
        let bytes = (whole + part).checked_add_signed(offset)?;
        i64::try_from(bytes).ok()?.try_into().ok()
    });
    bytes.ok_or_else(too_long)
}

fn factor(unit: &str) -> Result<u128, String> {
    let unit = unit.to_ascii_lowercase();
    let power = match unit.chars().next() {
        None => return Ok(1),
        Some('b') if unit.len() == 1 => return Ok(1),
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some('p') => 5,
        Some(_) => 0,
    };
    match (power, unit.get(1..).unwrap_or_default()) {
        (1.., "" | "ib") => Ok(1024u128.pow(power)),
        (1.., "b") => Ok(1000u128.pow(power)),
        _ => Err(format!(
            "\"{unit}\" is no unit here: use K, M, G, T or P (1024), or KB and so on (1000)"
        )),
    }
}

/// The length of a block in bytes.
pub(crate) fn block_size(text: &str) -> Result<u32, String> {
    match u32::try_from(size(text)?) {
        Ok(number @ 1..=MAX_LENGTH) => Ok(number),
        _ => Err(format!("a block has 1 to {MAX_LENGTH} bytes")),
    }
}

/// How much may be deleted: as for rsync, what is less than nothing is nothing.
pub(crate) fn deletions(text: &str) -> Result<u64, String> {
    let number = text.parse::<i64>().map(|number| number.max(0) as u64);
    number.map_err(|_| "write a number".to_owned())
}

/// Whether copies share blocks.
pub(crate) fn reflink(text: &str) -> Result<Reflink, String> {
    match text {
        "auto" => Ok(Reflink::Auto),
        "always" => Ok(Reflink::Always),
        "never" => Ok(Reflink::Never),
        _ => Err("use auto, always or never".to_owned()),
    }
}

/// The checksums of `--checksum-choice`: of what is transferred, and of whole files that are compared. `None` for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksums {
    pub(crate) transfer: Option<Algorithm>,
    pub(crate) file: Option<Algorithm>,
}

impl Default for Checksums {
    fn default() -> Self {
        let algorithm = Some(Algorithm::default());
        Self {
            transfer: algorithm,
            file: algorithm,
        }
    }
}

/// One name of a checksum, or two with a comma between them. `auto` is what the other name says.
pub(crate) fn checksums(text: &str) -> Result<Checksums, String> {
    let (first, second) = text.split_once(',').unwrap_or((text, text));
    let (first, second) = (checksum(first)?, checksum(second)?);
    let default = Some(Algorithm::default());
    Ok(Checksums {
        transfer: first.or(second).unwrap_or(default),
        file: second.or(first).unwrap_or(default),
    })
}

/// `None` for `auto`, `Some(None)` for `none`.
fn checksum(name: &str) -> Result<Option<Option<Algorithm>>, String> {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "auto" => Ok(None),
        "none" => Ok(Some(None)),
        _ => match Algorithm::from_name(&name) {
            Some(algorithm) => Ok(Some(Some(algorithm))),
            None => Err(format!(
                "\"{name}\" is no checksum: use auto, {} or none",
                Algorithm::ALL.map(Algorithm::name).join(", ")
            )),
        },
    }
}

/// A seed: a number of 32 bits, with a sign or without.
pub(crate) fn seed(text: &str) -> Result<u32, String> {
    let number = text.parse::<i32>().map(|number| number as u32);
    number.map_err(|_| {
        format!(
            "\"{text}\" is no seed: write a number from {} to {}",
            i32::MIN,
            i32::MAX
        )
    })
}

/// A backend's name; `None` for `auto`.
pub(crate) fn backend(text: &str) -> Result<Option<Kind>, backend::Error> {
    if text == "auto" {
        Ok(None)
    } else {
        Kind::from_name(text).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_fractions_units_and_offsets() {
        let right = [
            ("0", 0),
            ("700", 700),
            ("12b", 12),
            ("4K", 4096),
            ("4kib", 4096),
            ("2KB", 2000),
            ("1.5mb-1", 1_499_999),
            ("2g+1", 2_147_483_649),
            ("0.5T", 1 << 39),
            ("1.0000000000000000000000000001K", 1024),
            ("8191P", 8191 << 50),
        ];
        for (text, bytes) in right {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        let wrong = [
            "",
            "K",
            "-1",
            "0-1",
            "1x",
            "1kx",
            "1bb",
            "1.2.3",
            ".5K",
            "1,5K",
            "8192P",
            "1+2",
            "9e9",
            "99999999999999999999999999999999999999999",
            "\u{fc}",
            "1\u{fc}",
        ];
        for text in wrong {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_checksum_for_transfers_may_be_another_than_for_comparing() {
        let (md5, sha1) = (Some(Algorithm::Md5), Some(Algorithm::Sha1));
        let right = [
            ("md5", md5, md5),
            ("SHA1,md5", sha1, md5),
            ("auto,md5", md5, md5),
            ("md5,auto", md5, md5),
            ("none,md5", None, md5),
            ("md5,none", md5, None),
            ("auto", Some(Algorithm::Xxh128), Some(Algorithm::Xxh128)),
            ("xxhash", Some(Algorithm::Xxh64), Some(Algorithm::Xxh64)),
        ];
        for (text, transfer, file) in right {
            assert_eq!(checksums(text), Ok(Checksums { transfer, file }), "{text}");
        }
        for wrong in ["", "md6", "md5,", ",md5", "md5,md5,md5"] {
            assert!(checksums(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_seed_is_signed() {
        assert_eq!(seed("-1"), Ok(u32::MAX));
        assert_eq!(seed("2147483647"), Ok(0x7fff_ffff));
        assert!(seed("2147483648").is_err() && seed("x").is_err());
    }

    #[test]
    fn blocks_are_neither_empty_nor_long() {
        assert_eq!(block_size("128K"), Ok(MAX_LENGTH));
        for bad in ["0", "128KB1", "129K", "1M"] {
            assert!(block_size(bad).is_err(), "{bad}");
        }
    }
}
