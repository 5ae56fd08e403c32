//! The connection that receives messages of other nodes, replaced after each loss.

use std::sync::atomic::{AtomicU64, Ordering};
use std::{collections::HashSet, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, PushInfo, PushKind, RedisResult, aio::MultiplexedConnection,
};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::bus::{client::client, publisher::Publisher, topics::Topics};
use crate::config;
use crate::redis_client::invalidation::Invalidations;

/// Interval at which the connection is checked and the lease renewed. The lease outlives one or two late ticks.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// Least time for Redis to respond before the connection counts as lost. Meanwhile hints wait in the connection, so
/// waiting costs less than subscribing to all channels again.
const PATIENCE: Duration = Duration::from_millis(500);
/// Delay between attempts to connect.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// Number of channels in one round trip.
const CHANNELS: usize = 256;

/// State that handles received messages.
pub(crate) struct SubscriberState {
    pub(crate) topics: Topics,
    pub(crate) invalidations: Arc<Invalidations>,
    pub(crate) publisher: Publisher,
    /// Number of the connection that receives messages, or 0 without one.
    connected: AtomicU64,
}

impl SubscriberState {
    pub(crate) fn new(topics: Topics, invalidations: Arc<Invalidations>, publisher: Publisher) -> Arc<Self> {
        Arc::new(Self { topics, invalidations, publisher, connected: AtomicU64::new(0) })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed) != 0
    }

    /// Marks a connection as lost. Hints may be lost too, so all subscriptions read now and poll from then on.
    fn disconnect(&self, number: u64) {
        if self.connected.compare_exchange(number, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.invalidations.reset();
            self.topics.notify_all();
        }
    }

    fn receive(&self, number: u64, push: &PushInfo) {
        let text = |place: usize| push.data.get(place).and_then(|value| String::from_redis_value_ref(value).ok());
        match push.kind {
            PushKind::Disconnection => self.disconnect(number),
            // Redis confirmed a subscription, perhaps again after a loss. Earlier hints may be missing.
            PushKind::Subscribe => self.topics.notify(&text(0).unwrap_or_default()),
            PushKind::Message => {
                let (channel, message) = (text(0).unwrap_or_default(), text(1).unwrap_or_default());
                if self.invalidations.channels().contains(&channel) {
                    if let Some(answer) = self.invalidations.receive(&channel, &message) {
                        self.publisher.publish(vec![answer]);
                    }
                } else if message != self.invalidations.node() {
                    // This node's own messages were delivered locally.
                    self.topics.notify(&channel);
                }
            }
            _ => {}
        }
    }
}

/// Subscriber to exactly those channels that have listeners on this node.
pub(crate) struct Subscriber {
    client: Client,
    patience: Duration,
    state: Arc<SubscriberState>,
    /// Not a `ConnectionManager`, which would silently replace a lost connection by one without subscriptions.
    connection: Option<MultiplexedConnection>,
    number: u64,
    subscribed: HashSet<String>,
    tried: Option<Instant>,
}

impl Subscriber {
    pub(crate) fn new(settings: &config::Redis, state: Arc<SubscriberState>) -> Result<Self, String> {
        let patience = Duration::from_millis(settings.command_timeout_ms);
        let client = client(settings)?;
        Ok(Self { client, patience, state, connection: None, number: 0, subscribed: HashSet::new(), tried: None })
    }

    pub(crate) async fn run(mut self) {
        let mut ticks = interval(CHECK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_due = tokio::select! {
                biased;
                _ = ticks.tick() => true,
                () = self.state.topics.changed() => false,
            };
            let was_connected = self.state.is_connected();
            let done = match (&mut self.connection, was_connected, is_due) {
                (Some(connection), true, true) => check(&self.state.invalidations, connection).await,
                (Some(_), true, false) => self.update_subscriptions().await,
                // While Redis is unavailable, only a tick may reconnect, and not every tick.
                _ if is_due && self.tried.is_none_or(|tried| tried.elapsed() >= TRY_EVERY) => self.reconnect().await,
                _ => continue,
            };
            match &done {
                Ok(()) if !was_connected => tracing::debug!("the bus is connected"),
                Ok(()) => {}
                Err(error) => {
                    self.state.disconnect(self.number);
                    if was_connected {
                        tracing::warn!(%error, "the bus lost its connection; subscriptions poll the database");
                    }
                }
            }
        }
    }

    async fn reconnect(&mut self) -> RedisResult<()> {
        self.tried = Some(Instant::now());
        self.number += 1;
        self.connection = None;
        let (state, number) = (Arc::clone(&self.state), self.number);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            .set_response_timeout(Some(self.patience.max(PATIENCE)))
            .set_push_sender(move |push: PushInfo| {
                state.receive(number, &push);
                Ok::<(), ()>(())
            });
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        connection.subscribe(self.state.invalidations.channels()).await?;
        self.state.invalidations.reset();
        self.state.topics.take_changes();
        self.subscribed = self.state.topics.channels().into_iter().collect();
        let channels: Vec<_> = self.subscribed.iter().collect();
        for channels in channels.chunks(CHANNELS) {
            connection.subscribe(channels).await?;
        }
        check(&self.state.invalidations, &mut connection).await?;
        self.connection = Some(connection);
        self.state.connected.store(self.number, Ordering::Relaxed);
        Ok(())
    }

    async fn update_subscriptions(&mut self) -> RedisResult<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for channel in self.state.topics.take_changes() {
            match (self.state.topics.has_listeners(&channel), self.subscribed.contains(&channel)) {
                (true, false) => added.push(channel),
                (false, true) => removed.push(channel),
                // Redis confirms nothing for a channel that is still subscribed, so a new listener may have missed a
                // hint.
                (true, true) => self.state.topics.notify(&channel),
                (false, false) => {}
            }
        }
        for channels in added.chunks(CHANNELS) {
            connection.subscribe(channels).await?;
            self.subscribed.extend(channels.iter().cloned());
        }
        for channels in removed.chunks(CHANNELS) {
            connection.unsubscribe(channels).await?;
            self.subscribed.retain(|channel| !channels.contains(channel));
        }
        Ok(())
    }
}

/// Renews the lease. If Redis accepts no writes, a ping suffices, because it still delivers hints.
async fn check(invalidations: &Invalidations, connection: &mut MultiplexedConnection) -> RedisResult<()> {
    match invalidations.renew(connection).await {
        Err(error) if !error.is_timeout() => redis::cmd("PING").query_async(connection).await,
        renewed => renewed,
    }
}
