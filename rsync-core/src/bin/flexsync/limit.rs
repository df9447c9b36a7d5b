// SPDX-License-Identifier: MIT OR Apache-2.0

//! How fast and how long: `--bwlimit`, `--stop-after`, `--stop-at`.

use crate::values::size;
use clap::ArgMatches;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};
use std::time::Duration;

/// A rate in bytes a second, 0 for none: a number of KiB, or one with a unit.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    const KIB: u64 = 1024;
    let plain = |char: char| char.is_ascii_digit() || char == '.';
    let rate = match text {
        "" => 0,
        text if text.chars().all(plain) => size(&format!("{text}K"))?,
        text => size(text)?,
    };
    match rate {
        1..512 => Err(format!(
            "\"{text}\" is too slow: 512 bytes a second is the least, and 0 is no limit"
        )),
        // As for rsync, whole KiB.
        rate => Ok(rate.saturating_add(KIB / 2) / KIB * KIB),
    }
}

/// A number of minutes.
pub(crate) fn minutes(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(minutes) if minutes > 0 => Ok(minutes),
        _ => Err(format!("\"{text}\" is no time: write a number of minutes")),
    }
}

/// A point in time: `2030-12-31T23:59`, or less of that for the next time that it fits.
pub(crate) fn point(text: &str) -> Result<Timestamp, String> {
    let zone = TimeZone::system();
    let now = Timestamp::now();
    let wanted = Wanted::parse(text).ok_or_else(|| {
        format!("\"{text}\" is no time: write a date and a time like 2030-12-31T23:59, or a part of it like 23:59")
    })?;
    let found = wanted.next(zone.to_datetime(now));
    let stamp = found.and_then(|time| Some(zone.to_zoned(time).ok()?.timestamp()));
    let future = stamp.filter(|stamp| *stamp > now);
    future.ok_or_else(|| format!("\"{text}\" is not in the future"))
}

/// How long it may take: of two limits the first that is reached counts.
pub(crate) fn time(matches: &ArgMatches) -> Option<Duration> {
    let after = matches.get_one::<u64>("stop-after");
    let after = after.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let at = matches.get_one::<Timestamp>("stop-at");
    let at =
        at.map(|at| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default());
    after.into_iter().chain(at).min()
}

/// What of a time was given.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    hour: Option<i8>,
    minute: i8,
}

impl Wanted {
    fn parse(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once(['T', 't']) {
            Some((date, time)) => (date, Some(time)),
            None if text.contains(':') => ("", Some(text)),
            None => (text, None),
        };
        let mut wanted = Self {
            hour: Some(0),
            ..Self::default()
        };
        let numbers = |text: &str| -> Option<Vec<i16>> {
            let parts = text.split(['-', '/']);
            parts.map(number).collect()
        };
        match date {
            "" if time.is_some() => {}
            date => match numbers(date)?[..] {
                [day] => wanted.day = Some(day.try_into().ok()?),
                [month, day] => {
                    wanted.month = Some(month.try_into().ok()?);
                    wanted.day = Some(day.try_into().ok()?);
                }
                [year, month, day] => {
                    wanted.year = Some(if year < 100 { 2000 + year } else { year });
                    wanted.month = Some(month.try_into().ok()?);
                    wanted.day = Some(day.try_into().ok()?);
                }
                _ => return None,
            },
        }
        if let Some(time) = time {
            let (hour, minute) = time.split_once(':')?;
            wanted.hour = match hour {
                "" if date.is_empty() => None,
                hour => Some(number(hour)?.try_into().ok()?),
            };
            wanted.minute = number(minute)?.try_into().ok()?;
        }
        // What can never be is no time.
        let hour = wanted.hour.unwrap_or(0);
        Time::new(hour, wanted.minute, 0, 0).ok()?;
        let (month, day) = (wanted.month.unwrap_or(1), wanted.day.unwrap_or(1));
        Date::new(wanted.year.unwrap_or(2000), month, day).ok()?;
        Some(wanted)
    }

    /// The next time after `now` that is meant.
    fn next(&self, now: DateTime) -> Option<DateTime> {
        let hour = self.hour.unwrap_or(now.hour());
        let time = Time::new(hour, self.minute, 0, 0).ok()?;
        let step: Span = match self {
            Self { year: Some(_), .. } => return self.on(self.year?, self.month?, time),
            Self { month: Some(_), .. } => 1.year(),
            Self { day: Some(_), .. } => 1.month(),
            Self { hour: Some(_), .. } => 1.day(),
            _ => 1.hour(),
        };
        // A day need not be in each month, or year.
        let mut at = match self.day {
            Some(_) => Date::new(now.year(), now.month(), 1)
                .ok()?
                .to_datetime(time),
            None => now.date().to_datetime(time),
        };
        for _ in 0..50 {
            let found = match self.day {
                Some(_) => self.on(at.year(), self.month.unwrap_or(at.month()), time),
                None => Some(at),
            };
            if let Some(found) = found.filter(|found| *found > now) {
                return Some(found);
            }
            at = at.checked_add(step).ok()?;
        }
        None
    }

    fn on(&self, year: i16, month: i8, time: Time) -> Option<DateTime> {
        Some(Date::new(year, month, self.day?).ok()?.to_datetime(time))
    }
}

fn number(text: &str) -> Option<i16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_kibibytes_unless_they_have_a_unit() {
        let right = [
            ("100", 102_400),
            ("1.5m", 1_572_864),
            ("0", 0),
            ("", 0),
            ("600b", 1024),
            ("2000b", 2048),
        ];
        for (text, bytes) in right {
            assert_eq!(rate(text), Ok(bytes), "{text}");
        }
        for wrong in ["x", "100b", "-1", "1..2"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_of_a_time_is_the_next_that_fits() {
        let now: DateTime = "2026-11-27T14:30:10".parse().unwrap();
        let right = [
            ("2030-12-31T23:59", "2030-12-31T23:59"),
            ("30/12/31", "2030-12-31T00:00"),
            ("14:31", "2026-11-27T14:31"),
            ("14:30", "2026-11-28T14:30"),
            (":59", "2026-11-27T14:59"),
            (":15", "2026-11-27T15:15"),
            ("1", "2026-12-01T00:00"),
            ("31", "2026-12-31T00:00"),
            ("1-30", "2027-01-30T00:00"),
            ("2-29T5:07", "2028-02-29T05:07"),
            ("27T15:00", "2026-11-27T15:00"),
        ];
        for (text, point) in right {
            let next = Wanted::parse(text).and_then(|wanted| wanted.next(now));
            assert_eq!(next, Some(point.parse().unwrap()), "{text}");
        }
        for wrong in [
            "x", "", "24:00", "1:60", "13-1", "0", "32", "1-2-3-4", "1T5", "T:5:1", "+1",
        ] {
            assert_eq!(Wanted::parse(wrong), None, "{wrong}");
        }
        assert!(point("2020-01-01T00:00").is_err());
    }
}
