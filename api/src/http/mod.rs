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
mod pages;
mod process;
mod request;
mod site;
mod socket;
mod sse;
mod subscription;
mod tally;
#[cfg(test)]
mod tests;
mod timer;

use std::sync::Arc;

use poem::{Endpoint, Response};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Http, Operations, Sockets},
    domain::Source,
    graphql::{Schema, documents::Documents},
    service::Backend,
};

pub use self::{listener::serve, pages::Pages};
use self::{request::RequestIds, site::Site, socket::Seats, tally::Tally};

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
    /// The pages for browsers. Only the mode `explore` has any.
    pub pages: Option<Pages>,
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

/// The whole of HTTP, as everybody sees it.
pub fn endpoint(front: &Arc<Front>) -> impl Endpoint<Output = Response> + 'static {
    Site::new(front, false)
}

/// What operators have an address of their own for, if the settings give them one.
pub fn operations(front: &Arc<Front>) -> impl Endpoint<Output = Response> + 'static {
    Site::new(front, true)
}
