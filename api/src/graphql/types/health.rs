//! How the server and its parts are, for operators.

use async_graphql::{Enum, Object};

use crate::service::ops::health::{Component, Report, Status};

/// How the server and its parts are.
pub(crate) struct Health(pub(crate) Report);

/// How one part is.
struct ComponentHealth<'a>(&'a Component);

/// What the server or a part of it can do.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Status")]
enum HealthStatus {
    /// Everything.
    Ok,
    /// Everything, slower: a part that it can do without is away.
    Degraded,
    /// Nothing: a part that it stands on is away.
    Down,
}

/// How the server and its parts are, at most a second ago.
#[Object]
impl Health {
    /// That of the worst part.
    async fn status(&self) -> HealthStatus {
        self.0.health.status.into()
    }

    /// The release of the node that answers.
    async fn version(&self) -> &str {
        self.0.version
    }

    /// For how long that node has been serving, in seconds.
    async fn uptime_seconds(&self) -> u64 {
        self.0.uptime.as_secs()
    }

    /// The parts it stands on: database, migrations, cache, bus, mail.
    async fn components(&self) -> Vec<ComponentHealth<'_>> {
        self.0.health.components.iter().map(ComponentHealth).collect()
    }
}

/// How one part is.
#[Object]
impl ComponentHealth<'_> {
    /// What it is called.
    async fn name(&self) -> &str {
        self.0.name
    }

    /// What it can do.
    async fn status(&self) -> HealthStatus {
        self.0.status.into()
    }

    /// How long it took to answer, in milliseconds; null if it did not, or is in the process.
    async fn latency_ms(&self) -> Option<f64> {
        self.0.latency.map(|latency| latency.as_secs_f64() * 1000.0)
    }

    /// What is wrong; null while all is well.
    async fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }
}
