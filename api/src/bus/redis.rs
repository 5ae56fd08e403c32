//! The bus over Redis: one connection a node listens, another speaks.

use std::sync::Arc;

use crate::{
    bus::{
        publisher::Publisher,
        subscriber::{Subscriber, SubscriberState},
        topics::{Subscription, Topics},
    },
    config,
    domain::event::Topic,
    redis_client::invalidation::{Invalidations, Message},
};

/// The handle of a node's bus.
#[derive(Clone)]
pub struct RedisBus {
    topics: Topics,
    prefix: Arc<str>,
    /// What every hint says: who spoke.
    node: Arc<str>,
    publisher: Publisher,
    state: Arc<SubscriberState>,
}

impl RedisBus {
    pub(super) fn open(settings: &config::Redis, invalidations: Arc<Invalidations>) -> Result<Self, String> {
        let (topics, node) = (Topics::default(), invalidations.node().into());
        let publisher = Publisher::open(settings)?;
        let state = SubscriberState::new(topics.clone(), invalidations, publisher.clone());
        tokio::spawn(Subscriber::new(settings, Arc::clone(&state))?.run());
        Ok(Self { topics, prefix: format!("{}bus:", settings.prefix).into(), node, publisher, state })
    }

    pub(super) fn publish_all(&self, topics: impl IntoIterator<Item = Topic>) {
        let hint = |topic| Message { channel: self.channel(topic), text: Arc::clone(&self.node) };
        let hints: Vec<_> = topics.into_iter().map(hint).collect();
        // Who listens on this node need not wait for Redis, nor lose the hint with it.
        for hint in &hints {
            self.topics.notify(&hint.channel);
        }
        self.publisher.publish(hints);
    }

    pub(super) fn notify_all_local(&self) {
        self.topics.notify_all();
    }

    pub(super) async fn flush(&self) {
        self.publisher.flush().await;
    }

    pub(super) fn subscribe(&self, topic: Topic) -> Subscription {
        self.topics.subscribe(self.channel(topic))
    }

    pub(super) fn listener_count(&self) -> usize {
        self.topics.listener_count()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state.is_connected()
    }

    fn channel(&self, topic: Topic) -> String {
        format!("{}{topic}", self.prefix)
    }
}
