// SPDX-License-Identifier: MIT OR Apache-2.0

//! Numbers, times and modes as rsync shows them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;

/// A time in seconds since 1970, as local time.
pub(crate) fn time(seconds: i64, separator: char) -> String {
    let stamp = Timestamp::from_second(seconds).unwrap_or(if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    let time = stamp.to_zoned(TimeZone::system());
    let (date, time) = (time.date(), time.time());
    format!(
        "{:04}/{:02}/{:02}{separator}{:02}:{:02}:{:02}",
        date.year(),
        date.month(),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_second()
}

/// Mode bits as `ls -l` shows them, without the kind: `rwxr-sr-t`.
pub(crate) struct Permissions(pub(crate) u32);

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = self.0;
        let classes = [(6, 0o4000, "sS"), (3, 0o2000, "sS"), (0, 0o1000, "tT")];
        for (shift, special, letters) in classes {
            let bits = mode >> shift;
            f.write_str(if bits & 4 != 0 { "r" } else { "-" })?;
            f.write_str(if bits & 2 != 0 { "w" } else { "-" })?;
            f.write_str(match (bits & 1 != 0, mode & special != 0) {
                (true, true) => &letters[..1],
                (false, true) => &letters[1..],
                (true, false) => "x",
                (false, false) => "-",
            })?;
        }
        Ok(())
    }
}

/// A number in groups of three digits.
pub(crate) struct Grouped(pub(crate) u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (index, digit) in digits.char_indices() {
            if index > 0 && (digits.len() - index) % 3 == 0 {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// A number with a unit, as rsync shows it from one unit on.
pub(crate) fn with_unit(number: u64, unit: f64) -> String {
    let mut value = number as f64;
    if value < unit {
        return Grouped(number).to_string();
    }
    let mut letters = "KMGTPE".chars();
    let mut letter = None;
    while value >= unit && letters.as_str() != "" {
        value /= unit;
        letter = letters.next();
    }
    format!("{value:.2}{}", letter.unwrap_or(' '))
}

/// A number: 0 shows digits only, 1 groups of three, 2 and 3 units of 1000 and 1024.
pub(crate) fn number(number: u64, human: u8) -> String {
    match human {
        0 => number.to_string(),
        1 => Grouped(number).to_string(),
        2 => with_unit(number, 1000.0),
        _ => with_unit(number, 1024.0),
    }
}

/// As [`number`], with two digits behind the point.
pub(crate) fn rounded(value: f64, human: u8) -> String {
    let unit = if human == 2 { 1000.0 } else { 1024.0 };
    if human > 1 && value >= unit {
        return with_unit(value as u64, unit);
    }
    let text = format!("{value:.2}");
    match text.split_once('.') {
        Some((whole, rest)) if human > 0 => {
            format!("{}.{rest}", Grouped(whole.parse().unwrap_or(u64::MAX)))
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let shown = [0, 999, 1000, 1_234_567].map(|number| Grouped(number).to_string());
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(with_unit(4096, 1000.0), "4.10K");
        assert_eq!(with_unit(999, 1000.0), "999");
        assert_eq!(with_unit(u64::MAX, 1024.0), "16.00E");
        let shown = [0, 1, 2, 3].map(|human| rounded(1_234_567.125, human));
        assert_eq!(shown, ["1234567.12", "1,234,567.12", "1.23M", "1.18M"]);
        assert_eq!([1, 2].map(|human| rounded(0.5, human)), ["0.50", "0.50"]);
    }

    #[test]
    fn modes_are_shown_as_by_ls() {
        let shown = [0o644, 0o7777, 0o7000, 0o1751].map(|mode| Permissions(mode).to_string());
        assert_eq!(shown, ["rw-r--r--", "rwsrwsrwt", "--S--S--T", "rwxr-x--t"]);
    }

    #[test]
    fn times_out_of_range_are_shown_as_the_nearest() {
        assert!(time(i64::MAX, ' ').starts_with("9999/12/3"));
        assert_eq!(time(0, '-').len(), 19);
    }
}
