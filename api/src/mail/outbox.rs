//! Outbox of mails, which are written and sent in the background.

use std::{future::Future, sync::Arc, sync::atomic::AtomicBool, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config;
use crate::domain::Source;
use crate::mail::{EmailMessage, Mailer, smtp::Failure};

/// Number of mails sent concurrently.
const CONNECTIONS: usize = 4;

/// Bounded number of pending mails, kept in memory.
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
    /// Whether the latest attempt failed for a reason that affects the next mail as well.
    is_failing: AtomicBool,
}

impl Outbox {
    /// Creates an empty outbox.
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

    /// Writes and sends a mail in the background. If the outbox is full, the mail is dropped and logged.
    pub fn send(&self, email: impl Future<Output = Option<EmailMessage>> + Send + 'static) {
        let Ok(place) = Arc::clone(&self.0.queue).try_acquire_owned() else {
            tracing::error!("the mail queue is full; a mail was dropped");
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

    /// Returns the number of pending mails.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.tasks.len()
    }

    /// Returns whether the latest mail failed for a reason that affects others as well.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.0.is_failing.load(Relaxed)
    }

    /// Waits for pending mails until the deadline. Scheduled retries run at once, and then no more.
    pub async fn close(&self, deadline: Instant) {
        self.0.closing.cancel();
        self.0.tasks.close();
        if timeout_at(deadline, self.0.tasks.wait()).await.is_err() {
            tracing::error!(mails = self.0.tasks.len(), "mails were not sent before shutdown");
        }
    }
}

impl Inner {
    async fn deliver(&self, email: &EmailMessage) {
        // All attempts have one id, so that a duplicate is recognised.
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
        tracing::error!(mail.id = id, "a mail was dropped after its last attempt");
    }
}
