//! Letters on their way, written and sent beside the requests that caused them.

use std::{future::Future, sync::Arc, sync::atomic::AtomicBool, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config;
use crate::domain::Source;
use crate::mail::{EmailMessage, Mailer, smtp::Failure};

/// How many letters are handed over at a time.
const CONNECTIONS: usize = 4;

/// A bounded number of letters under way.
pub struct Outbox(Arc<Inner>);

struct Inner {
    mailer: Mailer,
    source: Source,
    attempts: u32,
    retry: Duration,
    queue: Arc<Semaphore>,
    connections: Semaphore,
    tasks: TaskTracker,
    closing: CancellationToken,
    /// Whether the latest try failed for a reason that the next letter will meet as well.
    is_failing: AtomicBool,
}

impl Outbox {
    /// An empty one.
    #[must_use]
    pub fn new(mailer: Mailer, settings: &config::Mail, source: Source) -> Self {
        Self(Arc::new(Inner {
            mailer,
            source,
            attempts: settings.attempts,
            retry: Duration::from_millis(settings.retry_ms),
            queue: Arc::new(Semaphore::new(settings.queue.into())),
            connections: Semaphore::new(CONNECTIONS),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            is_failing: AtomicBool::new(false),
        }))
    }

    /// Writes a letter and sends it, after the caller has gone on; past the bound it is dropped and logged.
    pub fn send(&self, email: impl Future<Output = Option<EmailMessage>> + Send + 'static) {
        let Ok(place) = Arc::clone(&self.0.queue).try_acquire_owned() else {
            tracing::error!("too many mails are waiting: one was dropped");
            self.0.is_failing.store(true, Relaxed);
            return;
        };
        let inner = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            if let Some(email) = email.await {
                inner.deliver(&email).await;
            }
            drop(place);
        });
    }

    /// How many letters are under way.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.tasks.len()
    }

    /// Whether the latest letter could not be handed over, for a reason that is not its own.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.0.is_failing.load(Relaxed)
    }

    /// Waits for the letters under way until the deadline; each is tried once more at once, and then no more.
    pub async fn close(&self, deadline: Instant) {
        self.0.closing.cancel();
        self.0.tasks.close();
        if timeout_at(deadline, self.0.tasks.wait()).await.is_err() {
            tracing::error!(mails = self.0.tasks.len(), "mails were not sent before the end");
        }
    }
}

impl Inner {
    async fn deliver(&self, email: &EmailMessage) {
        // One id for all attempts, so that a letter that arrives twice is known to be one.
        let id = self.source.uuid().to_string();
        let mut wait = self.retry;
        for attempt in 1..=self.attempts {
            let Ok(connection) = self.connections.acquire().await else { return };
            let sent = self.mailer.send(email, &id, self.source.now()).await;
            drop(connection);
            match sent {
                Ok(()) => {
                    self.is_failing.store(false, Relaxed);
                    return;
                }
                Err(Failure { cause, is_final }) => {
                    if !is_final {
                        self.is_failing.store(true, Relaxed);
                    }
                    tracing::warn!(mail.id = id, attempt, cause, "a mail could not be sent");
                    if is_final || attempt == self.attempts || self.closing.is_cancelled() {
                        break;
                    }
                }
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = self.closing.cancelled() => {}
            }
            wait = wait.saturating_mul(2);
        }
        tracing::error!(mail.id = id, "a mail was given up");
    }
}
