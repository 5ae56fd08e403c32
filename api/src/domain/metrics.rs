//! Performance metrics, reported by clients or sampled by the server. They are data of the product, unlike the counters
//! that operators scrape.

use std::{fmt, str::FromStr};

use serde_json::Value;
use uuid::Uuid;

use crate::domain::{MetricId, Timestamp};

/// Maximum length of a name, in characters.
pub const NAME_MAX: usize = 128;
/// First part of the names of the server's own metrics, which clients may not record.
pub const OWN: &str = "server";

/// A measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct PerformanceMetric {
    /// Id.
    pub id: MetricId,
    /// Name, such as `client.render`.
    pub name: String,
    /// Measured value, which is finite.
    pub value: f64,
    /// Unit of the value, such as `ms`.
    pub unit: String,
    /// Circumstances of the measurement, as a JSON object.
    pub metadata: Option<Value>,
    /// Time of the measurement.
    pub created_at: Timestamp,
}

/// A valid name: parts of ASCII letters, digits, `_` and `-`, separated by dots. Each part starts with a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricName(String);

/// Filter of metrics. Absent fields match everything.
#[derive(Debug, Clone, Default)]
pub struct MetricFilter {
    /// Only metrics with one of these names.
    pub names: Option<Vec<MetricName>>,
    /// Only metrics from this time on.
    pub since: Option<Timestamp>,
    /// Only metrics before this time.
    pub until: Option<Timestamp>,
}

/// Range and buckets of an aggregation.
#[derive(Debug, Clone)]
pub struct SeriesRange {
    /// Start of the range, included.
    pub since: Timestamp,
    /// End of the range, excluded.
    pub until: Timestamp,
    /// Length of a bucket, at least 1. Buckets start at its multiples since 1970.
    pub bucket_seconds: i64,
}

/// Aggregate of the metrics of one name in one bucket. Percentiles use the nearest rank, so each is a recorded value.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricBucket {
    /// Start of the bucket.
    pub start: Timestamp,
    /// Number of metrics, at least 1.
    pub count: i64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Arithmetic mean of the values.
    pub mean: f64,
    /// 50th percentile.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// Position of a metric in the list of all metrics, which is ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricKey {
    /// Time of the measurement.
    pub created_at: Timestamp,
    /// Orders metrics of the same time.
    pub id: Uuid,
}

impl MetricName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is reserved for the server's own metrics.
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
    /// Returns the number of buckets in the range, empty ones included.
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
