//! Arithmetic of the generic cell rate algorithm, in microseconds. The script in `shared` computes it in Redis.

use std::time::Duration;

use crate::limiter::{Decision, Limit};

/// Decides by `full_at`, the time at which all spent units are available again. Returns its new value if allowed.
pub(super) fn decide(full_at: u64, now: u64, limit: &Limit, cost: u32) -> (Option<u64>, Decision) {
    let interval = micros(limit.interval).max(1);
    let horizon = now.saturating_add(interval.saturating_mul(limit.burst.into()));
    let full_at = full_at.max(now);
    let next = full_at.saturating_add(interval.saturating_mul(cost.into()));
    let remaining = |from: u64| u32::try_from(horizon.saturating_sub(from) / interval).unwrap_or(u32::MAX);
    if next > horizon {
        let retry_after = Duration::from_micros(next - horizon);
        return (None, Decision { allowed: false, retry_after, remaining: remaining(full_at) });
    }
    (Some(next), Decision { allowed: true, retry_after: Duration::ZERO, remaining: remaining(next) })
}

/// Returns the whole microseconds of a duration.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
