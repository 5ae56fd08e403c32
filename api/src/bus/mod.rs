//! Bus that notifies all nodes of changes: in the process, or over Redis.
//!
//! A hint may be lost, late or duplicated, so it carries no data. Its receiver reads the database.

mod client;
mod publisher;
mod subscriber;
mod topics;

use std::sync::Arc;

pub use self::topics::Subscription;
use crate::bus::subscriber::{Subscriber, SubscriberState};
use crate::bus::{publisher::Publisher, topics::Topics};
use crate::config;
use crate::domain::event::Topic;
use crate::redis_client::invalidation::{Invalidations, Message};

/// Bus that delivers hints to the subscriptions of this process, and of other nodes on a shared Redis.
#[derive(Clone, Default)]
pub struct Bus {
    topics: Topics,
    /// Prefix of channels.
    prefix: Arc<str>,
    /// Absent on a node without Redis.
    shared: Option<Shared>,
}

/// The connections of a node to a shared Redis.
#[derive(Clone)]
struct Shared {
    /// Payload of each hint: the node that sent it.
    node: Arc<str>,
    publisher: Publisher,
    state: Arc<SubscriberState>,
}

impl Bus {
    /// Returns a bus inside this process.
    #[must_use]
    pub fn local() -> Self {
        Self::default()
    }

    /// Returns a bus that all nodes on this Redis share. Received invalidations go to `invalidations`.
    pub fn shared(settings: &config::Redis, invalidations: Arc<Invalidations>) -> Result<Self, String> {
        let (topics, publisher) = (Topics::default(), Publisher::open(settings)?);
        let node = invalidations.node().into();
        let state = SubscriberState::new(topics.clone(), invalidations, publisher.clone());
        tokio::spawn(Subscriber::new(settings, Arc::clone(&state))?.run());
        Ok(Self {
            topics,
            prefix: format!("{}bus:", settings.prefix).into(),
            shared: Some(Shared { node, publisher, state }),
        })
    }

    /// Publishes a hint to all subscriptions, on every node.
    pub fn publish(&self, topic: Topic) {
        self.publish_all([topic]);
    }

    /// Publishes several hints together.
    pub fn publish_all(&self, topics: impl IntoIterator<Item = Topic>) {
        let channels = topics.into_iter().map(|topic| self.channel(topic));
        // Subscriptions on this node neither wait for Redis nor lose a hint when Redis fails.
        let channels = channels.inspect(|channel| self.topics.notify(channel));
        match &self.shared {
            None => channels.for_each(drop),
            Some(Shared { node, publisher, .. }) => {
                publisher.publish(channels.map(|channel| Message { channel, text: Arc::clone(node) }).collect());
            }
        }
    }

    /// Notifies all subscriptions in this process.
    pub fn notify_all_local(&self) {
        self.topics.notify_all();
    }

    /// Waits for a limited time until Redis has accepted the published hints.
    pub async fn flush(&self) {
        if let Some(shared) = &self.shared {
            shared.publisher.flush().await;
        }
    }

    /// Subscribes to a topic from now on.
    #[must_use]
    pub fn subscribe(&self, topic: Topic) -> Subscription {
        self.topics.subscribe(self.channel(topic))
    }

    /// Returns the number of subscriptions on this node.
    #[must_use]
    pub fn listener_count(&self) -> usize {
        self.topics.listener_count()
    }

    /// Whether hints of other nodes arrive. If not, listeners must poll.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.state.is_connected())
    }

    fn channel(&self, topic: Topic) -> String {
        format!("{}{topic}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, time::Duration};

    use uuid::Uuid;

    use super::*;
    use crate::domain::{Random, UserId};

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), future).await.expect("no hint came")
    }

    /// Asserts the behaviour that all variants share, between two nodes or on one.
    async fn conforms(here: Bus, there: Bus) {
        let [alice, bob] = [1, 2].map(|n| Topic::Mailbox(UserId(Uuid::from_u128(n))));
        let (mut first, mut second, mut other) = (here.subscribe(alice), there.subscribe(alice), here.subscribe(bob));
        // A subscription that is confirmed late gets a hint. Takes those before counting.
        loop {
            there.publish(bob);
            here.publish(alice);
            soon(async { tokio::join!(first.news(), second.news(), other.news()) }).await;
            if here.is_connected() && there.is_connected() {
                break;
            }
        }
        let before = second.latest();
        here.publish(alice);
        soon(here.flush()).await;
        assert!(soon(second.news()).await > before && second.latest() > before);
        soon(first.news()).await;
        here.notify_all_local();
        soon(async { tokio::join!(first.news(), other.news()) }).await;
        drop(first);
        there.publish(alice);
        soon(second.news()).await;
        drop((second, other));
        let mut again = there.subscribe(alice);
        here.publish(alice);
        here.publish(alice);
        soon(again.news()).await;
        // More topics than fit into one round trip. The subscribed topic is the last.
        here.publish_all((3..1000).map(|n| Topic::Contacts(UserId(Uuid::from_u128(n)))).chain([alice]));
        soon(again.news()).await;
    }

    #[tokio::test]
    async fn the_local_bus_conforms() {
        let bus = Bus::local();
        conforms(bus.clone(), bus.clone()).await;
        assert!(bus.topics.channels().is_empty(), "a topic that nobody hears is forgotten");
    }

    mod clustered {
        use super::*;
        use crate::redis_client::redis_url;

        #[tokio::test]
        async fn the_shared_bus_conforms() {
            let prefix = format!("test-{}:", std::process::id());
            let settings = config::Redis { url: redis_url().into(), prefix: prefix.clone(), command_timeout_ms: 2000 };
            let node = || Bus::shared(&settings, Invalidations::new(&prefix, &Random::System, |_| {})).unwrap();
            conforms(node(), node()).await;
        }
    }
}
