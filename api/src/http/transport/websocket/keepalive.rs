//! Limits the rate of a client's messages, and detects a client that has disconnected.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Sockets;

/// Time within which a client must respond to a ping.
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// Token bucket with one token per message.
pub struct MessageRateLimit {
    tokens: f64,
    burst: f64,
    per_second: f64,
    filled_at: Instant,
}

/// Keepalive of a connection. Any frame shows that the client is alive, and pings request one.
pub struct Keepalive {
    period: Duration,
    heard_at: Instant,
    ping_at: Instant,
}

impl MessageRateLimit {
    /// Creates a full bucket.
    pub fn new(settings: &Sockets) -> Self {
        let burst = f64::from(settings.message_burst);
        Self { tokens: burst, burst, per_second: f64::from(settings.messages_per_second), filled_at: Instant::now() }
    }

    /// Whether a message is allowed now. Takes a token.
    pub fn allows(&mut self, now: Instant) -> bool {
        let gained = now.duration_since(self.filled_at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.burst) - 1.0;
        self.filled_at = now;
        self.tokens >= 0.0
    }
}

impl Keepalive {
    /// Creates the keepalive of a connection that has just opened.
    pub fn new(settings: &Sockets) -> Self {
        let period = Duration::from_secs(settings.ping_seconds);
        let now = Instant::now();
        Self { period, heard_at: now, ping_at: now + period }
    }

    /// Records a frame of the client.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Returns when the next ping or timeout is due.
    pub fn next(&self) -> Instant {
        self.ping_at.min(self.dead_at())
    }

    /// Whether two pings have gone unanswered.
    pub fn is_dead(&self, now: Instant) -> bool {
        now >= self.dead_at()
    }

    /// Whether a ping is due. If so, schedules the next one after a period.
    pub fn wants_ping(&mut self, now: Instant) -> bool {
        let due = now >= self.ping_at;
        if due {
            self.ping_at = now + self.period;
        }
        due
    }

    fn dead_at(&self) -> Instant {
        self.heard_at + 2 * self.period + PONG_WITHIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let start = Instant::now();
        let mut rate_limit = MessageRateLimit { tokens: 2.0, burst: 2.0, per_second: 10.0, filled_at: start };
        assert_eq!([rate_limit.allows(start), rate_limit.allows(start), rate_limit.allows(start)], [true, true, false]);
        let later = start + Duration::from_secs(1);
        assert_eq!([rate_limit.allows(later), rate_limit.allows(later), rate_limit.allows(later)], [true, true, false]);
    }

    #[test]
    fn two_unanswered_pings_are_death() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut keepalive = Keepalive { period: Duration::from_secs(25), heard_at: start, ping_at: at(25) };
        assert!(!keepalive.wants_ping(at(24)));
        assert!(keepalive.wants_ping(at(25)) && keepalive.wants_ping(at(50)));
        assert!(!keepalive.is_dead(at(59)) && keepalive.is_dead(at(60)));
        assert_eq!(keepalive.next(), at(60));
        keepalive.heard(at(59));
        assert!(!keepalive.is_dead(at(60)));
    }
}
