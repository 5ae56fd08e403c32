//! The bus over Redis: one connection a node listens, another speaks.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncCommands, Client, FromRedisValue, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use secrecy::ExposeSecret;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{Subscription, local::Topics};
use crate::{
    config,
    domain::{Random, event::Topic},
};

/// Batches of hints that may wait to be sent; past it they are dropped, and listeners find the news by polling.
const OUTBOX: usize = 4096;
/// Hints in one round trip.
const PIPELINE: usize = 256;
/// How soon hints that did not get through are sent again.
const SPEAK_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How soon a silent Redis is noticed, and a lost one tried again.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long a process that ends waits for its last hints to be taken.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// The handle of a node's bus.
#[derive(Clone)]
pub struct RedisBus {
    topics: Topics,
    prefix: Arc<str>,
    outbox: mpsc::Sender<Vec<String>>,
    /// How many batches wait or are on their way.
    unsaid: watch::Sender<usize>,
    /// Whether hints have been dropped since all had been said.
    has_dropped: Arc<AtomicBool>,
    ear: Arc<Ear>,
}

impl RedisBus {
    pub(super) fn open(settings: &config::Redis, random: &Random) -> Result<Self, String> {
        let node = u64::from_le_bytes(random.bytes()).to_string();
        let (outbox, hints) = mpsc::channel(OUTBOX);
        let topics = Topics::default();
        let ear = Arc::new(Ear { topics: topics.clone(), is_connected: AtomicBool::new(false), node: node.clone() });
        let speaking = connect(settings, None)?;
        let listener = Listener::new(settings.clone(), Arc::clone(&ear))?;
        let (unsaid, has_dropped) = (watch::Sender::new(0), Arc::<AtomicBool>::default());
        tokio::spawn(listener.run());
        tokio::spawn(speak(settings.clone(), speaking, node, hints, (unsaid.clone(), Arc::clone(&has_dropped))));
        Ok(Self { topics, prefix: format!("{}bus:", settings.prefix).into(), outbox, unsaid, has_dropped, ear })
    }

    pub(super) fn publish_all(&self, topics: impl IntoIterator<Item = Topic>) {
        let channels: Vec<_> = topics.into_iter().map(|topic| self.channel(topic)).collect();
        // Who listens on this node need not wait for Redis, nor lose the hint with it.
        for channel in &channels {
            self.topics.notify(channel);
        }
        self.unsaid.send_modify(|count| *count += 1);
        if self.outbox.try_send(channels).is_err() {
            self.unsaid.send_modify(|count| *count -= 1);
            if !self.has_dropped.swap(true, Ordering::Relaxed) {
                tracing::warn!("the bus drops hints: too many wait to be sent");
            }
        }
    }

    pub(super) fn publish_here(&self) {
        self.topics.notify_all();
    }

    /// Waits until Redis has taken what was published, or is found to be away.
    pub(super) async fn flush(&self) {
        let mut unsaid = self.unsaid.subscribe();
        if timeout(FLUSH_WITHIN, unsaid.wait_for(|count| *count == 0)).await.is_err() {
            tracing::warn!("hints were not sent before the end; other nodes find the news by polling");
        }
    }

    pub(super) fn subscribe(&self, topic: Topic) -> Subscription {
        self.topics.subscribe(self.channel(topic))
    }

    pub(super) fn listener_count(&self) -> usize {
        self.topics.listener_count()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.ear.is_connected.load(Ordering::Relaxed)
    }

    fn channel(&self, topic: Topic) -> String {
        format!("{}{topic}", self.prefix)
    }
}

/// What the listening connection does with what it hears.
struct Ear {
    topics: Topics,
    is_connected: AtomicBool,
    node: String,
}

impl Ear {
    /// Whoever listens must look, and from now on by itself: it may be waiting for a hint that never comes.
    fn lose(&self) {
        if self.is_connected.swap(false, Ordering::Relaxed) {
            self.topics.notify_all();
        }
    }

    fn hear(&self, push: &PushInfo) {
        let text = |place: usize| push.data.get(place).and_then(|value| String::from_redis_value_ref(value).ok());
        match push.kind {
            PushKind::Disconnection => self.lose(),
            // Confirmed, or confirmed anew after a loss: there may be news from before.
            PushKind::Subscribe => self.topics.notify(&text(0).unwrap_or_default()),
            // What this node said itself has been heard already.
            PushKind::Message if text(1).as_deref() != Some(&self.node) => {
                self.topics.notify(&text(0).unwrap_or_default());
            }
            _ => {}
        }
    }
}

/// Keeps Redis subscribed to just those channels that have listeners here.
struct Listener {
    settings: config::Redis,
    ear: Arc<Ear>,
    connection: ConnectionManager,
    subscribed: HashSet<String>,
}

impl Listener {
    fn new(settings: config::Redis, ear: Arc<Ear>) -> Result<Self, String> {
        let connection = connect(&settings, Some(Arc::clone(&ear)))?;
        Ok(Self { settings, ear, connection, subscribed: HashSet::new() })
    }

    async fn run(mut self) {
        let mut ticks = tokio::time::interval(CHECK_EVERY);
        loop {
            let is_due = tokio::select! {
                () = self.ear.topics.changed() => false,
                _ = ticks.tick() => true,
            };
            let was_connected = self.ear.is_connected.load(Ordering::Relaxed);
            let done = match (was_connected, is_due) {
                (true, true) => self.connection.ping::<()>().await,
                (true, false) => self.follow_changes().await,
                // While Redis is away it is asked at the ticks only.
                (false, false) => continue,
                (false, true) => self.begin_anew().await,
            };
            match done {
                Ok(()) => self.ear.is_connected.store(true, Ordering::Relaxed),
                Err(_) => self.ear.lose(),
            }
            if done.is_ok() != was_connected {
                match done {
                    Ok(()) => tracing::debug!("the bus listens"),
                    Err(error) => tracing::warn!(%error, "the bus hears nothing; feeds look by themselves"),
                }
            }
        }
    }

    /// A connection that went silent is never replaced by its manager, and one that came back has no subscriptions.
    async fn begin_anew(&mut self) -> RedisResult<()> {
        if let Ok(connection) = connect(&self.settings, Some(Arc::clone(&self.ear))) {
            self.connection = connection;
        }
        self.connection.ping::<()>().await?;
        self.ear.topics.take_changes();
        self.subscribed.clear();
        for channel in self.ear.topics.channels() {
            self.connection.subscribe(&channel).await?;
            self.subscribed.insert(channel);
        }
        Ok(())
    }

    async fn follow_changes(&mut self) -> RedisResult<()> {
        for channel in self.ear.topics.take_changes() {
            match (self.ear.topics.has_listeners(&channel), self.subscribed.contains(&channel)) {
                (true, false) => {
                    self.connection.subscribe(&channel).await?;
                    self.subscribed.insert(channel);
                }
                (false, true) => {
                    self.connection.unsubscribe(&channel).await?;
                    self.subscribed.remove(&channel);
                }
                // A listener that came to a channel still subscribed gets no confirmation: it may have missed one.
                (true, true) => self.ear.topics.notify(&channel),
                (false, false) => {}
            }
        }
        Ok(())
    }
}

fn connect(settings: &config::Redis, ear: Option<Arc<Ear>>) -> Result<ConnectionManager, String> {
    let timeout = Duration::from_millis(settings.command_timeout_ms);
    let mut config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(timeout))
        .set_connection_timeout(Some(timeout))
        .set_pipeline_buffer_size(1024)
        .set_number_of_retries(1);
    if let Some(ear) = ear {
        config = config.set_push_sender(move |push: PushInfo| {
            ear.hear(&push);
            Ok::<(), ()>(())
        });
    }
    let text = |error: redis::RedisError| error.to_string();
    let info = settings.url.expose_secret().into_connection_info().map_err(text)?;
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.set_redis_settings(redis)).map_err(text)?;
    ConnectionManager::new_lazy_with_config(client, config).map_err(text)
}

/// Tells Redis what there is to tell, until it has heard: a hint that were lost with a connection would leave whoever
/// waits for it at another node to its long interval.
async fn speak(
    settings: config::Redis,
    mut connection: ConnectionManager,
    node: String,
    mut hints: mpsc::Receiver<Vec<String>>,
    (unsaid, has_dropped): (watch::Sender<usize>, Arc<AtomicBool>),
) {
    let (mut batches, mut channels, mut taken, mut is_heard) = (Vec::new(), Vec::new(), 0, true);
    loop {
        if channels.is_empty() {
            unsaid.send_modify(|count| *count -= taken);
            if hints.is_empty() {
                has_dropped.store(false, Ordering::Relaxed);
            }
            taken = hints.recv_many(&mut batches, PIPELINE).await;
            if taken == 0 {
                return;
            }
            channels.extend(batches.drain(..).flatten());
        }
        let rest = channels.len().saturating_sub(PIPELINE);
        let mut pipeline = redis::pipe();
        for channel in &channels[rest..] {
            pipeline.publish(channel, &node).ignore();
        }
        match pipeline.exec_async(&mut connection).await {
            Ok(()) => {
                channels.truncate(rest);
                is_heard = true;
            }
            Err(error) => {
                if is_heard {
                    tracing::warn!(%error, "the bus cannot tell other nodes");
                }
                is_heard = false;
                tokio::time::sleep(SPEAK_AGAIN_AFTER).await;
                if let Ok(anew) = connect(&settings, None) {
                    connection = anew;
                }
            }
        }
    }
}
