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
    Client, FromRedisValue, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use secrecy::ExposeSecret;
use tokio::sync::mpsc;

use super::{Subscription, local::Topics};
use crate::{
    config,
    domain::{Random, event::Topic},
};

/// Hints that may wait to be sent; past it they are dropped, and listeners find the news by polling.
const OUTBOX: usize = 4096;
const RETRY: Duration = Duration::from_millis(500);

/// The handle of a node's bus.
#[derive(Clone)]
pub struct RedisBus {
    topics: Topics,
    prefix: Arc<str>,
    changed: mpsc::UnboundedSender<String>,
    outbox: mpsc::Sender<String>,
    connected: Arc<AtomicBool>,
}

impl RedisBus {
    pub(super) fn open(settings: &config::Redis, random: &Random) -> Result<Self, String> {
        let node = u64::from_le_bytes(random.bytes()).to_string();
        let (changed, channels) = mpsc::unbounded_channel();
        let (outbox, hints) = mpsc::channel(OUTBOX);
        let topics = Topics::that_report_leaving(changed.clone());
        let connected = Arc::new(AtomicBool::new(false));

        let heard = Ear { topics: topics.clone(), connected: Arc::clone(&connected), node: node.clone() };
        let listening = connect(settings, Some(heard))?;
        let speaking = connect(settings, None)?;
        tokio::spawn(keep_subscribed(listening, topics.clone(), channels));
        tokio::spawn(speak(speaking, node, hints));
        Ok(Self { topics, prefix: format!("{}bus:", settings.prefix).into(), changed, outbox, connected })
    }

    pub(super) fn publish(&self, topic: Topic) {
        let channel = self.channel(topic);
        // Who listens on this node need not wait for Redis, nor lose the hint with it.
        self.topics.notify(&channel);
        if self.outbox.try_send(channel).is_err() {
            tracing::warn!("the bus drops hints: too many wait to be sent");
        }
    }

    pub(super) fn subscribe(&self, topic: Topic) -> Subscription {
        let channel = self.channel(topic);
        let (subscription, is_first) = self.topics.subscribe(channel.clone());
        if is_first {
            self.changed.send(channel).ok();
        }
        subscription
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    fn channel(&self, topic: Topic) -> String {
        format!("{}{topic}", self.prefix)
    }
}

/// What the listening connection does with what it hears.
struct Ear {
    topics: Topics,
    connected: Arc<AtomicBool>,
    node: String,
}

impl Ear {
    fn hear(&self, push: &PushInfo) {
        let text = |place: usize| push.data.get(place).and_then(|value| String::from_redis_value_ref(value).ok());
        match push.kind {
            PushKind::Disconnection => self.connected.store(false, Ordering::Relaxed),
            // Confirmed, or confirmed anew after a loss: there may be news from before.
            PushKind::Subscribe => {
                self.connected.store(true, Ordering::Relaxed);
                self.topics.notify(&text(0).unwrap_or_default());
            }
            // What this node said itself has been heard already.
            PushKind::Message if text(1).as_deref() != Some(&self.node) => {
                self.topics.notify(&text(0).unwrap_or_default());
            }
            _ => {}
        }
    }
}

fn connect(settings: &config::Redis, ear: Option<Ear>) -> Result<ConnectionManager, String> {
    let timeout = Duration::from_millis(settings.command_timeout_ms);
    let mut config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(timeout))
        .set_connection_timeout(Some(timeout))
        .set_pipeline_buffer_size(1024)
        .set_max_delay(Duration::from_secs(1));
    // A listener never gives up, since nothing else would wake it; a speaker's hint is soon worthless.
    config = match ear {
        None => config.set_number_of_retries(1),
        Some(ear) => {
            let push = move |push: PushInfo| {
                ear.hear(&push);
                Ok::<(), ()>(())
            };
            config.set_number_of_retries(usize::MAX).set_push_sender(push).set_automatic_resubscription()
        }
    };
    let text = |error: redis::RedisError| error.to_string();
    let info = settings.url.expose_secret().into_connection_info().map_err(text)?;
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.set_redis_settings(redis)).map_err(text)?;
    ConnectionManager::new_lazy_with_config(client, config).map_err(text)
}

/// Keeps Redis subscribed to just those channels that have listeners, retrying what failed.
async fn keep_subscribed(
    mut connection: ConnectionManager,
    topics: Topics,
    mut changes: mpsc::UnboundedReceiver<String>,
) {
    let mut subscribed = HashSet::new();
    let mut pending = HashSet::new();
    loop {
        tokio::select! {
            channel = changes.recv() => match channel {
                Some(channel) => drop(pending.insert(channel)),
                None => return,
            },
            () = tokio::time::sleep(RETRY), if !pending.is_empty() => {}
        }
        while let Ok(channel) = changes.try_recv() {
            pending.insert(channel);
        }
        for channel in std::mem::take(&mut pending) {
            let done = match (topics.has_listeners(&channel), subscribed.contains(&channel)) {
                (true, false) => connection.subscribe(&channel).await.map(|()| subscribed.insert(channel.clone())),
                (false, true) => connection.unsubscribe(&channel).await.map(|()| subscribed.remove(&channel)),
                // A listener that came to a channel still subscribed gets no confirmation: it may have missed one.
                (true, true) => {
                    topics.notify(&channel);
                    continue;
                }
                (false, false) => continue,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "the bus cannot change its subscriptions");
                pending.insert(channel);
            }
        }
    }
}

async fn speak(mut connection: ConnectionManager, node: String, mut hints: mpsc::Receiver<String>) {
    let mut channels = Vec::new();
    while hints.recv_many(&mut channels, 256).await > 0 {
        let mut pipeline = redis::pipe();
        for channel in channels.drain(..) {
            pipeline.publish(channel, &node).ignore();
        }
        if let Err(error) = pipeline.exec_async(&mut connection).await {
            tracing::warn!(%error, "the bus cannot tell other nodes");
        }
    }
}
