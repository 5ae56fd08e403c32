//! Recording performance metrics.

use async_graphql::{Context, InputObject, Json, Object, SimpleObject};
use serde_json::Value;

use crate::domain::Timestamp;
use crate::graphql::{error::Result, request_scope::RequestScope};
use crate::service::metrics::{self, Reading};

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
        let recorded_count = metrics::record(RequestScope::of(ctx).request(), readings).await?;
        Ok(Some(RecordMetricsPayload { recorded_count }))
    }
}
