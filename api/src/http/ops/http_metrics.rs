//! Counters of requests, operations, errors, and open streams.

use std::time::Duration;

use poem::http::StatusCode;

use crate::domain::ErrorCode;
use crate::engine::OperationType;
use crate::http::{PATH, answer::Answer};
use crate::telemetry::counters::{Counter, Counts, Durations};

/// Route of a request. Its name labels metrics and log lines, so it never contains text from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// GraphQL operations, by every transport.
    Graphql,
    /// Redirect to GraphQL.
    Home,
    /// Liveness of the process.
    Live,
    /// Readiness for requests.
    Ready,
    /// Metrics.
    Metrics,
    /// Public keys of access tokens.
    Keys,
    /// A page for browsers, or a file of one.
    Page,
    /// Any other path.
    Other,
}

/// Routes in the order of the enum, each with its path or, without a path, with a label.
const ROUTES: [(Route, &str); 8] = [
    (Route::Graphql, PATH),
    (Route::Home, "/"),
    (Route::Live, "/health/live"),
    (Route::Ready, "/health/ready"),
    (Route::Metrics, "/metrics"),
    (Route::Keys, "/.well-known/jwks.json"),
    (Route::Page, "/graphql/*"),
    (Route::Other, "other"),
];

/// Classes of statuses.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Kinds of operations.
pub const KINDS: [OperationType; 3] = [OperationType::Query, OperationType::Mutation, OperationType::Subscription];

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    requests: [[Counter; CLASSES.len()]; ROUTES.len()],
    durations: [Durations; ROUTES.len()],
    operations: [Counter; KINDS.len()],
    errors: [Counter; ErrorCode::ALL.len()],
    /// Number of open sockets and event streams, by transport.
    pub streams: Counts,
    /// Number of open subscriptions, by field.
    pub subscriptions: Counts,
}

impl Route {
    /// Returns the route of a path.
    pub fn of(path: &str) -> Self {
        // The names of the last two are labels, not paths.
        let known = ROUTES.iter().find(|(route, name)| *name == path && !matches!(route, Self::Page | Self::Other));
        known.map_or(if path.starts_with("/graphql/") { Self::Page } else { Self::Other }, |(route, _)| *route)
    }

    /// Returns the path or the label.
    pub const fn name(self) -> &'static str {
        ROUTES[self as usize].1
    }

    /// Whether only machines request this route, again and again.
    pub const fn is_probed(self) -> bool {
        matches!(self, Self::Live | Self::Ready | Self::Metrics)
    }

    /// Returns all routes.
    pub fn all() -> impl Iterator<Item = Self> {
        ROUTES.into_iter().map(|(route, _)| route)
    }
}

impl HttpMetrics {
    /// Counts a request that has a response. The response of a stream counts when it begins.
    pub fn request(&self, route: Route, status: StatusCode, elapsed: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.requests[route as usize][class].add();
        self.durations[route as usize].observe(elapsed);
    }

    /// Counts an operation that is about to run.
    pub fn operation(&self, kind: OperationType) {
        self.operations[kind_index(kind)].add();
    }

    /// Counts the errors of an answer, be it of a refused operation or of one subscription event.
    pub fn answer(&self, answer: &Answer) {
        for code in &answer.codes {
            self.errors[*code as usize].add();
        }
    }

    /// Returns the number of requests to a route whose status was of a class.
    pub fn requests(&self, route: Route, class: usize) -> u64 {
        self.requests[route as usize][class].read()
    }

    /// Returns the durations of requests to a route.
    pub fn durations(&self, route: Route) -> &Durations {
        &self.durations[route as usize]
    }

    /// Returns the number of operations of a kind.
    pub fn operations(&self, kind: OperationType) -> u64 {
        self.operations[kind_index(kind)].read()
    }

    /// Returns the number of errors with a code.
    pub fn errors(&self, code: ErrorCode) -> u64 {
        self.errors[code as usize].read()
    }
}

/// Returns the label of a kind.
pub fn kind_name(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}

fn kind_index(kind: OperationType) -> usize {
    KINDS.iter().position(|known| *known == kind).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_writes_becomes_no_name() {
        for (path, name) in [
            ("/graphql", "/graphql"),
            ("/health/ready", "/health/ready"),
            ("/graphql/assets/a.js", "/graphql/*"),
            ("/graphql/*", "/graphql/*"),
            ("/graphql2", "other"),
            ("/other", "other"),
            ("", "other"),
        ] {
            assert_eq!(Route::of(path).name(), name, "{path}");
        }
        assert!(Route::all().enumerate().all(|(place, route)| route as usize == place));
        assert!(Route::of("/metrics").is_probed() && !Route::of("/graphql").is_probed());
    }

    #[test]
    fn codes_are_counted_in_the_order_of_the_contract() {
        assert!(ErrorCode::ALL.iter().enumerate().all(|(index, code)| *code as usize == index));
    }
}
