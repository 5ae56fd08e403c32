//! Waiting for a condition, with a deadline.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// Deadline far above any expected wait.
pub const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Polls until a condition holds, and fails after [`PATIENCE`].
pub async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    assert!(until_in(PATIENCE, holds).await, "timed out: {what}");
}

/// Polls until a condition holds or the time is up; returns whether it held.
pub async fn until_in(patience: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let looking = async {
        let mut ticks = interval(LOOK_EVERY);
        // Skips the ticks that a slow poll has missed.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !holds().await {
            ticks.tick().await;
        }
    };
    timeout(patience, looking).await.is_ok()
}
