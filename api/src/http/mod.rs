//! HTTP: everything between a connection and an operation.

mod access_log;
mod answer;
mod client_info;
mod headers;
mod operation;
mod ops;
mod pages;
mod router;
mod server;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;

use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::pages::Pages;
use crate::budget::{Budget, Limits};
use crate::config::{Http, Operations, Sockets};
use crate::domain::Source;
use crate::graphql::Engine;
use crate::http::client_info::RequestIds;
use crate::http::ops::http_metrics::HttpMetrics;
use crate::http::router::Router;
use crate::http::server::accept;
use crate::service::Backend;

/// Path of the GraphQL endpoint, for every transport.
pub const PATH: &str = "/graphql";

/// Parts that a server is built from.
pub struct Dependencies {
    /// Engine that runs GraphQL requests.
    pub engine: Engine,
    /// State that the use cases share.
    pub backend: Arc<Backend>,
    /// Clock for expiry, and randomness for request ids.
    pub source: Source,
    /// Settings of HTTP.
    pub http: Http,
    /// Settings of sockets and event streams.
    pub sockets: Sockets,
    /// Settings of the operators' endpoints: their address and the token for metrics.
    pub operations: Operations,
    /// Pages for browsers. Only the mode `explore` has any.
    pub pages: Option<Pages>,
}

/// State that all connections share.
pub struct AppState {
    deps: Dependencies,
    /// Token that stops the server. Requests finish, and sockets close with the code for a restart.
    pub stop: CancellationToken,
    /// Tasks that must end before the process may exit.
    pub tasks: TaskTracker,
    permits: Arc<Semaphore>,
    /// Open connections to the public address.
    connections: Arc<Budget>,
    /// Sockets without a session.
    anonymous_sockets: Arc<Budget>,
    /// Sockets and event streams of users.
    user_streams: Arc<Budget>,
    request_ids: RequestIds,
    http_metrics: HttpMetrics,
}

impl AppState {
    /// Creates the state of a server that runs until `stop` is cancelled.
    #[must_use]
    pub fn new(deps: Dependencies, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(deps.http.max_concurrent_requests)),
            connections: connection_budget(&deps),
            anonymous_sockets: Budget::new(Limits {
                network: deps.backend.config.budgets.anonymous_sockets_per_address,
                ..Limits::unlimited(deps.http.max_connections)
            }),
            user_streams: Budget::new(Limits {
                user: deps.sockets.max_per_user,
                ..Limits::unlimited(deps.http.max_connections)
            }),
            request_ids: RequestIds::new(&deps.source),
            tasks: TaskTracker::new(),
            http_metrics: HttpMetrics::default(),
            stop,
            deps,
        })
    }
}

/// Number of connections up to which an address may also use the last quarter of the node's connections.
const FEW_CONNECTIONS: usize = 16;

/// Creates the budget of connections to one address of the server.
fn connection_budget(deps: &Dependencies) -> Arc<Budget> {
    let network = deps.backend.config.budgets.connections_per_address;
    Budget::new(Limits { network, small: FEW_CONNECTIONS, ..Limits::unlimited(deps.http.max_connections) })
}

/// Serves the public address until the server is stopped.
pub async fn serve_public(listener: TcpListener, state: Arc<AppState>) {
    let (endpoint, connections) = (Router::new(&state, false), Arc::clone(&state.connections));
    accept::serve(listener, endpoint, state, connections).await;
}

/// Serves the operators' own address until the server is stopped.
pub async fn serve_operators(listener: TcpListener, state: Arc<AppState>) {
    let (endpoint, connections) = (Router::new(&state, true), connection_budget(&state.deps));
    accept::serve(listener, endpoint, state, connections).await;
}
