//! Bytes to requests and back: everything between a connection and an operation.

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

/// Where GraphQL is served, by every transport.
pub const PATH: &str = "/graphql";

/// What a server is made of.
pub struct Dependencies {
    /// Runs GraphQL requests.
    pub engine: Engine,
    /// What the use cases work with.
    pub backend: Arc<Backend>,
    /// The clock for expiry, and the randomness for request ids.
    pub source: Source,
    /// The settings of HTTP.
    pub http: Http,
    /// The settings of sockets.
    pub sockets: Sockets,
    /// Who may see the figures, and where.
    pub operations: Operations,
    /// The pages for browsers. Only the mode `explore` has any.
    pub pages: Option<Pages>,
}

/// The state that all connections share.
pub struct AppState {
    deps: Dependencies,
    /// Cancelled once to stop: connections finish, sockets are told to come back.
    pub stop: CancellationToken,
    /// Everything that must end before the process may.
    pub tasks: TaskTracker,
    permits: Arc<Semaphore>,
    slots: Arc<ConnectionSlots>,
    request_ids: RequestIds,
    http_metrics: HttpMetrics,
}

impl AppState {
    /// Creates the state of a server, which serves until `stop` is cancelled.
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

/// The whole of HTTP, as everybody sees it.
pub fn endpoint(state: &Arc<AppState>) -> impl Endpoint<Output = Response> + 'static {
    Router::new(state, false)
}

/// What operators have an address of their own for, if the settings give them one.
pub fn operations(state: &Arc<AppState>) -> impl Endpoint<Output = Response> + 'static {
    Router::new(state, true)
}
