//! The topics that have subscriptions in this process.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// Subscription to one topic, which ends when dropped.
pub struct Subscription {
    receiver: watch::Receiver<u64>,
    topics: Topics,
    channel: String,
}

struct Listeners {
    sender: watch::Sender<u64>,
    count: usize,
}

/// Subscriptions in this process, by channel.
#[derive(Clone, Default)]
pub struct Topics(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Number of the latest hint of any topic. Shared, so that the numbers of a topic never restart.
    latest: AtomicU64,
    listeners: Mutex<HashMap<String, Listeners>>,
    /// Channels that got their first listener or lost their last one since the last `take_changes`.
    changes: Mutex<HashSet<String>>,
    changed: Notify,
}

impl Topics {
    pub(crate) fn notify(&self, channel: &str) {
        if let Some(listeners) = self.0.listeners.lock().get(channel) {
            listeners.sender.send_replace(self.next());
        }
    }

    /// Notifies all subscriptions.
    pub(crate) fn notify_all(&self) {
        for listeners in self.0.listeners.lock().values() {
            listeners.sender.send_replace(self.next());
        }
    }

    pub(crate) fn subscribe(&self, channel: String) -> Subscription {
        let receiver = match self.0.listeners.lock().entry(channel.clone()) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().count += 1;
                entry.get().sender.subscribe()
            }
            Entry::Vacant(entry) => {
                let (sender, receiver) = watch::channel(self.next());
                entry.insert(Listeners { sender, count: 1 });
                self.change(&channel);
                receiver
            }
        };
        Subscription { receiver, topics: self.clone(), channel }
    }

    pub(crate) fn leave(&self, channel: &str) {
        let mut listeners = self.0.listeners.lock();
        let Some(entry) = listeners.get_mut(channel) else { return };
        entry.count -= 1;
        if entry.count == 0 {
            listeners.remove(channel);
            self.change(channel);
        }
    }

    pub(crate) fn has_listeners(&self, channel: &str) -> bool {
        self.0.listeners.lock().contains_key(channel)
    }

    pub(crate) fn listener_count(&self) -> usize {
        self.0.listeners.lock().values().map(|listeners| listeners.count).sum()
    }

    pub(crate) fn channels(&self) -> Vec<String> {
        self.0.listeners.lock().keys().cloned().collect()
    }

    /// Waits until a channel gets its first listener or loses its last one.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    pub(crate) fn take_changes(&self) -> HashSet<String> {
        std::mem::take(&mut *self.0.changes.lock())
    }

    fn next(&self) -> u64 {
        self.0.latest.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn change(&self, channel: &str) {
        self.0.changes.lock().insert(channel.to_owned());
        self.0.changed.notify_one();
    }
}

impl Subscription {
    /// Waits for a hint and returns its number. Hints since the last call count as one.
    pub async fn news(&mut self) -> u64 {
        if self.receiver.changed().await.is_err() {
            // The sender stays in `topics` for as long as this subscription is counted there.
            std::future::pending::<()>().await;
        }
        *self.receiver.borrow_and_update()
    }

    /// Returns the number of the topic's latest hint. Numbers grow, and data read from now on is newer.
    #[must_use]
    pub fn latest(&self) -> u64 {
        *self.receiver.borrow()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.topics.leave(&self.channel);
    }
}
