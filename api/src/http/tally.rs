//! What the front counts: requests, operations, errors, and what is open.

use std::time::Duration;

use async_graphql::parser::types::OperationType;
use poem::http::StatusCode;

use super::operation::Answer;
use crate::{
    domain::ErrorCode,
    telemetry::counters::{Counter, Counts, Durations},
};

/// Where requests go, as they are counted and logged: never as a client wrote it.
const ROUTES: [&str; 8] =
    ["/graphql", "/", "/health/live", "/health/ready", "/metrics", "/.well-known/jwks.json", "/graphql/*", "other"];

/// One of the places where requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route(usize);

/// The classes of statuses, from 100 on.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The kinds of operations.
pub const KINDS: [OperationType; 3] = [OperationType::Query, OperationType::Mutation, OperationType::Subscription];

/// What has been counted since the start.
#[derive(Debug, Default)]
pub struct Tally {
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
        let known = ROUTES[..6].iter().position(|route| *route == path);
        Self(known.unwrap_or(if path.starts_with("/graphql/") { 6 } else { 7 }))
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        ROUTES[self.0]
    }

    /// Whether only machines go there, again and again.
    pub const fn is_probed(self) -> bool {
        matches!(self.0, 2..=4)
    }

    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..ROUTES.len()).map(Self)
    }
}

impl Tally {
    /// A request has been answered; a stream has begun to be.
    pub fn request(&self, route: Route, status: StatusCode, elapsed: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.requests[route.0][class].add();
        self.durations[route.0].observe(elapsed);
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
        self.requests[route.0][class].read()
    }

    /// How long requests that went there took.
    pub fn durations(&self, route: Route) -> &Durations {
        &self.durations[route.0]
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
            ("/graphql2", "other"),
            ("/other", "other"),
            ("", "other"),
        ] {
            assert_eq!(Route::of(path).name(), name, "{path}");
        }
        assert!(Route::of("/metrics").is_probed() && !Route::of("/graphql").is_probed());
    }

    #[test]
    fn codes_are_counted_in_the_order_of_the_contract() {
        assert!(ErrorCode::ALL.iter().enumerate().all(|(index, code)| *code as usize == index));
    }
}
