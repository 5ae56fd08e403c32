//! The topics that somebody in this process listens to.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{mpsc, watch};

use super::Subscription;

struct Listeners {
    sender: watch::Sender<()>,
    count: usize,
}

/// Who listens to what.
#[derive(Clone, Default)]
pub struct Topics {
    listeners: Arc<Mutex<HashMap<String, Listeners>>>,
    /// Where to say that nobody listens to a channel any more.
    left: Option<mpsc::UnboundedSender<String>>,
}

impl Topics {
    pub(super) fn that_report_leaving(left: mpsc::UnboundedSender<String>) -> Self {
        Self { left: Some(left), ..Self::default() }
    }

    pub(super) fn notify(&self, channel: &str) {
        if let Some(listeners) = self.lock().get(channel) {
            listeners.sender.send_replace(());
        }
    }

    /// A new listener, and whether it is the first of its channel.
    pub(super) fn subscribe(&self, channel: String) -> (Subscription, bool) {
        let mut listeners = self.lock();
        let (receiver, is_first) = match listeners.entry(channel.clone()) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().count += 1;
                (entry.get().sender.subscribe(), false)
            }
            Entry::Vacant(entry) => {
                let (sender, receiver) = watch::channel(());
                entry.insert(Listeners { sender, count: 1 });
                (receiver, true)
            }
        };
        (Subscription { receiver, topics: self.clone(), channel }, is_first)
    }

    pub(super) fn leave(&self, channel: &str) {
        let mut listeners = self.lock();
        let Some(entry) = listeners.get_mut(channel) else { return };
        entry.count -= 1;
        if entry.count == 0 {
            listeners.remove(channel);
            // Said under the lock, so that a later subscription to the channel is heard later.
            if let Some(left) = &self.left {
                left.send(channel.to_owned()).ok();
            }
        }
    }

    pub(super) fn has_listeners(&self, channel: &str) -> bool {
        self.lock().contains_key(channel)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Listeners>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
