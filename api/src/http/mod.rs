//! Bytes to requests and back: everything between a connection and an operation.

mod call;
mod exposition;
mod graphql;
mod headers;
mod health;
mod intake;
mod journal;
mod keys;
mod lease;
mod listener;
mod metrics;
mod negotiation;
mod operation;
mod playground;
mod process;
mod request;
mod socket;
mod sse;
mod subscription;
mod tally;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use poem::{Endpoint, Response, Route, endpoint::make_sync, http::StatusCode, http::header};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Http, Operations, Sockets},
    domain::Source,
    graphql::{Schema, documents::Documents},
    service::Backend,
};

pub use self::listener::serve;
use self::{headers::Dressed, metrics::Metrics, request::RequestIds, socket::Seats, tally::Tally};

/// Where GraphQL is served, by every transport.
pub const PATH: &str = "/graphql";

/// What the front is made of.
pub struct Parts {
    /// The words of the API.
    pub schema: Schema,
    /// The guard, the parser and the persisted queries.
    pub documents: Documents,
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
    /// Whether a browser is shown the explorer.
    pub explore: bool,
}

/// The state that all connections share.
pub struct Front {
    parts: Parts,
    /// Cancelled once to stop: connections finish, sockets are told to come back.
    pub stop: CancellationToken,
    /// Everything that must end before the process may.
    pub tasks: TaskTracker,
    permits: Arc<Semaphore>,
    seats: Arc<Seats>,
    request_ids: RequestIds,
    tally: Tally,
}

impl Front {
    /// A front that serves until `stop` is cancelled.
    #[must_use]
    pub fn new(parts: Parts, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(parts.http.max_concurrent_requests)),
            seats: Arc::default(),
            request_ids: RequestIds::new(&parts.source),
            tasks: TaskTracker::new(),
            tally: Tally::default(),
            stop,
            parts,
        })
    }
}

/// The whole of HTTP: GraphQL, the way to it from `/`, the browser's pages, health, and the keys of access tokens.
pub fn endpoint(front: &Arc<Front>) -> impl Endpoint<Output = Response> + 'static {
    let home = || Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header(header::LOCATION, PATH).finish();
    let backend = &front.parts.backend;
    let mut routes = probed(front, false)
        .at(PATH, graphql::Graphql(Arc::clone(front)))
        .at("/", make_sync(move |_| home()))
        .at("/.well-known/jwks.json", keys::Keys(Arc::clone(backend)));
    if front.parts.explore {
        routes = routes
            .at("/graphql/explorer", make_sync(|request| playground::explorer(&request)))
            .at("/graphql/assets/:name", make_sync(|request| playground::asset(&request)));
    }
    Dressed::new(front, routes)
}

/// What operators have an address of their own for, if the settings give them one.
pub fn operations(front: &Arc<Front>) -> impl Endpoint<Output = Response> + 'static {
    Dressed::new(front, probed(front, true))
}

fn probed(front: &Arc<Front>, is_for_operators: bool) -> Route {
    Route::new()
        .at("/health/live", make_sync(|_| health::live()))
        .at("/health/ready", health::Ready(Arc::clone(&front.parts.backend)))
        .at("/metrics", Metrics::new(front, is_for_operators))
}
