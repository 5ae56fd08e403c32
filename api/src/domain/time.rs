//! Points in time, and how they are spelled.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc};

/// A point in time, in UTC, never finer than a microsecond (the finest that both databases keep).
pub type Timestamp = DateTime<Utc>;

/// A time as RFC 3339 has it. The library's own way to such a text takes longer than all else of a message but its
/// ciphertext.
pub struct Rfc3339 {
    /// The time.
    pub time: Timestamp,
    /// How many digits of its second follow the point, up to nine; with none there is no point.
    pub digits: usize,
    /// How its zone is called.
    pub zone: &'static str,
}

impl Rfc3339 {
    /// A time to all of its digits, in groups of three.
    #[must_use]
    pub fn exact(time: Timestamp) -> Self {
        let digits = match time.nanosecond() {
            0 => 0,
            nanos if nanos % 1_000_000 == 0 => 3,
            nanos if nanos % 1_000 == 0 => 6,
            _ => 9,
        };
        Self { time, digits, zone: "+00:00" }
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time;
        // Years of other lengths and leap seconds are seldom.
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
        let end = if self.digits == 0 { 19 } else { 20 + self.digits };
        f.write_str(str::from_utf8(&text[..end]).unwrap_or_default())?;
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
    fn a_time_has_as_many_digits_as_it_is_to_have() {
        let time = DateTime::from_timestamp(1_795_863_599, 1_234_567).unwrap();
        let spelled = |digits| Rfc3339 { time, digits, zone: "Z" }.to_string();
        assert_eq!([spelled(6), spelled(0)], ["2026-11-28T10:59:59.001234Z", "2026-11-28T10:59:59Z"]);
    }
}
