//! Counters of requests, operations, errors, and open streams.

use std::time::Duration;

use poem::http::StatusCode;

use crate::domain::ErrorCode;
use crate::engine::OperationType;
use crate::http::{PATH, answer::Answer};
use crate::telemetry::counters::{Counter, Counts, Durations};

/// Where requests go, as they are served, counted and logged: never as a client wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Operations, by every transport.
    Graphql,
    /// The way there.
    Home,
    /// Whether the process lives.
    Live,
    /// Whether it should get requests.
    Ready,
    /// What it counts.
    Metrics,
    /// The keys of access tokens.
    Keys,
    /// A browser's page or a part of one.
    Page,
    /// Nowhere.
    Other,
}

/// Routes with their names, which are their paths where they have one, in their order.
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

/// The classes of statuses, from 100 on.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The kinds of operations.
pub const KINDS: [OperationType; 3] = [OperationType::Query, OperationType::Mutation, OperationType::Subscription];

/// What has been counted since the start.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    requests: [[Counter; CLASSES.len()]; ROUTES.len()],
    durations: [Durations; ROUTES.len()],
    operations: [Counter; KINDS.len()],
    errors: [Counter; ErrorCode::ALL.len()],
    /// Sockets and event streams that are open, by their transport.
    pub streams: Counts,
    /// Subscriptions that are followed, by their field.
    pub subscriptions: Counts,
}

impl Route {
    /// Where a path leads.
    pub fn of(path: &str) -> Self {
        // The names of the last two are no paths.
        let known = ROUTES.iter().find(|(route, name)| *name == path && !matches!(route, Self::Page | Self::Other));
        known.map_or(if path.starts_with("/graphql/") { Self::Page } else { Self::Other }, |(route, _)| *route)
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        ROUTES[self as usize].1
    }

    /// Whether only machines go there, again and again.
    pub const fn is_probed(self) -> bool {
        matches!(self, Self::Live | Self::Ready | Self::Metrics)
    }

    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        ROUTES.into_iter().map(|(route, _)| route)
    }
}

impl HttpMetrics {
    /// A request has been answered; a stream has begun to be.
    pub fn request(&self, route: Route, status: StatusCode, elapsed: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.requests[route as usize][class].add();
        self.durations[route as usize].observe(elapsed);
    }

    /// An operation is about to run.
    pub fn operation(&self, kind: OperationType) {
        self.operations[kind_index(kind)].add();
    }

    /// An operation, a refused one too, was answered; one event of a subscription as well.
    pub fn answer(&self, answer: &Answer) {
        for code in &answer.codes {
            self.errors[*code as usize].add();
        }
    }

    /// How many requests went there and were answered with a status of that class.
    pub fn requests(&self, route: Route, class: usize) -> u64 {
        self.requests[route as usize][class].read()
    }

    /// How long requests that went there took.
    pub fn durations(&self, route: Route) -> &Durations {
        &self.durations[route as usize]
    }

    /// How many operations of a kind there have been.
    pub fn operations(&self, kind: OperationType) -> u64 {
        self.operations[kind_index(kind)].read()
    }

    /// How many errors of a code there have been.
    pub fn errors(&self, code: ErrorCode) -> u64 {
        self.errors[code as usize].read()
    }
}

/// What a kind is called.
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
