//! The running server as use cases see it: its stores, keys and rules.

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
use crate::service::feed::Reads;
use crate::service::metrics::Figures;
use crate::service::ops::{health, signing_keys, snapshot};
use crate::service::sessions::VerifiedTokens;
use crate::service::{Error, clocks};
use crate::store::{self, Store};

/// Minimum time between two loads of signing keys that tokens ask for.
const KEY_LOAD_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes up to which a client may also use the last quarter of the memory budget.
const SMALL_HOLDER_BYTES: usize = 1024 * 1024;
/// Time after which unused memory of password hashes is released.
const MEMORY_KEPT_FOR: Duration = Duration::from_secs(10);

/// Why the server does not start: one sentence that names the setting and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// Everything that outlives a request.
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
    pub(crate) limiter: Limiter,
    pub(crate) costs: Local,
    pub(crate) passwords: Passwords,
    pub(crate) passkeys: Passkeys,
    pub(crate) tokens: AccessTokens,
    pub(in crate::service) verified: VerifiedTokens,
    /// When signing keys were last loaded because a token named an unknown one.
    keys_loaded_at: Mutex<Option<Instant>>,
    pub(crate) seal: Seal,
    /// Raised by a restore, after which a cursor may name what never happened, and Redis remember what has ended.
    pub(crate) epoch: i32,
    pub(crate) outbox: Outbox,
    pub(crate) figures: Figures,
    /// Permits for retries after commits of unknown outcome.
    pub(crate) uncertain_commits: Arc<Semaphore>,
    /// Held while metrics are written.
    pub(crate) metric_lock: Mutex<()>,
    pub(crate) source: Source,
    pub(crate) health: health::Latest,
    pub(crate) counted: snapshot::Counted,
    pub(crate) started: Moment,
}

impl Backend {
    /// Opens what the settings name. The caller loads the accepted signing keys.
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
            StartError(format!("QUANTUMVAULT__PASSWORDS__* cannot be used ({error}): correct them"))
        })?;

        let passkeys = Passkeys::new(&config.webauthn, format!("http://localhost:{}", config.http.listen.port()));
        let passkeys = passkeys
            .map_err(|error| StartError(format!("QUANTUMVAULT__WEBAUTHN__* cannot be used ({error}): correct them")))?;
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

    /// The statements run so far; tests hold them against what a request should need.
    #[must_use]
    pub fn statement_count(&self) -> u64 {
        self.store.statement_count()
    }

    /// How often Redis has been asked so far; tests hold it against what a request should need.
    #[must_use]
    pub fn redis_command_count(&self) -> u64 {
        self.redis.as_ref().map_or(0, |redis| redis.command_count())
    }

    /// The streams that listen for news; tests hold it against what clients have open.
    #[must_use]
    pub fn listener_count(&self) -> usize {
        self.bus.listener_count()
    }

    /// Moves the write-ahead log of the embedded database, and so notices a disk that fails.
    pub async fn checkpoint(&self) -> Result<(), Error> {
        Ok(self.store.checkpoint().await?)
    }

    /// Waits until the disk has failed to keep what was written, after which the process has to end.
    pub async fn disk_failed(&self) {
        self.store.disk_failed().await;
    }

    /// Waits for the mails under way, until the deadline.
    pub async fn finish_mails(&self, deadline: Instant) {
        self.outbox.close(deadline).await;
    }

    /// Drops local cache entries and makes every stream read again. For changes to the database by another process
    /// that shares neither the cache nor the bus.
    pub fn reload_all(&self) {
        self.cache.clear_local();
        self.bus.notify_all_local();
    }

    /// Releases memory that has not been used for a while.
    pub fn release_memory(&self) {
        self.passwords.release_unused(MEMORY_KEPT_FOR);
    }

    /// Sends the last hints, and lets go of the database when the last request is done.
    pub async fn close(&self) {
        self.bus.flush().await;
        if let Err(error) = self.store.close().await {
            tracing::warn!(%error, "the database's connections did not close");
        }
    }

    /// Loads the signing keys by a read that begins after this call. Concurrent calls share one read.
    ///
    /// There are ten reads a second at most, however many tokens name unknown keys.
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

    /// Loads the keys that are accepted and those that were withdrawn.
    pub(crate) async fn load_signing_keys(&self) -> Result<(), Error> {
        let accepted = signing_keys::accepted(self).await?;
        let withdrawn = store::installation::withdrawn_signing_keys(self.store.db()).await?;
        if self.tokens.set_accepted_keys(accepted, withdrawn) {
            // Streams that were opened with a token of a withdrawn key end when they read again.
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

    /// Returns how long a stream waits for a hint before it reads by itself.
    pub(crate) fn poll_interval(&self) -> Duration {
        if self.bus.is_connected() {
            Duration::from_secs(self.config.feed.poll_seconds)
        } else {
            self.poll_interval_without_bus()
        }
    }

    /// Returns the interval without hints, with jitter of half of it: streams that lost the bus together do not all
    /// read at once.
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
