//! Health of the server and its components, for operators.

use async_graphql::{Enum, Object};

use crate::service::ops::health::{Component, Report, Status};

/// Health of the server and its components.
pub(crate) struct Health(pub(crate) Report);

/// Health of one component.
struct ComponentHealth<'a>(&'a Component);

/// Status of the server or of one component.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Status")]
enum HealthStatus {
    /// Works without restriction.
    Ok,
    /// Works, but slower: an optional component is unavailable or a component is overloaded.
    Degraded,
    /// Does not work: a required component is unavailable.
    Down,
}

/// Health of the server and its components, at most one second old.
#[Object]
impl Health {
    /// Status of the worst component.
    async fn status(&self) -> HealthStatus {
        self.0.health.status.into()
    }

    /// Version of the node that responds.
    async fn version(&self) -> &str {
        self.0.version
    }

    /// Uptime of the node that responds, in seconds.
    async fn uptime_seconds(&self) -> u64 {
        self.0.uptime.as_secs()
    }

    /// Components of the server: `database`, `migrations`, `cache`, `bus` and `mail`.
    async fn components(&self) -> Vec<ComponentHealth<'_>> {
        self.0.health.components.iter().map(ComponentHealth).collect()
    }
}

/// Health of one component.
#[Object]
impl ComponentHealth<'_> {
    /// Name of the component.
    async fn name(&self) -> &str {
        self.0.name
    }

    /// Status of the component.
    async fn status(&self) -> HealthStatus {
        self.0.status.into()
    }

    /// Response time in milliseconds. Null if the component is in the process or did not respond.
    async fn latency_ms(&self) -> Option<f64> {
        self.0.latency.map(|latency| latency.as_secs_f64() * 1000.0)
    }

    /// Description of the problem. Null if there is none.
    async fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }
}
