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

use poem::{Endpoint, Response};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::pages::Pages;
pub use self::server::accept::serve;
use crate::config::{Http, Operations, Sockets};
use crate::domain::Source;
use crate::graphql::Engine;
use crate::http::client_info::RequestIds;
use crate::http::ops::http_metrics::HttpMetrics;
use crate::http::router::Router;
use crate::http::transport::connection_slots::ConnectionSlots;
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
    slots: Arc<ConnectionSlots>,
    request_ids: RequestIds,
    http_metrics: HttpMetrics,
}

impl AppState {
    /// Creates the state of a server that runs until `stop` is cancelled.
    #[must_use]
    pub fn new(deps: Dependencies, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(deps.http.max_concurrent_requests)),
            slots: Arc::default(),
            request_ids: RequestIds::new(&deps.source),
            tasks: TaskTracker::new(),
            http_metrics: HttpMetrics::default(),
            stop,
            deps,
        })
    }
}

/// Returns the public endpoint.
pub fn endpoint(state: &Arc<AppState>) -> impl Endpoint<Output = Response> + 'static {
    Router::new(state, false)
}

/// Returns the operators' endpoint, for the separate address that the settings may name.
pub fn operations(state: &Arc<AppState>) -> impl Endpoint<Output = Response> + 'static {
    Router::new(state, true)
}
