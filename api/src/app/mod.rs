//! Start and stop of a server.

pub mod data_dir;
mod tasks;

use std::{fs::File, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use self::tasks::load_signing_key;
use crate::config::Config;
use crate::domain::Source;
use crate::graphql;
use crate::http::{self, AppState, Dependencies, Pages};
use crate::service::{Backend, StartError, ops::signing_keys};

/// A running server.
pub struct Server {
    /// Address for clients.
    pub address: SocketAddr,
    /// Address for operators, if they have one of their own.
    pub operations: Option<SocketAddr>,
    /// State that outlives requests.
    pub backend: Arc<Backend>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    /// Lock of the data folder, held until the database is closed.
    lock: File,
}

impl Server {
    /// Starts a server. It accepts requests when this returns.
    pub async fn start(mut config: Config, source: Source) -> Result<Self, StartError> {
        data_dir::prepare(&config.data_dir)?;
        if let Some(folder) = config.mail_folder() {
            data_dir::prepare_private("QUANTUMVAULT__MAIL__URL", &folder)?;
        }
        let signing = data_dir::signing_key(&config.data_dir, &source.random)?;
        let engine = graphql::engine(config.graphql.clone(), config.traces.is_on());
        let engine = engine.map_err(|error| StartError(error.to_string()))?;
        // Binds before the database is opened: a second server on this address must not touch anything.
        let (listener, address) = bind("HTTP", config.http.listen).await?;
        let operators = match config.operations.listen {
            Some(address) => Some(bind("OPERATIONS", address).await?),
            None => None,
        };
        let lock = data_dir::lock(&config.data_dir)?;
        // Replaces port 0 by the port that was bound.
        config.http.listen = address;
        let backend = Box::pin(Backend::open(config, source.clone(), signing)).await?;
        // Subscribes before the keys are loaded, so that no change is missed in between.
        let key_changes = signing_keys::changes(&backend);
        Box::pin(load_signing_key(&backend)).await?;
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
        let mut tasks = tasks::spawn_all(&backend, key_changes, &stop);
        tasks.push(tokio::spawn(http::serve_public(listener, Arc::clone(&state))));
        let operations = operators.map(|(listener, address)| {
            tasks.push(tokio::spawn(http::serve_operators(listener, state)));
            address
        });
        Ok(Self { address, operations, backend, stop, tasks, lock })
    }

    /// Stops accepting, waits for requests, closes sockets so that clients reconnect, and closes the database.
    pub async fn stop(self) {
        // Requests, sockets and mails share one deadline.
        let deadline = Instant::now() + Duration::from_secs(self.backend.config.http.drain_seconds);
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a server task failed during shutdown");
            }
        }
        self.backend.finish_mails(deadline).await;
        if self.backend.config.metrics.sample_seconds > 0
            && timeout_at(deadline, tasks::record_metrics(&self.backend)).await.is_err()
        {
            tracing::warn!("metrics of the last requests were not recorded");
        }
        self.backend.close().await;
        drop(self.lock);
    }
}

/// Binds a listener. Returns its address too, since the system chooses the port if it is 0.
async fn bind(section: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let unbound = |error: io::Error| {
        StartError(format!(
            "QUANTUMVAULT__{section}__LISTEN names {address}, which cannot be bound ({error}): choose another address"
        ))
    };
    let listener = TcpListener::bind(address).await.map_err(unbound)?;
    let address = listener.local_addr().map_err(unbound)?;
    Ok((listener, address))
}
