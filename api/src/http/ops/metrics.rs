//! `/metrics` for Prometheus. Each request reads the counters where they are kept.

use std::collections::BTreeMap;

use poem::http::{HeaderMap, StatusCode, header};
use poem::{Request, Response};
use secrecy::ExposeSecret;

use crate::crypto::token::digest;
use crate::domain::{ErrorCode, Quota};
use crate::http::ops::http_metrics::{CLASSES, KINDS, Route, kind_name};
use crate::http::ops::process_metrics;
use crate::http::ops::prometheus_text::{CONTENT_TYPE, Exposition};
use crate::http::{AppState, client_info};
use crate::service::ops::snapshot::{self, Snapshot};
use crate::telemetry;

/// Headers that only proxies add. A request with one of them comes from another machine.
const FORWARDING: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

/// Serves the page of metrics, at the public address or at the operators' address.
pub fn answer(state: &AppState, request: &Request, is_for_operators: bool) -> Response {
    if let Some(status) = refusal(state, request, is_for_operators) {
        return status.into();
    }
    Response::builder().header(header::CONTENT_TYPE, CONTENT_TYPE).body(page(state))
}

/// Returns the status of an error if the request may not read the page.
fn refusal(state: &AppState, request: &Request, is_for_operators: bool) -> Option<StatusCode> {
    let settings = &state.deps.operations;
    let token = settings.metrics_token.expose_secret();
    if settings.listen.is_some() && !is_for_operators {
        return Some(StatusCode::NOT_FOUND);
    }
    if !token.is_empty() {
        let given = client_info::token(request.headers()).unwrap_or_default();
        // The time to compare digests reveals nothing about the token.
        return (digest(given) != digest(token)).then_some(StatusCode::UNAUTHORIZED);
    }
    let is_open = is_for_operators || is_from_here(request);
    (!is_open).then_some(StatusCode::FORBIDDEN)
}

fn is_from_here(request: &Request) -> bool {
    let is_forwarded = |headers: &HeaderMap| FORWARDING.iter().any(|name| headers.contains_key(*name));
    let peer = request.remote_addr().as_socket_addr();
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) && !is_forwarded(request.headers())
}

fn page(state: &AppState) -> String {
    let mut page = Exposition::default();
    let version = env!("CARGO_PKG_VERSION");
    page.gauge("quantumvault_build_info", "Always 1; the label is the release.").value(&[("version", version)], 1);
    write_front(&mut page, state);
    write_parts(&mut page, &snapshot::read(&state.deps.backend));
    page.counter("quantumvault_panics_total", "Number of panics; each is a bug and is logged.")
        .value(&[], telemetry::PANICS.read());
    page.counter("quantumvault_log_lines_lost_total", "Number of log lines dropped because the log was too slow.")
        .value(&[], telemetry::LOST.read());
    process_metrics::write(&mut page);
    page.finish()
}

fn write_front(page: &mut Exposition, state: &AppState) {
    let http_metrics = &state.http_metrics;
    let mut family = page.counter("quantumvault_http_requests_total", "Number of answered requests.");
    for route in Route::all() {
        for (class, name) in CLASSES.iter().enumerate() {
            family.value(&[("route", route.name()), ("status", name)], http_metrics.requests(route, class));
        }
    }
    let mut family = page.histogram(
        "quantumvault_http_request_duration_seconds",
        "Time from the head of a request to the head of its answer.",
    );
    for route in Route::all() {
        family.durations(&[("route", route.name())], http_metrics.durations(route));
    }
    let mut family =
        page.counter("quantumvault_graphql_operations_total", "Number of executed operations, on WebSockets as well.");
    for kind in KINDS {
        family.value(&[("kind", kind_name(kind))], http_metrics.operations(kind));
    }
    let mut family = page.counter("quantumvault_graphql_errors_total", "Number of errors sent to clients, by code.");
    for code in ErrorCode::ALL {
        family.value(&[("code", code.as_str())], http_metrics.errors(code));
    }
    let most = state.deps.http.max_concurrent_requests;
    page.gauge("quantumvault_graphql_operations_running", "Number of running queries and mutations.")
        .value(&[], most.saturating_sub(state.permits.available_permits()));
    let mut family = page.gauge("quantumvault_streams_open", "Number of open WebSockets and event streams.");
    for (transport, count) in with_all(&["sse", "websocket"], http_metrics.streams.read()) {
        family.value(&[("transport", &transport)], count);
    }
    let mut family = page.gauge("quantumvault_subscriptions_open", "Number of open subscriptions, by field.");
    for (field, count) in http_metrics.subscriptions.read() {
        family.value(&[("field", &field)], count);
    }
    write_budgets(page, state);
}

fn write_budgets(page: &mut Exposition, state: &AppState) {
    let memory = &state.deps.backend.memory;
    let budgets = [
        ("memory", memory),
        ("connections", &state.connections),
        ("anonymous_sockets", &state.anonymous_sockets),
        ("user_streams", &state.user_streams),
    ];
    page.gauge("quantumvault_memory_reserved_bytes", "Memory reserved for bodies, messages, answers and events.")
        .value(&[], memory.used());
    page.gauge("quantumvault_memory_reserved_max_bytes", "Maximum memory that may be reserved.")
        .value(&[], memory.limit());
    page.gauge("quantumvault_connections_open", "Number of open connections within the limits.")
        .value(&[], state.connections.used());
    page.gauge("quantumvault_connections_max", "Maximum number of open connections.")
        .value(&[], state.connections.limit());
    let mut family = page.counter("quantumvault_budget_refusals_total", "Number of failed reservations, by budget.");
    for (budget, it) in budgets {
        family.value(&[("budget", budget)], it.refused());
    }
}

fn write_parts(page: &mut Exposition, snapshot: &Snapshot<'_>) {
    let pool = &snapshot.pool;
    page.gauge("quantumvault_database_connections", "Number of used and idle connections in the database pool.")
        .value(&[("state", "used")], pool.size.saturating_sub(pool.idle))
        .value(&[("state", "idle")], pool.idle);
    page.gauge("quantumvault_database_connections_max", "Maximum number of database connections.").value(&[], pool.max);
    page.histogram(
        "quantumvault_database_statement_duration_seconds",
        "Duration of statements, without the wait for a connection.",
    )
    .durations(&[], &snapshot.statements.durations);
    page.counter(
        "quantumvault_database_statement_errors_total",
        "Number of failed statements, expected failures included.",
    )
    .value(&[], snapshot.statements.failed.read());
    page.histogram(
        "quantumvault_database_begin_duration_seconds",
        "Time to begin a transaction, mainly the wait for a connection.",
    )
    .durations(&[], &snapshot.statements.begins);
    let mut family = page.counter("quantumvault_cache_lookups_total", "Number of cache lookups of users and sessions.");
    for (cache, lookups) in snapshot.caches {
        family.value(&[("cache", cache), ("result", "hit")], lookups.hits.read());
        family.value(&[("cache", cache), ("result", "miss")], lookups.misses.read());
    }
    page.gauge("quantumvault_mails_waiting", "Number of mails waiting to be sent.").value(&[], snapshot.mails);
    let passwords = &snapshot.passwords;
    page.gauge("quantumvault_password_hashes_running", "Number of password hashes being computed.")
        .value(&[], passwords.running);
    page.gauge("quantumvault_password_hashes_max", "Maximum number of password hashes at the same time.")
        .value(&[], passwords.most);
    page.gauge("quantumvault_password_hashes_waiting", "Number of password hashes waiting to be computed.")
        .value(&[], passwords.waiting);
    page.histogram("quantumvault_password_wait_seconds", "Time that password hashes waited.")
        .durations(&[], passwords.waits);
    let mut family =
        page.counter("quantumvault_rate_limit_refusals_total", "Number of actions rejected by rate limits, by action.");
    for (action, count) in &snapshot.refusals {
        family.value(&[("action", action)], count);
    }
    let mut family =
        page.counter("quantumvault_quota_refusals_total", "Number of messages rejected by a quota, by quota.");
    for (quota, count) in with_all(&Quota::ALL.map(Quota::as_str), snapshot.quota_refusals.clone()) {
        family.value(&[("quota", &quota)], count);
    }
    page.gauge(
        "quantumvault_database_clock_ahead_seconds",
        "This node's clock minus the database's, when last compared.",
    )
    .value(&[], snapshot.clock_ahead);
    page.counter("quantumvault_purges_refused_total", "Number of purges refused because the two clocks differ.")
        .value(&[], snapshot.purges_refused);
    page.histogram("quantumvault_feed_lag_seconds", "Time from sending a message to its event on a live feed.")
        .durations(&[], snapshot.feed_lag);
}

/// Adds zeros for known names, so that their series exist from the start.
fn with_all(names: &[&str], mut counts: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    for name in names {
        counts.entry((*name).to_owned()).or_default();
    }
    counts
}
