//! Compares this node's clock with the database's, which retention uses.

use chrono::TimeDelta;

use crate::domain::Timestamp;
use crate::service::{Backend, Error};

/// Difference from which a warning is logged, and which the command `doctor` reports.
const WARN: TimeDelta = TimeDelta::seconds(1);
/// Difference beyond which nothing is deleted.
const TOO_FAR: TimeDelta = TimeDelta::minutes(1);

/// Warns if this node's clock differs from the database's.
pub(super) async fn check(backend: &Backend) -> Result<(), Error> {
    let (_, ahead) = compare(backend).await?;
    if ahead.abs() >= WARN {
        tracing::warn!(
            ahead_ms = ahead.num_milliseconds(),
            "this node's clock differs from the database's: synchronise both with NTP"
        );
    }
    Ok(())
}

/// Returns the database's time. Fails if this node's clock is far from it, because one of them is wrong then.
pub(super) async fn database_time(backend: &Backend) -> Result<Timestamp, Error> {
    let (theirs, ahead) = compare(backend).await?;
    if ahead.abs() <= TOO_FAR {
        return Ok(theirs);
    }
    backend.counted.purges_refused.add();
    let (by, side) = (ahead.num_seconds().abs(), if ahead > TimeDelta::zero() { "ahead of" } else { "behind" });
    let cause =
        format!("this node's clock is {by} s {side} the database's: nothing is deleted until NTP synchronises both");
    Err(Error::Unavailable { cause })
}

/// Returns the database's time, and this node's lead over it. The duration of the query does not count as a lead.
async fn compare(backend: &Backend) -> Result<(Timestamp, TimeDelta), Error> {
    let asked = backend.source.now();
    let theirs = backend.store.clock().await?;
    let answered = backend.source.now();
    let ahead = if theirs < asked { asked - theirs } else { (answered - theirs).min(TimeDelta::zero()) };
    backend.counted.clock_ahead.set(ahead);
    Ok((theirs, ahead))
}
