//! Aggregates performance metrics into time buckets.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement};

use crate::domain::{MetricBucket, MetricName, SeriesRange, Timestamp};
use crate::store::Error;

/// Builds the SQL for a percentile by nearest rank. The rank is `share` percent of the count, rounded up.
macro_rules! percentile {
    ($share:literal) => {
        concat!("max(CASE WHEN rank = (count * ", $share, " + 99) / 100 THEN value END) AS p", $share)
    };
}

/// Builds the SQL for a series. `seconds` is the only part in which the two databases differ.
macro_rules! series {
    ($seconds:literal) => {
        concat!(
            "SELECT bucket, count, min(value) AS least, max(value) AS most, avg(value) AS mean, ",
            percentile!("50"),
            ", ",
            percentile!("95"),
            ", ",
            percentile!("99"),
            " FROM (SELECT bucket, value, row_number() OVER (PARTITION BY bucket ORDER BY value) AS rank, \
             count(*) OVER (PARTITION BY bucket) AS count \
             FROM (SELECT ",
            $seconds,
            " / $4 AS bucket, metric_value AS value FROM performance_metrics \
             WHERE metric_name = $1 AND created_at >= $2 AND created_at < $3) AS measured) AS ranked \
             GROUP BY bucket, count ORDER BY bucket"
        )
    };
}

const POSTGRES: &str = series!("floor(extract(epoch FROM created_at))::bigint");
// Truncates to whole seconds. SQLite would round to milliseconds, and so might round up into the next bucket.
const SQLITE: &str = series!("CAST(strftime('%s', substr(created_at, 1, 19)) AS INTEGER)");

#[derive(FromQueryResult)]
struct Row {
    bucket: i64,
    count: i64,
    least: f64,
    most: f64,
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
}

/// Aggregates the metrics of one name into buckets, ordered by time. Empty buckets are left out.
pub async fn series(
    db: &impl ConnectionTrait,
    name: &MetricName,
    range: &SeriesRange,
) -> Result<Vec<MetricBucket>, Error> {
    let backend = db.get_database_backend();
    let sql = if backend == DbBackend::Postgres { POSTGRES } else { SQLITE };
    let values = [name.as_str().into(), range.since.into(), range.until.into(), range.bucket_seconds.into()];
    let rows = Row::find_by_statement(Statement::from_sql_and_values(backend, sql, values)).all(db).await?;
    rows.into_iter().map(|row| bucket(&row, range)).collect()
}

fn bucket(row: &Row, range: &SeriesRange) -> Result<MetricBucket, Error> {
    let start = row.bucket.checked_mul(range.bucket_seconds).and_then(|at| Timestamp::from_timestamp(at, 0));
    Ok(MetricBucket {
        start: start.ok_or_else(|| DbErr::Type(format!("bucket {}", row.bucket)))?,
        count: row.count,
        min: row.least,
        max: row.most,
        mean: row.mean,
        p50: row.p50,
        p95: row.p95,
        p99: row.p99,
    })
}
