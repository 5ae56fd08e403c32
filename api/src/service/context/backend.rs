//! The running server as use cases see it: its stores, keys and rules.

use std::{
    sync::Arc,
    time::{Duration, Instant as Moment},
};

use chrono::TimeDelta;
use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};

use crate::{
    bus::Bus,
    cache::Cache,
    config::Config,
    crypto::{AccessTokens, Passkeys, Passwords, Seal, SigningKey},
    domain::Source,
    limiter::{Limiter, Local, Shared},
    mail::{Mailer, Outbox},
    redis_client::RedisClient,
    service::{
        Error,
        after_commit::DOUBTS_MAX,
        clocks,
        feed::Reads,
        metrics::Figures,
        ops::{health, signing_keys, snapshot},
        sessions::VerifiedTokens,
    },
    store::{self, Store},
};

/// The least time between two looks for signing keys that tokens ask for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long the memory of a password's hash waits for the next.
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
    pub(crate) feeds: Arc<Reads>,
    pub(crate) limiter: Limiter,
    pub(crate) costs: Local,
    pub(crate) passwords: Passwords,
    pub(crate) passkeys: Passkeys,
    pub(crate) tokens: AccessTokens,
    pub(in crate::service) verified: VerifiedTokens,
    /// When it was last looked for keys that a token named.
    latest_look: Mutex<Option<Instant>>,
    pub(crate) seal: Seal,
    /// Raised by a restore, after which a cursor may name what never happened, and Redis remember what has ended.
    pub(crate) epoch: i32,
    pub(crate) outbox: Outbox,
    pub(crate) figures: Figures,
    /// Places for commits of unknown outcome.
    pub(crate) doubts: Arc<Semaphore>,
    /// Held by whoever writes metrics.
    pub(crate) metric_turn: Mutex<()>,
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
        let post = Mailer::open(&config).map_err(StartError)?;

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
            latest_look: Mutex::default(),
            seal: Seal::new(&installation.cursor_key),
            epoch: installation.feed_epoch,
            outbox: Outbox::new(post, &config.mail, source.clone()),
            costs: Local::default(),
            figures: Figures::new(node(&config)),
            doubts: Arc::new(Semaphore::new(DOUBTS_MAX)),
            metric_turn: Mutex::default(),
            redis,
            cache,
            bus,
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
        self.bus.publish_here();
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

    /// Learns the public keys by a look that begins after this was asked for, which whoever asks meanwhile shares.
    ///
    /// However many tokens name keys that do not exist, there are ten looks a second at most; and no token that names
    /// one of a node that has just come is refused for want of a look.
    pub(crate) async fn learn_newer_signing_keys(&self) -> Result<(), Error> {
        let asked = Instant::now();
        let mut latest = self.latest_look.lock().await;
        if latest.is_some_and(|began| began >= asked) {
            return Ok(());
        }
        if let Some(began) = *latest {
            tokio::time::sleep_until(began + LOOK_INTERVAL).await;
        }
        *latest = Some(Instant::now());
        self.learn_signing_keys().await
    }

    /// Learns the public keys of nodes that have come since, and what was withdrawn.
    pub(crate) async fn learn_signing_keys(&self) -> Result<(), Error> {
        let accepted = signing_keys::accepted(self).await?;
        let withdrawn = store::installation::withdrawn_signing_keys(self.store.db()).await?;
        if self.tokens.trust(accepted, withdrawn) {
            // Streams that were opened with a token of that key end when they look.
            self.bus.publish_here();
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

    /// How long a stream waits for news before it looks by itself.
    pub(crate) fn poll(&self) -> Duration {
        if self.bus.is_connected() {
            Duration::from_secs(self.config.feed.poll_seconds)
        } else {
            self.unassisted_poll()
        }
    }

    /// The same while something that should tell of news is away, spread by half of it either way: streams that lost
    /// the bus together do not all look at the same moment.
    pub(crate) fn unassisted_poll(&self) -> Duration {
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

/// What tells this node from the others, for a person to read.
fn node(config: &Config) -> String {
    let host = hostname::get().unwrap_or_default();
    format!("{}:{}", host.to_string_lossy(), config.http.listen.port())
}
