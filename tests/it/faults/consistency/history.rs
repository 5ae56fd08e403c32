//! The history of a run: sent messages and deliveries, and the check that both agree.

use std::collections::{HashMap, HashSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

/// Message that a person tried to send.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Index of the sender among the people.
    pub sender: usize,
    /// Index of the recipient.
    pub recipient: usize,
    /// Hand of the sender: a sequence of sends, one after the other.
    pub hand: usize,
    /// Client message id.
    pub client_message_id: String,
    /// Content as encoded on the wire.
    pub content: String,
    /// Server's id of the message, if acknowledged.
    pub acknowledged: Option<String>,
}

/// Message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub cursor: String,
    pub message_id: String,
    /// Client message id, which is the first word of the content. The server reports it only to the sender.
    pub client_message_id: String,
    pub content: String,
}

/// Everything that a run recorded. People are indexes of its lists.
#[derive(Debug)]
pub struct History {
    pub sent: Vec<Sent>,
    /// Feed of each person as a new device receives it.
    pub feeds: Vec<Vec<Delivery>>,
    /// Deliveries to each device of each person during the faults.
    pub devices: Vec<Vec<Vec<Delivery>>>,
}

impl Delivery {
    /// Reads a delivery from an event.
    pub fn of(event: &Value) -> Self {
        assert_eq!(event["kind"], "SENT", "{event}");
        let message = &event["message"];
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
        let content = text(&message["encryptedContent"]);
        let bytes = BASE64_STANDARD.decode(&content).expect("base 64");
        let words = String::from_utf8(bytes).expect("text");
        let client_message_id = words.split(' ').next().unwrap_or_default().to_owned();
        let told = message["clientMessageId"].as_str();
        assert!(told.is_none_or(|told| told == client_message_id), "{event}");
        Self { cursor: text(&event["cursor"]), message_id: text(&event["messageId"]), client_message_id, content }
    }
}

impl History {
    /// Whether every device has at least as many messages as were acknowledged for its user.
    pub fn may_be_complete(&self) -> bool {
        let owed =
            |person| self.sent.iter().filter(|sent| sent.acknowledged.is_some() && sent.concerns(person)).count();
        self.devices.iter().enumerate().all(|(person, logs)| logs.iter().all(|log| log.len() >= owed(person)))
    }

    /// Returns all contradictions between deliveries and sent messages.
    pub fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        for (person, feed) in self.feeds.iter().enumerate() {
            self.check_feed(person, feed, &mut violations);
            for (number, log) in self.devices[person].iter().enumerate() {
                if let Some(difference) = difference(log, feed) {
                    violations.push(format!("device {number} of person {person}: {difference}"));
                }
            }
        }
        violations
    }

    /// Returns a summary of the run for its log.
    pub fn summary(&self) -> String {
        let acknowledged = self.sent.iter().filter(|sent| sent.acknowledged.is_some()).count();
        let deliveries: usize = self.devices.iter().flatten().map(Vec::len).sum();
        format!(
            "{} messages, {acknowledged} acknowledged, {deliveries} deliveries to {} devices",
            self.sent.len(),
            self.devices.iter().flatten().count(),
        )
    }

    fn check_feed(&self, person: usize, feed: &[Delivery], violations: &mut Vec<String>) {
        let mut report = |text: String| violations.push(format!("person {person}: {text}"));
        let sent: HashMap<_, _> = self.sent.iter().map(|sent| (sent.client_message_id.as_str(), sent)).collect();
        let (mut ids, mut own_ids) = (HashSet::new(), HashSet::new());
        let mut latest = HashMap::new();
        for (place, delivery) in feed.iter().enumerate() {
            let id = delivery.client_message_id.as_str();
            if !ids.insert(&delivery.message_id) || !own_ids.insert(id) {
                report(format!("{id} is there twice"));
            }
            match sent.get(id).filter(|sent| sent.concerns(person)) {
                None => report(format!("nobody sent {id}")),
                Some(sent) if sent.content != delivery.content => report(format!("{id} has another content")),
                Some(sent) if sent.acknowledged.as_ref().is_some_and(|id| *id != delivery.message_id) => {
                    report(format!("{id} was acknowledged under another id"));
                }
                // A hand sends the next message only after a response, so later messages must follow earlier ones.
                Some(sent) if sent.acknowledged.is_some() => {
                    let number: usize = id.rsplit('-').next().and_then(|number| number.parse().ok()).expect("a number");
                    if latest.insert(sent.hand, number).is_some_and(|before| before > number) {
                        report(format!("{id} at {place} stands behind a later one"));
                    }
                }
                Some(_) => {}
            }
        }
        for sent in self.sent.iter().filter(|sent| sent.concerns(person)) {
            let id = sent.client_message_id.as_str();
            let is_owed = sent.acknowledged.is_some()
                // If one mailbox has the message, both must have it.
                || [sent.sender, sent.recipient].iter().any(|person| holds(&self.feeds[*person], id));
            if is_owed && !own_ids.contains(id) {
                report(format!("{id} is lost"));
            }
        }
    }
}

impl Sent {
    fn concerns(&self, person: usize) -> bool {
        self.sender == person || self.recipient == person
    }
}

fn holds(feed: &[Delivery], client_message_id: &str) -> bool {
    feed.iter().any(|delivery| delivery.client_message_id == client_message_id)
}

/// Returns the difference between a device's log and the feed, if there is one.
fn difference(log: &[Delivery], feed: &[Delivery]) -> Option<String> {
    let place = (0..log.len().max(feed.len())).find(|place| log.get(*place) != feed.get(*place))?;
    let name = |list: &[Delivery]| list.get(place).map(|delivery| delivery.client_message_id.clone());
    Some(format!(
        "has {} instead of {} messages, and at {place} it has {:?} instead of {:?}",
        log.len(),
        feed.len(),
        name(log),
        name(feed),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(n: usize) -> Delivery {
        let [cursor, message_id, client_message_id, content] =
            ["c", "m", "0-0-", "bytes "].map(|kind| format!("{kind}{n}"));
        Delivery { cursor, message_id, client_message_id, content }
    }

    /// Returns three acknowledged messages from one person to another, and a fourth that may be absent.
    fn consistent() -> History {
        let sent = (0..4).map(|n| {
            let Delivery { message_id, client_message_id, content, .. } = delivery(n);
            let acknowledged = (n < 3).then_some(message_id);
            Sent { sender: 0, recipient: 1, hand: 0, client_message_id, content, acknowledged }
        });
        let log: Vec<_> = (0..3).map(delivery).collect();
        History { sent: sent.collect(), feeds: vec![log.clone(); 2], devices: vec![vec![log.clone(); 2], vec![log]] }
    }

    fn violations(change: impl FnOnce(&mut History)) -> String {
        let mut history = consistent();
        change(&mut history);
        history.violations().join("\n")
    }

    #[test]
    fn a_consistent_history_has_no_violations() {
        assert_eq!(violations(|_| {}), "");
        let late = violations(|history| {
            history.feeds.iter_mut().chain(history.devices.iter_mut().flatten()).for_each(|log| log.push(delivery(3)));
        });
        assert_eq!(late, "", "what was not acknowledged may be there");
    }

    #[test]
    fn every_violation_is_found() {
        type Change = fn(&mut History);
        let changes: [(&str, Change); 9] = [
            ("is lost", |history| drop(history.feeds[0].remove(1))),
            ("is lost", |history| history.feeds[0].push(delivery(3))),
            ("is there twice", |history| history.feeds[0].push(delivery(1))),
            ("stands behind a later one", |history| history.feeds[0].swap(0, 1)),
            ("nobody sent", |history| history.feeds[0].push(delivery(9))),
            ("has another content", |history| history.feeds[0][2].content.push('x')),
            ("under another id", |history| history.sent[0].acknowledged = Some("m7".to_owned())),
            ("has 2 instead of 3 messages", |history| drop(history.devices[0][1].remove(0))),
            ("at 1 it has Some(\"0-0-2\") instead", |history| history.devices[1][0].swap(1, 2)),
        ];
        for (expected, change) in changes {
            let found = violations(change);
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
}
