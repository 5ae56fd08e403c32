//! The running server as use cases see it: its stores, keys and settings.

use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use chrono::TimeDelta;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::budget::{Budget, Limits};
use crate::bus::Bus;
use crate::cache::Cache;
use crate::config::Config;
use crate::crypto::{AccessTokens, Passkeys, Passwords, Seal, SigningKey};
use crate::domain::Source;
use crate::limiter::{Limiter, Local, Shared};
use crate::mail::{Mailer, Outbox};
use crate::redis_client::RedisClient;
use crate::service::after_commit::UNCERTAIN_COMMITS_MAX;
use crate::service::feed::{BACKLOG_READS, Reads};
use crate::service::metrics::Figures;
use crate::service::ops::{health, signing_keys, snapshot};
use crate::service::sessions::VerifiedTokens;
use crate::service::{Error, clocks};
use crate::store::{self, Store};

/// Minimum interval between key loads triggered by tokens with unknown keys.
const KEY_LOAD_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes up to which a client may also use the last quarter of the memory budget.
const SMALL_HOLDER_BYTES: usize = 1024 * 1024;
/// Time after which unused memory of password hashing is released.
const MEMORY_KEPT_FOR: Duration = Duration::from_secs(10);

/// Reason why the server does not start: one sentence that names the setting and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// State that outlives a request.
pub struct Backend {
    /// The settings.
    pub config: Config,
    pub(crate) store: Store,
    redis: Option<Arc<RedisClient>>,
    pub(crate) cache: Cache,
    pub(crate) bus: Bus,
    /// Memory for what clients cause: bodies, messages, answers and unread events.
    pub memory: Arc<Budget>,
    pub(crate) feeds: Arc<Reads>,
    /// Turns of feeds that read a backlog.
    pub(crate) backlog_reads: Semaphore,
    pub(crate) limiter: Limiter,
    pub(crate) costs: Local,
    pub(crate) passwords: Passwords,
    pub(crate) passkeys: Passkeys,
    pub(crate) tokens: AccessTokens,
    pub(in crate::service) verified: VerifiedTokens,
    /// Time of the latest load of signing keys that an unknown key triggered.
    keys_loaded_at: Mutex<Option<Instant>>,
    pub(crate) seal: Seal,
    /// Epoch, which each restore increments. Cursors of an earlier epoch may name lost events. Redis entries of an
    /// earlier epoch may name ended sessions.
    pub(crate) epoch: i32,
    pub(crate) outbox: Outbox,
    pub(crate) figures: Figures,
    /// Permits for retries after commits of unknown outcome.
    pub(crate) uncertain_commits: Arc<Semaphore>,
    /// Lock held while metrics are written.
    pub(crate) metric_lock: Mutex<()>,
    pub(crate) source: Source,
    pub(crate) health: health::Latest,
    pub(crate) counted: snapshot::Counted,
    pub(crate) started: Moment,
}

impl Backend {
    /// Opens the components that the settings describe. The caller loads the accepted signing keys.
    pub async fn open(config: Config, source: Source, signing: SigningKey) -> Result<Arc<Self>, StartError> {
        let stop = |error: &dyn ToString| StartError(error.to_string());
        let store = Store::open(&config.database_url(), &config.database).await.map_err(|error| stop(&error))?;
        let (now, db) = (source.now(), store.db());
        let installation = store::installation::find_or_insert(db, source.random.bytes(), now).await;
        let installation = installation.map_err(|error| stop(&error))?;
        let unusable = |cause| StartError(format!("QUANTUMVAULT__REDIS__URL cannot be used ({cause}): correct it"));
        let (prefix, nodes) = (&config.redis.prefix, config.rate_limits.nodes);
        let (redis, cache, bus, limiter) = if config.redis.is_set() {
            let redis = RedisClient::open(&config.redis).map_err(unusable)?;
            let limiter = Limiter::Redis(Box::new(Shared::new(Arc::clone(&redis), prefix, nodes)));
            let (cache, invalidations) =
                Cache::shared(Arc::clone(&redis), prefix, installation.feed_epoch, &source.random);
            (Some(redis), cache, Bus::shared(&config.redis, invalidations).map_err(unusable)?, limiter)
        } else {
            (None, Cache::local(), Bus::local(), Limiter::Local(Local::default()))
        };
        let passwords = Passwords::new(&config.passwords, source.random.clone()).map_err(|error| {
            StartError(format!("QUANTUMVAULT__PASSWORDS__* cannot be used ({error}): correct these settings"))
        })?;

        let passkeys = Passkeys::new(&config.webauthn, format!("http://localhost:{}", config.http.listen.port()));
        let passkeys = passkeys.map_err(|error| {
            StartError(format!("QUANTUMVAULT__WEBAUTHN__* cannot be used ({error}): correct these settings"))
        })?;
        let mailer = Mailer::open(&config).map_err(StartError)?;

        store::installation::publish_signing_key(db, &signing.kid, &signing.public_key, now)
            .await
            .map_err(|error| stop(&error))?;

        let backend = Self {
            tokens: AccessTokens::new(
                &config.accounts.token_issuer,
                TimeDelta::seconds(config.accounts.access_token_ttl_seconds.into()),
                signing,
            ),
            verified: VerifiedTokens::default(),
            keys_loaded_at: Mutex::default(),
            seal: Seal::new(&installation.cursor_key),
            epoch: installation.feed_epoch,
            outbox: Outbox::new(mailer, &config.mail, source.clone()),
            costs: Local::default(),
            figures: Figures::new(node_name(&config)),
            uncertain_commits: Arc::new(Semaphore::new(UNCERTAIN_COMMITS_MAX)),
            metric_lock: Mutex::default(),
            redis,
            cache,
            bus,
            memory: Budget::new(memory_limits(&config)),
            feeds: Arc::default(),
            backlog_reads: Semaphore::new(BACKLOG_READS),
            limiter,
            store,
            passwords,
            passkeys,
            source,
            config,
            health: health::Latest::default(),
            counted: snapshot::Counted::default(),
            started: Moment::now(),
        };
        Box::pin(clocks::check(&backend)).await.map_err(|error| stop(&error))?;
        Ok(Arc::new(backend))
    }

    /// Returns the number of statements run so far. Tests compare it with the number that a request should need.
    #[must_use]
    pub fn statement_count(&self) -> u64 {
        self.store.statement_count()
    }

    /// Returns the number of Redis commands sent so far. Tests compare it with the number that a request should need.
    #[must_use]
    pub fn redis_command_count(&self) -> u64 {
        self.redis.as_ref().map_or(0, |redis| redis.command_count())
    }

    /// Returns the number of streams that listen on the bus. Tests compare it with the streams that clients have open.
    #[must_use]
    pub fn listener_count(&self) -> usize {
        self.bus.listener_count()
    }

    /// Checkpoints the write-ahead log of the embedded database, and so detects a failing disk.
    pub async fn checkpoint(&self) -> Result<(), Error> {
        Ok(self.store.checkpoint().await?)
    }

    /// Waits until the disk has failed to keep written data. The process must end then.
    pub async fn disk_failed(&self) {
        self.store.disk_failed().await;
    }

    /// Waits for pending mails, until the deadline.
    pub async fn finish_mails(&self, deadline: Instant) {
        self.outbox.close(deadline).await;
    }

    /// Drops local cache entries and makes every stream read again. Needed after another process changed the database
    /// without sharing the cache or the bus.
    pub fn reload_all(&self) {
        self.cache.clear_local();
        self.bus.notify_all_local();
    }

    /// Releases memory that has not been used for a while.
    pub fn release_memory(&self) {
        self.passwords.release_unused(MEMORY_KEPT_FOR);
    }

    /// Flushes the last hints, then closes the database after the last request.
    pub async fn close(&self) {
        self.bus.flush().await;
        if let Err(error) = self.store.close().await {
            tracing::warn!(%error, "the database connections could not be closed");
        }
    }

    /// Loads the signing keys by a read that begins after this call. Concurrent calls share one read.
    ///
    /// Reads at most ten times a second, however many tokens name unknown keys.
    pub(crate) async fn reload_signing_keys(&self) -> Result<(), Error> {
        let called_at = Instant::now();
        let mut latest = self.keys_loaded_at.lock().await;
        if latest.is_some_and(|began| began >= called_at) {
            return Ok(());
        }
        if let Some(began) = *latest {
            tokio::time::sleep_until(began + KEY_LOAD_INTERVAL).await;
        }
        *latest = Some(Instant::now());
        self.load_signing_keys().await
    }

    /// Loads the accepted and the withdrawn signing keys.
    pub(crate) async fn load_signing_keys(&self) -> Result<(), Error> {
        let accepted = signing_keys::accepted(self).await?;
        let withdrawn = store::installation::withdrawn_signing_keys(self.store.db()).await?;
        if self.tokens.set_accepted_keys(accepted, withdrawn) {
            // Wakes the streams. Those opened with a token of a withdrawn key end.
            self.bus.notify_all_local();
        }
        Ok(())
    }

    pub(crate) fn access_token_lifetime(&self) -> TimeDelta {
        TimeDelta::seconds(self.config.accounts.access_token_ttl_seconds.into())
    }

    pub(crate) fn mail_token_lifetime(&self) -> TimeDelta {
        TimeDelta::seconds(self.config.accounts.mail_token_ttl_seconds.into())
    }

    pub(crate) fn refresh_token_lifetime(&self) -> TimeDelta {
        TimeDelta::seconds(self.config.accounts.refresh_token_ttl_seconds.into())
    }

    /// Returns how long a stream waits for a hint before it polls.
    pub(crate) fn poll_interval(&self) -> Duration {
        if self.bus.is_connected() {
            Duration::from_secs(self.config.feed.poll_seconds)
        } else {
            self.poll_interval_without_bus()
        }
    }

    /// Returns the poll interval without a bus, with a random jitter of half of it. The jitter spreads the reads of
    /// streams that lost the bus together.
    pub(crate) fn poll_interval_without_bus(&self) -> Duration {
        let poll = Duration::from_millis(self.config.feed.poll_without_bus_ms);
        poll / 2 + poll * u32::from(self.source.random.bytes::<1>()[0]) / 255
    }

    pub(crate) fn user_cache_lifetime(&self) -> Duration {
        Duration::from_secs(self.config.cache.user_ttl_seconds)
    }

    pub(crate) fn session_cache_lifetime(&self) -> Duration {
        Duration::from_secs(self.config.cache.session_ttl_seconds)
    }
}

fn memory_limits(config: &Config) -> Limits {
    let budgets = &config.budgets;
    Limits {
        node: budgets.memory_bytes,
        network: budgets.memory_bytes_per_address,
        user: budgets.memory_bytes_per_user,
        small: SMALL_HOLDER_BYTES,
    }
}

/// Returns a readable name of this node.
fn node_name(config: &Config) -> String {
    let host = hostname::get().unwrap_or_default();
    format!("{}:{}", host.to_string_lossy(), config.http.listen.port())
}
