//! Waiting for what must come, with an end to it.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// Far longer than anything takes, so that only what never comes fails.
pub const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks again and again until something holds.
pub async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    assert!(until_in(PATIENCE, holds).await, "in vain: {what}");
}

/// The same for so long; says whether it came to hold.
pub async fn until_in(patience: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let looking = async {
        let mut ticks = interval(LOOK_EVERY);
        // After a look that took long, the next ones do not make up for it.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !holds().await {
            ticks.tick().await;
        }
    };
    timeout(patience, looking).await.is_ok()
}
