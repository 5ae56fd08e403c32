//! Performance metrics.

use async_graphql::{Context, ID, InputObject, Json, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};
use serde_json::Value;

use crate::{
    domain::{self, Timestamp},
    engine::object::{Field, JsonObject, Scoped, leaf},
    graphql::{
        error::{Error, Result},
        request_scope::Scope,
    },
    service::metrics::{self, Reading},
};

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

/// What was measured.
#[derive(InputObject)]
pub(crate) struct RecordMetricsInput {
    /// 1 to 100 metrics, of which all are recorded or none.
    metrics: Vec<MetricInput>,
}

/// One measurement.
#[derive(InputObject)]
pub(crate) struct MetricInput {
    /// Of what, such as `client.render`: parts with dots between, at most 128 characters.
    ///
    /// Each part has ASCII letters, digits, `_` and `-`, and begins with a letter. The first is not `server`, which is
    /// kept for the server's own figures.
    name: String,
    /// How much, between -1e100 and 1e100.
    value: f64,
    /// In which unit, such as `ms`: 1 to 32 visible ASCII characters, `°` or `µ`.
    unit: String,
    /// Under which circumstances: an object of at most 2 KiB.
    metadata: Option<Json<Value>>,
    /// When; now, if it is left out.
    ///
    /// At most a minute in the future, and not older than metrics are kept (30 days unless configured otherwise).
    recorded_at: Option<Timestamp>,
}

/// What was recorded.
#[derive(SimpleObject)]
pub(crate) struct RecordMetricsPayload {
    /// How many metrics: all that were given.
    recorded_count: usize,
}

impl JsonObject for domain::PerformanceMetric {
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
    type Error = Error;

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

impl From<MetricInput> for Reading {
    fn from(input: MetricInput) -> Self {
        let MetricInput { name, value, unit, metadata, recorded_at } = input;
        Self { name, value, unit, metadata: metadata.map(|Json(metadata)| metadata), recorded_at }
    }
}

/// Recording metrics.
#[derive(Default)]
pub struct MetricMutation;

/// Recording metrics.
#[Object]
impl MetricMutation {
    /// Records what a client has measured, for operators to see; null only when it fails.
    async fn record_metrics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What was measured.")] input: RecordMetricsInput,
    ) -> Result<Option<RecordMetricsPayload>> {
        let readings = input.metrics.into_iter().map(Reading::from).collect();
        let recorded_count = metrics::record(&Scope::of(ctx).context, readings).await?;
        Ok(Some(RecordMetricsPayload { recorded_count }))
    }
}

/// Metrics as they are recorded.
#[derive(Default)]
pub struct MetricSubscription;

/// Metrics as they are recorded.
#[Subscription]
impl MetricSubscription {
    /// Each metric that is recorded from now on, on whichever node; needs the role ADMIN.
    ///
    /// None is missed while the stream lasts; it ends with its connection when the role is lost.
    async fn metric_recorded(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of one of these names, at most 100; all, if it is left out.")] names: Option<Vec<String>>,
    ) -> Result<impl Stream<Item = Result<PerformanceMetric>> + use<>> {
        let scope = Scope::of(ctx).clone();
        let admin = scope.context.admin()?;
        let names = names.map(|names| metrics::names("names", &names)).transpose()?;
        let metrics = metrics::follow(admin, names).await?;
        Ok(metrics.map(move |metric| match metric {
            Ok(metric) => Ok(PerformanceMetric::new(&scope, metric)),
            Err(error) => Err(Error::from(error)),
        }))
    }
}
