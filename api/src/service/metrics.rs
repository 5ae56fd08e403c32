//! Performance metrics: recorded by any signed-in user, read by operators.

mod live;
mod own;
mod recording;

use chrono::{DateTime, SubsecRound, TimeDelta};
use serde_json::Value;

pub use self::live::follow;
pub use self::own::{Figures, observe, write_own};
use crate::config::METRIC_BATCH_KIB;
use crate::domain::metrics::NAME_MAX;
use crate::domain::{
    MetricBucket, MetricFilter, MetricId, MetricKey, MetricName, PageArguments, PerformanceMetric, SeriesRange,
    Timestamp,
};
use crate::service::context::rate_limits::RateLimit;
use crate::service::metrics::recording::write;
use crate::service::{Admin, Backend, Connection, Error, RequestContext};
use crate::store;

const BATCH_MAX: usize = 100;
const UNIT_MAX: usize = 32;
const METADATA_MAX_BYTES: usize = 2048;
/// Largest accepted value. Beyond it, a series' sum, or the square that PostgreSQL keeps beside it, could overflow.
const VALUE_MAX: f64 = 1e100;
const NAMES_MAX: usize = 100;
const BUCKETS_MAX: i64 = 1000;
// A unit's ° and µ have two bytes.
const _: () = assert!(BATCH_MAX * (NAME_MAX + 2 * UNIT_MAX + METADATA_MAX_BYTES) <= METRIC_BATCH_KIB as usize * 1024);
/// Tolerated lead of a client's clock over the server's.
const LEEWAY: TimeDelta = TimeDelta::minutes(1);
/// End of the year 9999. Later times no longer sort correctly as SQLite stores them.
const END_OF_TIME: i64 = 253_402_300_799;

/// A measurement by a client.
pub struct Reading {
    /// Name of the metric.
    pub name: String,
    /// Measured value.
    pub value: f64,
    /// Unit of the value.
    pub unit: String,
    /// Circumstances of the measurement.
    pub metadata: Option<Value>,
    /// Time of the measurement. `None` means now.
    pub recorded_at: Option<Timestamp>,
}

/// Records a client's measurements, all of them or none. Returns how many there were.
pub async fn record(context: &RequestContext, readings: Vec<Reading>) -> Result<usize, Error> {
    let user_id = context.viewer()?.user_id;
    let count = readings.len();
    if !(1..=BATCH_MAX).contains(&count) {
        let reason = format!("must have 1 to {BATCH_MAX} metrics, but has {count}");
        return Err(Error::invalid("input.metrics", reason));
    }
    let now = context.backend.source.now();
    let metrics = readings.into_iter().enumerate().map(|(index, reading)| {
        let invalid = |(field, reason)| Error::invalid(format!("input.metrics[{index}].{field}"), reason);
        check(&context.backend, reading, now).map_err(invalid)
    });
    let metrics = metrics.collect::<Result<Vec<_>, _>>()?;
    let bytes = metrics.iter().map(size).sum();
    RateLimit::METRICS.spend(context, &user_id).await?;
    RateLimit::METRIC_BYTES.spend_bytes(context, &user_id, bytes).await?;
    write(&context.backend, Some(context), metrics).await?;
    Ok(count)
}

/// Returns a page of the metrics that match a filter, newest first.
pub async fn list(
    admin: Admin<'_>,
    filter: MetricFilter,
    arguments: &PageArguments,
) -> Result<Connection<PerformanceMetric>, Error> {
    let page = admin.page("metrics", arguments)?;
    let filter = MetricFilter { since: filter.since.map(clamp), until: filter.until.map(clamp), ..filter };
    let slice = store::performance_metrics::list(admin.backend.store.db(), &filter, &page).await?;
    Ok(Connection::of("metrics", slice, |metric| MetricKey { created_at: metric.created_at, id: metric.id.0 }))
}

/// Returns the metrics of one name, aggregated by buckets in order of time. Empty buckets are left out.
pub async fn series(
    admin: Admin<'_>,
    name: &str,
    (since, until): (Timestamp, Option<Timestamp>),
    bucket_seconds: i32,
) -> Result<Vec<MetricBucket>, Error> {
    if bucket_seconds < 1 {
        return Err(Error::invalid("bucketSeconds", format!("must be at least 1, but is {bucket_seconds}")));
    }
    let until = until.unwrap_or_else(|| admin.backend.source.now());
    let range = SeriesRange { since: clamp(since), until: clamp(until), bucket_seconds: bucket_seconds.into() };
    if range.until <= range.since {
        return Err(Error::invalid("until", "must be later than `since`; it defaults to now"));
    }
    let buckets = range.buckets();
    if buckets > BUCKETS_MAX {
        let reason = format!("must be longer: at most {BUCKETS_MAX} buckets are allowed, but this makes {buckets}");
        return Err(Error::invalid("bucketSeconds", reason));
    }
    let Ok(name) = name.parse() else { return Ok(Vec::new()) };
    Ok(store::metric_series::series(admin.backend.store.db(), &name, &range).await?)
}

/// Finds one metric.
pub async fn find(admin: Admin<'_>, id: MetricId) -> Result<Option<PerformanceMetric>, Error> {
    Ok(store::performance_metrics::find(admin.backend.store.db(), id).await?)
}

/// Parses the names in a filter. Names that no metric can have are left out.
pub fn names(field: &str, texts: &[String]) -> Result<Vec<MetricName>, Error> {
    if texts.len() > NAMES_MAX {
        let reason = format!("must have at most {NAMES_MAX} names, but has {}", texts.len());
        return Err(Error::invalid(field, reason));
    }
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// Returns the time from which metrics are kept.
pub(super) fn kept_since(backend: &Backend, now: Timestamp) -> Timestamp {
    let retention = TimeDelta::days(backend.config.metrics.retention_days.into());
    clamp(now.checked_sub_signed(retention).unwrap_or(DateTime::UNIX_EPOCH))
}

/// Returns the metric to record for a reading. Fails with the invalid field and the reason.
fn check(backend: &Backend, reading: Reading, now: Timestamp) -> Result<PerformanceMetric, (&'static str, String)> {
    let name: MetricName = reading.name.parse().map_err(|reason| ("name", reason))?;
    if name.is_own() {
        return Err(("name", "must not begin with the part `server`, which is reserved for the server".to_owned()));
    }
    // NaN fails this check as well.
    if !(-VALUE_MAX..=VALUE_MAX).contains(&reading.value) {
        return Err(("value", format!("must be between -{VALUE_MAX:e} and {VALUE_MAX:e}")));
    }
    let is_unit = |c: char| c.is_ascii_graphic() || matches!(c, '°' | 'µ');
    if !(1..=UNIT_MAX).contains(&reading.unit.chars().count()) || !reading.unit.chars().all(is_unit) {
        return Err(("unit", format!("must have 1 to {UNIT_MAX} visible ASCII characters, ° or µ")));
    }
    if let Some(metadata) = &reading.metadata {
        check_metadata(metadata).map_err(|reason| ("metadata", reason))?;
    }
    let created_at = reading.recorded_at.map_or(now, |at| at.trunc_subsecs(6));
    if created_at > now + LEEWAY {
        return Err(("recordedAt", format!("must not be more than {} s in the future", LEEWAY.num_seconds())));
    }
    if created_at < kept_since(backend, now) {
        let days = backend.config.metrics.retention_days;
        return Err(("recordedAt", format!("must not be older than the retention of {days} days")));
    }
    let id = MetricId(backend.source.uuid());
    let Reading { name, value, unit, metadata, .. } = reading;
    Ok(PerformanceMetric { id, name, value, unit, metadata, created_at })
}

/// Returns the number of bytes of a metric that its client chose.
fn size(metric: &PerformanceMetric) -> usize {
    let metadata = metric.metadata.as_ref().map_or(0, |metadata| metadata.to_string().len());
    metric.name.as_str().len() + metric.unit.len() + metadata
}

fn check_metadata(metadata: &Value) -> Result<(), String> {
    let length = metadata.to_string().len();
    if !metadata.is_object() {
        Err("must be an object".to_owned())
    } else if length > METADATA_MAX_BYTES {
        Err(format!("must have at most {METADATA_MAX_BYTES} bytes as JSON, but has {length}"))
    } else if has_nul(metadata) {
        // PostgreSQL cannot store NUL in a text.
        Err("must not contain a NUL character".to_owned())
    } else {
        Ok(())
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// Returns the nearest time that a metric can have.
fn clamp(time: Timestamp) -> Timestamp {
    time.clamp(DateTime::UNIX_EPOCH, DateTime::from_timestamp(END_OF_TIME, 0).unwrap_or(time))
}
