//! People who send to each other and retry until they get a response or give up.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use qv_tests::client::{Answer, Client, base64, draft};
use qv_tests::dice::Dice;
use qv_tests::operation;
use qv_tests::patience::PATIENCE;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::Sent;

/// Times that a client waits for a response. Some hang up early, so that nobody knows the outcome of their requests.
const WAITS: [Duration; 4] =
    [Duration::from_millis(15), Duration::from_secs(1), Duration::from_secs(12), Duration::from_secs(12)];
const PACE: Duration = Duration::from_millis(25);

/// Hand of a person, which sends one message after the other.
pub struct Sender {
    person: usize,
    hand: usize,
    people: Vec<Client>,
    addresses: Vec<SocketAddr>,
    dice: Dice,
    pace: Interval,
}

impl Sender {
    pub fn new(person: usize, hand: usize, people: Vec<Client>, addresses: Vec<SocketAddr>, dice: Dice) -> Self {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { person, hand, people, addresses, dice, pace }
    }

    /// Sends one message after the other until stopped; returns all of them.
    pub async fn run(mut self, stop: watch::Receiver<bool>) -> Vec<Sent> {
        let mut sent = Vec::new();
        // The last message is sent after all faults have healed, and must be acknowledged.
        let mut is_last = false;
        while !is_last {
            self.pace.tick().await;
            is_last = *stop.borrow();
            let recipient = self.dice.below(self.people.len());
            let client_message_id = format!("{}-{}-{}", self.person, self.hand, sent.len());
            let size = *self.dice.pick(&[1, 100, 100, 4_000]);
            let content = format!("{client_message_id} {}", "x".repeat(size));
            let acknowledged = self.deliver(recipient, &content, &client_message_id, &stop).await;
            assert!(!is_last || acknowledged.is_some(), "{client_message_id} finds no answer though nothing is broken");
            let (sender, hand, content) = (self.person, self.hand, base64(content));
            sent.push(Sent { sender, recipient, hand, client_message_id, content, acknowledged });
        }
        sent
    }

    /// Retries until there is a response. Some senders give up before.
    async fn deliver(
        &mut self,
        recipient: usize,
        content: &str,
        client_message_id: &str,
        stop: &watch::Receiver<bool>,
    ) -> Option<String> {
        let mut deadline = None;
        loop {
            // Sometimes twice at once, as a client behind a bad proxy may do.
            let copies = if self.dice.once_in(6) { 2 } else { 1 };
            let wait = *self.dice.pick(&WAITS);
            let attempts = (0..copies).map(|_| {
                let sender = self.people[self.person].at(*self.dice.pick(&self.addresses));
                let variables = draft(&self.people[recipient], content, client_message_id);
                async move { timeout(wait, sender.try_run(operation!("send_message"), variables)).await.ok()?.ok() }
            });
            let attempts: Vec<_> = attempts.collect();
            let mut ids: Vec<_> =
                join_all(attempts).await.into_iter().flatten().filter_map(|answer| id(&answer)).collect();
            ids.dedup();
            assert!(ids.len() <= 1, "{client_message_id} was acknowledged as {ids:?}");
            if let Some(id) = ids.pop() {
                // Some retry as if the response was lost, and must get an equal id.
                if self.dice.once_in(5) {
                    continue;
                }
                return Some(id);
            }
            if !*stop.borrow() && self.dice.once_in(8) {
                return None;
            }
            if *stop.borrow() && *deadline.get_or_insert(Instant::now() + PATIENCE) < Instant::now() {
                return None;
            }
            self.pace.tick().await;
        }
    }
}

/// Returns the message's id, or none if a part of the service was unavailable.
fn id(answer: &Answer) -> Option<String> {
    if answer.is_away() {
        return None;
    }
    let id = answer.data()["sendMessage"]["message"]["id"].as_str();
    Some(id.expect("an id").to_owned())
}
