//! Performance metrics: what clients report and what the server samples of itself. They are data of the product; the
//! counters that operators scrape are telemetry.

use std::{fmt, str::FromStr};

use serde_json::Value;
use uuid::Uuid;

use crate::domain::{MetricId, Timestamp};

/// The most characters of a name.
pub const NAME_MAX: usize = 128;
/// What the first part of a name says of the server's own figures, which nobody else may record.
pub const OWN: &str = "server";

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct PerformanceMetric {
    /// Names it.
    pub id: MetricId,
    /// What was measured, such as `client.render`.
    pub name: String,
    /// How much; finite.
    pub value: f64,
    /// Of what, such as `ms`.
    pub unit: String,
    /// Under which circumstances: an object.
    pub metadata: Option<Value>,
    /// When it was measured.
    pub created_at: Timestamp,
}

/// What is measured: parts of ASCII letters, digits, `_` and `-`, each beginning with a letter, with dots between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricName(String);

/// Which metrics are asked for; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct MetricFilter {
    /// Of one of these names.
    pub names: Option<Vec<MetricName>>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// Which metrics are put together.
#[derive(Debug, Clone)]
pub struct SeriesRange {
    /// Not before.
    pub since: Timestamp,
    /// Before.
    pub until: Timestamp,
    /// How long each bucket is, at least one; buckets begin at the multiples of it since 1970.
    pub bucket_seconds: i64,
}

/// The metrics of one name in one stretch of time; percentiles by nearest rank, so each is a value that was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricBucket {
    /// When the stretch begins.
    pub start: Timestamp,
    /// How many; at least one.
    pub count: i64,
    /// The least value.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The least value that at least 50 of 100 do not exceed.
    pub p50: f64,
    /// The least value that at least 95 of 100 do not exceed.
    pub p95: f64,
    /// The least value that at least 99 of 100 do not exceed.
    pub p99: f64,
}

/// Where a metric stands in the list of all, which goes by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricKey {
    /// When it was measured.
    pub created_at: Timestamp,
    /// Tells apart what was measured at the same time.
    pub id: Uuid,
}

impl MetricName {
    /// The name as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of the server's own figures.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.0.split('.').next() == Some(OWN)
    }
}

impl FromStr for MetricName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_part = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphabetic())
                && part.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-'))
        };
        if text.len() <= NAME_MAX && text.split('.').all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("must have at most {NAME_MAX} characters: parts of a-z A-Z 0-9 _ - separated by dots"))
        }
    }
}

impl SeriesRange {
    /// How many buckets there are at most.
    #[must_use]
    pub fn buckets(&self) -> i64 {
        let place = |micros: i64| micros.div_euclid(self.bucket_seconds.saturating_mul(1_000_000));
        place(self.until.timestamp_micros() - 1) - place(self.since.timestamp_micros()) + 1
    }
}

impl fmt::Display for MetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.created_at.timestamp_micros(), self.id)
    }
}

impl FromStr for MetricKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (micros, id) = text.split_once(' ').ok_or(())?;
        let created_at = micros.parse().ok().and_then(Timestamp::from_timestamp_micros).ok_or(())?;
        Ok(Self { created_at, id: id.parse().map_err(drop)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dotted_parts() {
        for good in ["x", "client.render", "a.b_2.C-d", "serverless.x", &"a".repeat(128)] {
            assert_eq!(good.parse::<MetricName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "a.", ".a", "a..b", "1a", "a.2", "a b", "a\0", "ä", &"a".repeat(129)] {
            bad.parse::<MetricName>().unwrap_err();
        }
        assert!("server.requests".parse::<MetricName>().unwrap().is_own());
        assert!(!"serverless.x".parse::<MetricName>().unwrap().is_own());
    }

    #[test]
    fn buckets_begin_at_the_epoch() {
        let at = |micros| Timestamp::from_timestamp_micros(micros).unwrap();
        for (since, until, expected) in [(0, 1, 1), (0, 10_000_000, 1), (0, 10_000_001, 2), (9_999_999, 10_000_001, 2)]
        {
            let range = SeriesRange { since: at(since), until: at(until), bucket_seconds: 10 };
            assert_eq!(range.buckets(), expected, "{since} {until}");
        }
    }
}
