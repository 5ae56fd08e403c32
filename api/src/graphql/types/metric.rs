//! Performance metrics.

use async_graphql::{ID, InputObject, Json, SimpleObject};
use serde_json::Value;

use crate::domain::{self, Timestamp};
use crate::engine::FieldError;
use crate::engine::object::{Field, JsonObject, Scoped, leaf};
use crate::graphql::{error::Result, request_scope::RequestScope};
use crate::service::metrics;

/// A measurement.
pub(crate) type PerformanceMetric = Scoped<domain::PerformanceMetric>;

/// Filter of metrics. Omitted fields match everything.
#[derive(InputObject)]
pub(crate) struct MetricFilter {
    /// Only metrics with one of these names, at most 100 names.
    names: Option<Vec<String>>,
    /// Only metrics from this time on.
    since: Option<Timestamp>,
    /// Only metrics before this time.
    until: Option<Timestamp>,
}

/// Aggregate of the metrics of one name in one bucket of time.
///
/// Percentiles are exact, by the nearest-rank method: each is a value that was recorded.
#[derive(SimpleObject)]
pub(crate) struct MetricBucket {
    /// Start of the bucket. It is a multiple of the bucket's length since 1970-01-01T00:00:00Z.
    start: Timestamp,
    /// Number of metrics, at least 1.
    count: i64,
    /// Smallest value.
    min: f64,
    /// Largest value.
    max: f64,
    /// Arithmetic mean of the values.
    mean: f64,
    /// 50th percentile: the smallest value that at least 50 % of the values do not exceed.
    p50: f64,
    /// 95th percentile: the smallest value that at least 95 % of the values do not exceed.
    p95: f64,
    /// 99th percentile: the smallest value that at least 99 % of the values do not exceed.
    p99: f64,
}

impl JsonObject for domain::PerformanceMetric {
    type Context = RequestScope;
    const NAME: &'static str = "PerformanceMetric";
    const DESCRIPTION: &'static str = "A measurement, reported by a client or taken by the server.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global id, which never changes.", |it, out| out.plain(it.id)),
        leaf::<_, String>(
            "name",
            "Name, such as `client.render`. The server's own metrics begin with `server.`.",
            |it, out| out.text(&it.name),
        ),
        leaf::<_, f64>("value", "Measured value, in the unit `unit`.", |it, out| out.json(&it.value)),
        leaf::<_, String>("unit", "Unit of the value, such as `ms`.", |it, out| out.text(&it.unit)),
        leaf::<_, Option<Json<Value>>>(
            "metadata",
            "Circumstances of the measurement, as a JSON object. Null if none were given.",
            |it, out| out.json(&it.metadata),
        ),
        leaf::<_, Timestamp>(
            "createdAt",
            "Time of the measurement: `recordedAt`, or the time of the request if that was omitted.",
            |it, out| {
                out.time(it.created_at);
            },
        ),
    ];
}

impl TryFrom<MetricFilter> for domain::MetricFilter {
    type Error = FieldError;

    fn try_from(filter: MetricFilter) -> Result<Self> {
        let names = filter.names.map(|names| metrics::names("filter.names", &names)).transpose()?;
        Ok(Self { names, since: filter.since, until: filter.until })
    }
}

impl From<domain::MetricBucket> for MetricBucket {
    fn from(bucket: domain::MetricBucket) -> Self {
        let domain::MetricBucket { start, count, min, max, mean, p50, p95, p99 } = bucket;
        Self { start, count, min, max, mean, p50, p95, p99 }
    }
}
