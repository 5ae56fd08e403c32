//! Performance metrics.

use async_graphql::{ID, InputObject, Json, SimpleObject};
use serde_json::Value;

use crate::domain::{self, Timestamp};
use crate::engine::FieldError;
use crate::engine::object::{Field, JsonObject, Scoped, leaf};
use crate::graphql::{error::Result, request_scope::RequestScope};
use crate::service::metrics;

/// One measurement, which a client reported or the server sampled of itself.
pub(crate) type PerformanceMetric = Scoped<domain::PerformanceMetric>;

/// Which metrics are asked for; what is left out does not matter.
#[derive(InputObject)]
pub(crate) struct MetricFilter {
    /// Of one of these names, at most 100.
    names: Option<Vec<String>>,
    /// Not before this time.
    since: Option<Timestamp>,
    /// Before this time.
    until: Option<Timestamp>,
}

/// The metrics of one name in one stretch of time.
///
/// Percentiles are exact, by nearest rank: each is a value that was recorded.
#[derive(SimpleObject)]
pub(crate) struct MetricBucket {
    /// When the stretch begins: a multiple of its length since 1970, in UTC.
    start: Timestamp,
    /// How many metrics; at least one, because buckets without any are left out.
    count: i64,
    /// The least value.
    min: f64,
    /// The greatest value.
    max: f64,
    /// The arithmetic mean.
    mean: f64,
    /// The least value that at least 50 % of the values do not exceed.
    p50: f64,
    /// The least value that at least 95 % of the values do not exceed.
    p95: f64,
    /// The least value that at least 99 % of the values do not exceed.
    p99: f64,
}

impl JsonObject for domain::PerformanceMetric {
    type Context = RequestScope;
    const NAME: &'static str = "PerformanceMetric";
    const DESCRIPTION: &'static str = "One measurement, which a client reported or the server sampled of itself.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global and stable.", |it, out| out.plain(it.id)),
        leaf::<_, String>(
            "name",
            "What was measured, such as `client.render`; the server's own figures begin with `server.`.",
            |it, out| out.text(&it.name),
        ),
        leaf::<_, f64>("value", "How much.", |it, out| out.json(&it.value)),
        leaf::<_, String>("unit", "In which unit, such as `ms`.", |it, out| out.text(&it.unit)),
        leaf::<_, Option<Json<Value>>>(
            "metadata",
            "Under which circumstances; null if nothing was said of them.",
            |it, out| out.json(&it.metadata),
        ),
        leaf::<_, Timestamp>("createdAt", "When it was measured: `recordedAt` if that was given.", |it, out| {
            out.time(it.created_at);
        }),
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
