//! The connection that publishes messages of this node.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{sync::Arc, time::Duration};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::{bus::client::client, config, redis_client::invalidation::Message};

/// Number of batches that may wait to be sent. Further batches are dropped, and listeners find the changes by polling.
const QUEUE: usize = 4096;
/// Number of messages in one round trip.
const PIPELINE: usize = 256;
/// Delay before a retry of messages that Redis did not accept.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// Time that a stopping process waits for Redis to accept its last messages.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Queue of messages to publish.
#[derive(Clone)]
pub(crate) struct Publisher {
    queue: mpsc::Sender<Vec<Message>>,
    /// Number of batches that wait or are being sent.
    unpublished: watch::Sender<usize>,
    /// Whether messages were dropped since the queue was last empty.
    has_dropped: Arc<AtomicBool>,
}

impl Publisher {
    pub(crate) fn open(settings: &config::Redis) -> Result<Self, String> {
        let (queue, messages) = mpsc::channel(QUEUE);
        let publisher = Self { queue, unpublished: watch::Sender::new(0), has_dropped: Arc::default() };
        let (unpublished, has_dropped) = (publisher.unpublished.clone(), Arc::clone(&publisher.has_dropped));
        let connection = connect(settings)?;
        tokio::spawn(run(settings.clone(), connection, messages, (unpublished, has_dropped)));
        Ok(publisher)
    }

    pub(crate) fn publish(&self, messages: Vec<Message>) {
        self.unpublished.send_modify(|count| *count += 1);
        if self.queue.try_send(messages).is_err() {
            self.unpublished.send_modify(|count| *count -= 1);
            if !self.has_dropped.swap(true, Ordering::Relaxed) {
                tracing::warn!("the bus queue is full; hints are dropped");
            }
        }
    }

    /// Waits until Redis has accepted all messages, at most for `FLUSH_WITHIN`.
    pub(crate) async fn flush(&self) {
        let mut unpublished = self.unpublished.subscribe();
        if timeout(FLUSH_WITHIN, unpublished.wait_for(|count| *count == 0)).await.is_err() {
            tracing::warn!("hints were not published before shutdown; other nodes find the changes by polling");
        }
    }
}

/// Publishes queued messages and retries until Redis accepts them. Without a retry, listeners on other nodes would wait
/// for their long poll interval.
async fn run(
    settings: config::Redis,
    mut connection: ConnectionManager,
    mut queue: mpsc::Receiver<Vec<Message>>,
    (unpublished, has_dropped): (watch::Sender<usize>, Arc<AtomicBool>),
) {
    let (mut batches, mut messages, mut taken, mut is_reachable) = (Vec::new(), Vec::new(), 0, true);
    loop {
        if messages.is_empty() {
            unpublished.send_modify(|count| *count -= taken);
            if queue.is_empty() {
                has_dropped.store(false, Ordering::Relaxed);
            }
            taken = queue.recv_many(&mut batches, PIPELINE).await;
            if taken == 0 {
                return;
            }
            messages.extend(batches.drain(..).flatten());
        }
        let rest = messages.len().saturating_sub(PIPELINE);
        let mut pipeline = redis::pipe();
        for Message { channel, text } in &messages[rest..] {
            pipeline.publish(channel, &**text).ignore();
        }
        match pipeline.exec_async(&mut connection).await {
            Ok(()) => {
                messages.truncate(rest);
                is_reachable = true;
            }
            Err(error) => {
                if is_reachable {
                    tracing::warn!(%error, "hints cannot be published; retrying");
                }
                is_reachable = false;
                tokio::time::sleep(RETRY_AFTER).await;
                if let Ok(reconnected) = connect(&settings) {
                    connection = reconnected;
                }
            }
        }
    }
}

/// Returns a connection that is opened on its first use.
fn connect(settings: &config::Redis) -> Result<ConnectionManager, String> {
    let timeout = Duration::from_millis(settings.command_timeout_ms);
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(timeout))
        .set_connection_timeout(Some(timeout))
        .set_pipeline_buffer_size(1024)
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client(settings)?, config).map_err(|error| error.to_string())
}
