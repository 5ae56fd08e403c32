//! The mutation that records performance metrics.

use async_graphql::{Context, InputObject, Json, Object, SimpleObject};
use serde_json::Value;

use crate::domain::Timestamp;
use crate::graphql::{error::Result, request_scope::RequestScope};
use crate::service::metrics::{self, Reading};

/// Input of `recordMetrics`.
#[derive(InputObject)]
pub(crate) struct RecordMetricsInput {
    /// 1 to 100 measurements.
    metrics: Vec<MetricInput>,
}

/// A measurement to record.
#[derive(InputObject)]
pub(crate) struct MetricInput {
    /// Name, such as `client.render`: parts separated by dots, at most 128 characters.
    ///
    /// A part has ASCII letters, digits, `_` and `-`, and starts with a letter. The first part must not be `server`,
    /// which is reserved for the server's own metrics.
    name: String,
    /// Measured value, between -1e100 and 1e100.
    value: f64,
    /// Unit of the value, such as `ms`: 1 to 32 characters, visible ASCII, `°` or `µ`.
    unit: String,
    /// Circumstances of the measurement: a JSON object of at most 2 KiB.
    metadata: Option<Json<Value>>,
    /// Time of the measurement. Now if omitted.
    ///
    /// At most one minute in the future, and within the retention of metrics (30 days unless configured otherwise).
    recorded_at: Option<Timestamp>,
}

/// Payload of `recordMetrics`.
#[derive(SimpleObject)]
pub(crate) struct RecordMetricsPayload {
    /// Number of recorded metrics, which is the number of metrics in the input.
    recorded_count: usize,
}

impl From<MetricInput> for Reading {
    fn from(input: MetricInput) -> Self {
        let MetricInput { name, value, unit, metadata, recorded_at } = input;
        Self { name, value, unit, metadata: metadata.map(|Json(metadata)| metadata), recorded_at }
    }
}

/// Mutation of metrics.
#[derive(Default)]
pub struct MetricMutation;

/// Mutation of metrics.
#[Object]
impl MetricMutation {
    /// Records measurements of a client, all of them or none.
    ///
    /// Operators can read them.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` if a measurement is not acceptable; `extensions.field` names it
    /// - `RATE_LIMITED` after too many calls
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn record_metrics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Measurements to record.")] input: RecordMetricsInput,
    ) -> Result<Option<RecordMetricsPayload>> {
        let readings = input.metrics.into_iter().map(Reading::from).collect();
        let recorded_count = metrics::record(RequestScope::of(ctx).request(), readings).await?;
        Ok(Some(RecordMetricsPayload { recorded_count }))
    }
}
