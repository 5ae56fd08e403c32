//! Devices that follow a feed, disconnect, move to another node and resume, sometimes from an earlier cursor.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qv_tests::client::Client;
use qv_tests::dice::Dice;
use qv_tests::follower::{Broken, Follower};
use serde_json::Value;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::Delivery;

/// Time that a device waits for an event before it may reconnect.
const PATIENCE: Duration = Duration::from_secs(3);
const PACE: Duration = Duration::from_millis(50);

/// Events that a device has received so far.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Delivery>>>);

/// Device of a person.
pub struct Device {
    client: Client,
    addresses: Vec<SocketAddr>,
    dice: Dice,
    log: Log,
    /// Number of the log's events before the next one.
    place: usize,
    /// Latest cursor.
    cursor: Option<String>,
    pace: Interval,
}

impl Log {
    pub fn read(&self) -> Vec<Delivery> {
        self.0.lock().expect("no device has failed").clone()
    }
}

impl Device {
    pub fn new(client: Client, addresses: Vec<SocketAddr>, dice: Dice, log: Log) -> Self {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { client, addresses, dice, log, place: 0, cursor: None, pace }
    }

    /// Follows until the test ends. Violations stay in the log or poison it.
    pub async fn run(mut self) {
        loop {
            self.pace.tick().await;
            if self.dice.once_in(4) {
                self.rewind();
            }
            let address = *self.dice.pick(&self.addresses);
            let opening = Follower::open(&self.client, address, self.cursor.as_deref());
            if let Ok(Ok(mut feed)) = timeout(PATIENCE, opening).await {
                self.follow(&mut feed).await;
            }
        }
    }

    async fn follow(&mut self, feed: &mut Follower) {
        for _ in 0..*self.dice.pick(&[1, 10, 100, 1_000]) {
            match timeout(PATIENCE, feed.next()).await {
                Ok(Ok(event)) => self.take(&event),
                Ok(Err(Broken::Gone)) => return,
                Ok(Err(Broken::Refused(errors))) => {
                    self.blame(errors[0]["extensions"]["code"] == "UNAVAILABLE", &format!("refused: {errors}"));
                    return;
                }
                Err(_) if self.dice.once_in(2) => return,
                Err(_) => {}
            }
        }
    }

    fn take(&mut self, event: &Value) {
        self.cursor = event["cursor"].as_str().map(str::to_owned);
        if event["kind"] == "CAUGHT_UP" {
            return;
        }
        let mut log = self.log.0.lock().expect("this device has not failed");
        let delivery = Delivery::of(event);
        match log.get(self.place) {
            // Received before the device went back, so both must be equal.
            Some(before) => assert_eq!(*before, delivery),
            None => log.push(delivery),
        }
        self.place += 1;
    }

    /// Goes back to an earlier event, or to the beginning.
    fn rewind(&mut self) {
        let log = self.log.0.lock().expect("this device has not failed");
        let back = self.dice.below(50);
        self.place = log.len().saturating_sub(back);
        self.cursor = self.place.checked_sub(1).map(|last| log[last].cursor.clone());
    }

    /// Poisons the log if the claim is false, so that its reader fails.
    fn blame(&self, is_right: bool, what: &str) {
        let _log = self.log.0.lock().expect("this device has not failed");
        assert!(is_right, "{what}");
    }
}
