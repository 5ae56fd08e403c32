//! Sources of time, ids and randomness. They are passed in, so that tests can control them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::domain::Timestamp;

/// Bits of an id that count within a millisecond. After 4096 ids, the count carries into the milliseconds.
const COUNTER_BITS: u32 = 12;

/// Source of time, ids and random bytes for one running server.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Clock of the server.
    pub clock: Clock,
    /// Source of random bytes, also for secrets.
    pub random: Random,
    /// Time and counter of the latest id.
    latest: Arc<AtomicU64>,
}

impl Source {
    /// Creates a source with this clock.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self { clock, ..Self::default() }
    }

    /// Returns the current time, in whole microseconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns a new `UUIDv7` (RFC 9562, section 5.7), greater than all earlier ones from this source.
    ///
    /// The twelve bits after the time are a counter (section 6.2, method 1). It carries into the time on overflow.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        let millis = u64::try_from(self.now().timestamp_millis()).unwrap_or_default();
        let next = |latest: u64| (millis << COUNTER_BITS).max(latest + 1);
        let latest = self.latest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |latest| Some(next(latest)));
        let stamp = next(latest.unwrap_or_default());
        let mut bytes: [u8; 10] = self.random.bytes();
        let [.., high, low] = (stamp & ((1 << COUNTER_BITS) - 1)).to_be_bytes();
        (bytes[0], bytes[1]) = (high, low);
        uuid::Builder::from_unix_timestamp_millis(stamp >> COUNTER_BITS, &bytes).into_uuid()
    }
}

/// Clock of the machine, or one that a test moves.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// Clock of the machine.
    #[default]
    System,
    /// Clock that stands at this number of microseconds since 1970 until a test moves it.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Returns the current time, in whole microseconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
            Self::System => Utc::now().trunc_subsecs(6),
            Self::Manual(micros) => DateTime::from_timestamp_micros(micros.load(Ordering::SeqCst)).unwrap_or_default(),
        }
    }

    /// Moves a manual clock forward. Does nothing to the clock of the machine.
    pub fn advance(&self, by: TimeDelta) {
        if let Self::Manual(micros) = self {
            micros.fetch_add(by.num_microseconds().unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

/// Random bytes of the operating system, or a sequence that a test can repeat.
#[derive(Debug, Clone, Default)]
pub enum Random {
    /// The operating system, safe for keys and tokens.
    #[default]
    System,
    /// A sequence that depends only on its seed. Never for a server that others can reach.
    Seeded(Arc<Mutex<u64>>),
}

impl Random {
    /// Returns fresh random bytes.
    ///
    /// # Panics
    /// If the operating system has no random bytes, because no secret may be created then.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system for randomness")]
            Self::System => getrandom::fill(&mut bytes).expect("the operating system gives random bytes"),
            Self::Seeded(state) => {
                let mut state = state.lock();
                for chunk in bytes.chunks_mut(8) {
                    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    chunk.copy_from_slice(&mix(*state).to_le_bytes()[..chunk.len()]);
                }
            }
        }
        bytes
    }
}

/// Returns the finaliser of `SplitMix64` (Steele, Lea and Flood, 2014).
fn mix(state: u64) -> u64 {
    let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_the_clock_and_differ() {
        let source = Source {
            clock: Clock::Manual(Arc::new(AtomicI64::new(1_700_000_000_123_456))),
            random: Random::Seeded(Arc::new(Mutex::new(1))),
            ..Source::default()
        };
        let (first, second) = (source.uuid(), source.uuid());
        assert!(first < second);
        let many: Vec<_> = (0..10_000).map(|_| source.uuid()).collect();
        assert!(many.is_sorted() && many[0] > second);
        assert_eq!(first.get_version_num(), 7);
        assert_eq!(first.as_u128() >> 80, 1_700_000_000_123);
        source.clock.advance(TimeDelta::seconds(1));
        assert_eq!(source.uuid().as_u128() >> 80, 1_700_000_001_123);
    }
}
