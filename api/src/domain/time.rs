//! Points in time and their text form.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc};

/// A point in time in UTC, in whole microseconds, which is the precision of both databases.
pub type Timestamp = DateTime<Utc>;

/// Text of a time in RFC 3339, without chrono's own formatting.
pub struct Rfc3339 {
    time: Timestamp,
    /// Length of the text without the zone. The full text has nine fractional digits, and the rest is cut.
    end: usize,
    /// Text of the zone.
    zone: &'static str,
}

impl Rfc3339 {
    /// Creates the text with as many fractional digits as the time needs: 0, 3, 6 or 9.
    #[must_use]
    pub fn exact(time: Timestamp) -> Self {
        let end = match time.nanosecond() {
            0 => 19,
            nanos if nanos % 1_000_000 == 0 => 23,
            nanos if nanos % 1_000 == 0 => 26,
            _ => 29,
        };
        Self { time, end, zone: "+00:00" }
    }

    /// Creates the text with six fractional digits, for log lines.
    #[must_use]
    pub fn of_a_line(time: Timestamp) -> Self {
        Self { time, end: 26, zone: "Z" }
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time;
        // Other years and leap seconds are rare, so the library formats them.
        let (year @ 0..=9999, nanos @ 0..1_000_000_000) = (time.year(), time.nanosecond()) else {
            return f.write_str(&time.to_rfc3339());
        };
        let mut text = *b"0000-00-00T00:00:00.000000000";
        let numbers = [
            (0..4, year.unsigned_abs()),
            (5..7, time.month()),
            (8..10, time.day()),
            (11..13, time.hour()),
            (14..16, time.minute()),
            (17..19, time.second()),
            (20..29, nanos),
        ];
        for (place, mut number) in numbers {
            for digit in text[place].iter_mut().rev() {
                *digit = b"0123456789"[(number % 10) as usize];
                number /= 10;
            }
        }
        f.write_str(str::from_utf8(&text[..self.end]).unwrap_or_default())?;
        f.write_str(self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_look_as_the_library_writes_them() {
        let seconds = [
            0,
            -1,
            951_782_400,
            1_795_863_599,
            253_402_300_799,
            253_402_300_800,
            -62_000_000_000,
            -40_000_000_000,
            -70_000_000_000,
        ];
        for second in seconds {
            for nanos in [0, 1, 1_000, 120_000, 7_000_000, 500_000_000, 999_999_999] {
                let time = DateTime::from_timestamp(second, nanos).unwrap();
                assert_eq!(Rfc3339::exact(time).to_string(), time.to_rfc3339());
            }
        }
        let leap = DateTime::parse_from_rfc3339("2016-12-31T23:59:60.25Z").unwrap().to_utc();
        assert_eq!(Rfc3339::exact(leap).to_string(), leap.to_rfc3339());
    }

    #[test]
    fn a_line_has_microseconds_always() {
        let spelled = |nanos| Rfc3339::of_a_line(DateTime::from_timestamp(1_795_863_599, nanos).unwrap()).to_string();
        assert_eq!(spelled(1_234_567), "2026-11-28T10:59:59.001234Z");
        assert_eq!(spelled(0), "2026-11-28T10:59:59.000000Z");
    }
}
