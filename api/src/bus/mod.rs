//! How nodes tell each other that there is news: in the process, or over Redis.
//!
//! A hint may be lost, late or doubled, so it carries nothing: who hears it looks into the database.

mod client;
mod publisher;
mod redis;
mod subscriber;
mod topics;

use std::sync::Arc;

pub use self::topics::Subscription;
use crate::{
    bus::{redis::RedisBus, topics::Topics},
    config,
    domain::event::Topic,
    redis_client::invalidation::Invalidations,
};

/// One of the two ways to spread hints.
#[derive(Clone)]
pub enum Bus {
    /// For one node.
    Local(Topics),
    /// For many.
    Redis(RedisBus),
}

impl Bus {
    /// A bus inside this process.
    #[must_use]
    pub fn local() -> Self {
        Self::Local(Topics::default())
    }

    /// A bus that all nodes on the Redis of the settings share; what it hears of things to forget goes to `hearing`.
    pub fn shared(settings: &config::Redis, invalidations: Arc<Invalidations>) -> Result<Self, String> {
        Ok(Self::Redis(RedisBus::open(settings, invalidations)?))
    }

    /// Tells everyone who listens, on every node, that there is news.
    pub fn publish(&self, topic: Topic) {
        self.publish_all([topic]);
    }

    /// The same of many topics together.
    pub fn publish_all(&self, topics: impl IntoIterator<Item = Topic>) {
        match self {
            Self::Local(local) => topics.into_iter().for_each(|topic| local.notify(&topic.to_string())),
            Self::Redis(bus) => bus.publish_all(topics),
        }
    }

    /// Notifies all subscriptions in this process.
    pub fn notify_all_local(&self) {
        match self {
            Self::Local(topics) => topics.notify_all(),
            Self::Redis(bus) => bus.notify_all_local(),
        }
    }

    /// Waits until what was published has left this process.
    pub async fn flush(&self) {
        if let Self::Redis(bus) = self {
            bus.flush().await;
        }
    }

    /// Listens from now on.
    #[must_use]
    pub fn subscribe(&self, topic: Topic) -> Subscription {
        match self {
            Self::Local(topics) => topics.subscribe(topic.to_string()),
            Self::Redis(bus) => bus.subscribe(topic),
        }
    }

    /// How many subscriptions there are on this node.
    #[must_use]
    pub fn listener_count(&self) -> usize {
        match self {
            Self::Local(topics) => topics.listener_count(),
            Self::Redis(bus) => bus.listener_count(),
        }
    }

    /// Whether hints of other nodes arrive; while they do not, listeners must look by themselves.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Redis(bus) => bus.is_connected(),
        }
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
        // A subscription that is confirmed late says so by a hint: take those before counting.
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
        // More than go in one round trip, and the one that is heard is the last.
        here.publish_all((3..1000).map(|n| Topic::Contacts(UserId(Uuid::from_u128(n)))).chain([alice]));
        soon(again.news()).await;
    }

    #[tokio::test]
    async fn the_local_bus_conforms() {
        let bus = Bus::local();
        conforms(bus.clone(), bus.clone()).await;
        let Bus::Local(topics) = bus else { unreachable!() };
        assert!(topics.channels().is_empty(), "a topic that nobody hears is forgotten");
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
