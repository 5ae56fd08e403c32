//! Devices that follow a feed, lose the connection, move to another node and resume, sometimes from further back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qv_tests::client::Client;
use qv_tests::dice::Dice;
use qv_tests::follower::{Broken, Follower};
use serde_json::Value;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::Delivery;

/// How long a device waits for anything before it looks whether the connection still lives.
const PATIENCE: Duration = Duration::from_secs(3);
const PACE: Duration = Duration::from_millis(50);

/// What a device was told, as far as it has got.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Delivery>>>);

/// One device.
pub struct Device {
    client: Client,
    addresses: Vec<SocketAddr>,
    dice: Dice,
    log: Log,
    /// How many of the log's events stand before the next one.
    place: usize,
    /// The latest cursor.
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

    /// Follows until the test ends. What is wrong is left in the log, or poisons it.
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
            // Seen before the device went back: it must be the same again.
            Some(before) => assert_eq!(*before, delivery),
            None => log.push(delivery),
        }
        self.place += 1;
    }

    /// Goes back to something it has seen already, or to the beginning.
    fn rewind(&mut self) {
        let log = self.log.0.lock().expect("this device has not failed");
        let back = self.dice.below(50);
        self.place = log.len().saturating_sub(back);
        self.cursor = self.place.checked_sub(1).map(|last| log[last].cursor.clone());
    }

    /// Poisons the log, which whoever reads it notices.
    fn blame(&self, is_right: bool, what: &str) {
        let _log = self.log.0.lock().expect("this device has not failed");
        assert!(is_right, "{what}");
    }
}
