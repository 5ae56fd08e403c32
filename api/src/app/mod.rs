//! The wiring: settings become a backend, a schema and routes that serve until they are told to stop.

pub mod data_dir;

use std::{fs::File, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::Subscription,
    config::Config,
    domain::{Random, Source},
    graphql,
    http::{self, AppState, Dependencies, Pages},
    service::{
        self, Backend, StartError, metrics,
        ops::{retention, signing_keys},
    },
};

/// How often the sign of an operator's command is looked for; an open socket is to close within a second.
const HEAR_EVERY: Duration = Duration::from_millis(250);
/// How often memory that was needed for a while is given back.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(2);
/// Interval of the checks that the disk keeps what the embedded database writes.
const LOOK_AFTER_DISK_EVERY: Duration = Duration::from_secs(5);
/// More than one piece of the allocator's own.
const LARGE_PIECE: usize = 4 << 20;

/// A server that serves.
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    /// Where operators look, if they have an address of their own.
    pub operations: Option<SocketAddr>,
    /// What it works with.
    pub backend: Arc<Backend>,
    stop: CancellationToken,
    serving: Vec<JoinHandle<()>>,
    upkeep: JoinHandle<()>,
    hearing: JoinHandle<()>,
    sampling: JoinHandle<()>,
    /// Dropped last, when the database is closed.
    held: File,
}

impl Server {
    /// Starts a server; it answers when this returns.
    pub async fn start(mut config: Config, source: Source) -> Result<Self, StartError> {
        data_dir::prepare(&config.data_dir)?;
        if let Some(folder) = config.mail_folder() {
            data_dir::private("QUANTUMVAULT__MAIL__URL", &folder)?;
        }
        let signing = data_dir::signing_key(&config.data_dir, &source.random)?;
        let engine = graphql::engine(config.graphql.clone(), config.traces.is_on());
        let engine = engine.map_err(|error| StartError(error.to_string()))?;
        // Bound before the database is opened: of two servers on one address the second must not touch anything.
        let (listener, address) = bind("HTTP", config.http.listen).await?;
        let operators = match config.operations.listen {
            Some(address) => Some(bind("OPERATIONS", address).await?),
            None => None,
        };
        let held = data_dir::hold(&config.data_dir)?;
        // Port 0 has become one that pages are served at.
        config.http.listen = address;
        let random = source.random.clone();
        let backend = Box::pin(Backend::open(config, source.clone(), signing)).await?;
        // Heard of from before the first look, so that nothing is missed between the two.
        let changes = signing_keys::changes(&backend);
        Box::pin(take_up_signing_key(&backend, &random)).await?;
        let config = &backend.config;
        let deps = Dependencies {
            engine,
            backend: Arc::clone(&backend),
            source,
            http: config.http.clone(),
            sockets: config.sockets.clone(),
            operations: config.operations.clone(),
            pages: Pages::of(&config.graphql),
        };
        let stop = CancellationToken::new();
        let state = AppState::new(deps, stop.clone());
        let endpoint = http::endpoint(&state);
        let mut serving = vec![tokio::spawn(http::serve(listener, endpoint, Arc::clone(&state)))];
        let operations = operators.map(|(listener, address)| {
            serving.push(tokio::spawn(http::serve(listener, http::operations(&state), state)));
            address
        });
        let upkeep = tokio::spawn(keep_up(Arc::clone(&backend), random.clone(), stop.clone()));
        tokio::spawn(give_back(Arc::clone(&backend), stop.clone()));
        tokio::spawn(look_after_disk(Arc::clone(&backend), stop.clone()));
        let of_keys = hear_of_keys(Arc::clone(&backend), random, changes, stop.clone());
        let hearing = tokio::spawn(join(hear_commands(Arc::clone(&backend), stop.clone()), of_keys).map(drop));
        let sampling = tokio::spawn(sample(Arc::clone(&backend), stop.clone()));
        Ok(Self { address, operations, backend, stop, serving, upkeep, hearing, sampling, held })
    }

    /// Stops accepting, lets requests finish, tells sockets to come back, and lets go of the database.
    pub async fn stop(self) {
        // For requests, sockets and mails together.
        let deadline = Instant::now() + Duration::from_secs(self.backend.config.http.drain_seconds);
        self.stop.cancel();
        for task in self.serving.into_iter().chain([self.upkeep, self.hearing, self.sampling]) {
            if let Err(error) = task.await {
                tracing::error!(%error, "the server did not stop in order");
            }
        }
        self.backend.finish_mails(deadline).await;
        if self.backend.config.metrics.sample_seconds > 0 && timeout_at(deadline, record(&self.backend)).await.is_err()
        {
            tracing::warn!("the last requests were not recorded");
        }
        self.backend.close().await;
        drop(self.held);
    }
}

/// What is dropped is kept by the allocator for a second, and longer unless it is asked: for a large piece it looks what has
/// become too old.
async fn give_back(backend: Arc<Backend>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(GIVE_BACK_EVERY)).await.is_some() {
        backend.give_back_memory();
        drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE_PIECE)));
    }
}

/// Looks again and again whether the disk keeps what is written.
async fn look_after_disk(backend: Arc<Backend>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_AFTER_DISK_EVERY)).await.is_some() {
        report("the write-ahead log was not moved", backend.look_after_disk().await);
    }
}

/// Looks again and again whether the signing key has been rotated, and removes what has ended.
async fn keep_up(backend: Arc<Backend>, random: Random, stop: CancellationToken) {
    let interval = Duration::from_secs(backend.config.upkeep.interval_seconds.into());
    while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        look_up_keys(&backend, &random).await;
        report("what has ended was not purged", retention::run_until(&backend, &stop).await);
    }
}

/// Looks up the signing keys as soon as an operator's command has changed them on any node.
async fn hear_of_keys(backend: Arc<Backend>, random: Random, mut changes: Subscription, stop: CancellationToken) {
    while stop.run_until_cancelled(changes.news()).await.is_some() {
        look_up_keys(&backend, &random).await;
    }
}

async fn look_up_keys(backend: &Backend, random: &Random) {
    if let Err(error) = take_up_signing_key(backend, random).await {
        tracing::warn!(%error, "the signing keys were not looked up");
    }
}

/// Signs with the key in the data folder, or with a new one if that was withdrawn, and learns which keys are accepted.
pub async fn take_up_signing_key(backend: &Backend, random: &Random) -> Result<(), StartError> {
    let failed = |error: service::Error| StartError(format!("{error} ({})", error.cause().unwrap_or_default()));
    let folder = &backend.config.data_dir;
    let mut key = data_dir::signing_key(folder, random)?;
    if signing_keys::is_withdrawn(backend, &key.kid).await.map_err(failed)? {
        key = data_dir::replace_signing_key(folder, random)?;
        tracing::warn!(signing_key.id = %key.kid, "the signing key was withdrawn: this node signs with a new one");
    }
    signing_keys::adopt(backend, key).await.map_err(failed)
}

/// Hears of what an operator's command has changed beside a server in the embedded shape, so that a revocation holds as
/// soon as one of the server's own.
async fn hear_commands(backend: Arc<Backend>, stop: CancellationToken) {
    let folder = &backend.config.data_dir;
    let mut known = data_dir::last_change(folder);
    while stop.run_until_cancelled(tokio::time::sleep(HEAR_EVERY)).await.is_some() {
        let latest = data_dir::last_change(folder);
        if latest != known {
            known = latest;
            backend.look_again();
        }
    }
}

/// Records the node's own request figures again and again.
async fn sample(backend: Arc<Backend>, stop: CancellationToken) {
    let interval = Duration::from_secs(backend.config.metrics.sample_seconds.into());
    while !interval.is_zero() && stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        record(&backend).await;
    }
}

async fn record(backend: &Arc<Backend>) {
    report("the requests were not recorded", metrics::write_own(backend).await);
}

/// What fails now is tried again at the next round.
fn report<T>(what: &'static str, outcome: Result<T, service::Error>) {
    if let Err(error) = outcome {
        tracing::warn!(cause = error.cause(), %error, "{what}");
    }
}

/// A listener and where it listens, which port 0 leaves open.
async fn bind(section: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let unbound = |error: io::Error| {
        StartError(format!(
            "QUANTUMVAULT__{section}__LISTEN names {address}, which cannot be bound ({error}): choose another"
        ))
    };
    let listener = TcpListener::bind(address).await.map_err(unbound)?;
    let address = listener.local_addr().map_err(unbound)?;
    Ok((listener, address))
}
