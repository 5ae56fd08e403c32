//! `/metrics` for Prometheus. Each request reads the counters where they are kept.

use std::collections::BTreeMap;

use poem::http::{HeaderMap, StatusCode, header};
use poem::{Request, Response};
use secrecy::ExposeSecret;

use crate::crypto::token::digest;
use crate::domain::ErrorCode;
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
    page.gauge("quantumvault_build_info", "Always 1; its label is the release.").value(&[("version", version)], 1);
    write_front(&mut page, state);
    write_parts(&mut page, &snapshot::read(&state.deps.backend));
    page.counter("quantumvault_panics_total", "Panics; each is a fault of the server, and logged.")
        .value(&[], telemetry::PANICS.read());
    page.counter("quantumvault_log_lines_lost_total", "Lines that found the log too slow.")
        .value(&[], telemetry::LOST.read());
    process_metrics::write(&mut page);
    page.finish()
}

fn write_front(page: &mut Exposition, state: &AppState) {
    let http_metrics = &state.http_metrics;
    let mut family = page.counter("quantumvault_http_requests_total", "Requests that were answered.");
    for route in Route::all() {
        for (class, name) in CLASSES.iter().enumerate() {
            family.value(&[("route", route.name()), ("status", name)], http_metrics.requests(route, class));
        }
    }
    let mut family =
        page.histogram("quantumvault_http_request_duration_seconds", "From a request's head to its answer's head.");
    for route in Route::all() {
        family.durations(&[("route", route.name())], http_metrics.durations(route));
    }
    let mut family = page.counter("quantumvault_graphql_operations_total", "Operations that were let run.");
    for kind in KINDS {
        family.value(&[("kind", kind_name(kind))], http_metrics.operations(kind));
    }
    let mut family = page.counter("quantumvault_graphql_errors_total", "Errors that clients were told, by their code.");
    for code in ErrorCode::ALL {
        family.value(&[("code", code.as_str())], http_metrics.errors(code));
    }
    let most = state.deps.http.max_concurrent_requests;
    page.gauge("quantumvault_graphql_operations_running", "Queries and mutations that run.")
        .value(&[], most.saturating_sub(state.permits.available_permits()));
    let mut family = page.gauge("quantumvault_streams_open", "Sockets and event streams that are open.");
    for (transport, count) in with_all(&["sse", "websocket"], http_metrics.streams.read()) {
        family.value(&[("transport", &transport)], count);
    }
    let mut family = page.gauge("quantumvault_subscriptions_open", "Subscriptions that are followed, by their field.");
    for (field, count) in http_metrics.subscriptions.read() {
        family.value(&[("field", &field)], count);
    }
}

fn write_parts(page: &mut Exposition, snapshot: &Snapshot<'_>) {
    let pool = &snapshot.pool;
    page.gauge("quantumvault_database_connections", "The database's connections.")
        .value(&[("state", "used")], pool.size.saturating_sub(pool.idle))
        .value(&[("state", "idle")], pool.idle);
    page.gauge("quantumvault_database_connections_max", "The most connections.").value(&[], pool.max);
    page.histogram("quantumvault_database_statement_duration_seconds", "Statements, with a connection at hand.")
        .durations(&[], &snapshot.statements.durations);
    page.counter("quantumvault_database_statement_errors_total", "Statements that failed, expected ones included.")
        .value(&[], snapshot.statements.failed.read());
    page.histogram(
        "quantumvault_database_begin_duration_seconds",
        "From asking for a transaction to its begin: above all, the wait for a connection.",
    )
    .durations(&[], &snapshot.statements.begins);
    let mut family = page.counter("quantumvault_cache_lookups_total", "What was looked for in the cache.");
    for (cache, lookups) in snapshot.caches {
        family.value(&[("cache", cache), ("result", "hit")], lookups.hits.read());
        family.value(&[("cache", cache), ("result", "miss")], lookups.misses.read());
    }
    page.gauge("quantumvault_mails_waiting", "Mails under way.").value(&[], snapshot.mails);
    let passwords = &snapshot.passwords;
    page.gauge("quantumvault_password_hashes_running", "Password hashes that are computed.")
        .value(&[], passwords.running);
    page.gauge("quantumvault_password_hashes_max", "The most that are computed at a time.").value(&[], passwords.most);
    page.gauge("quantumvault_password_hashes_waiting", "Password hashes that wait for their turn.")
        .value(&[], passwords.waiting);
    page.histogram("quantumvault_password_wait_seconds", "For how long they waited.").durations(&[], passwords.waits);
    let mut family = page.counter("quantumvault_rate_limit_refusals_total", "What rate limits refused, by the action.");
    for (action, count) in &snapshot.refusals {
        family.value(&[("action", action)], count);
    }
    page.gauge("quantumvault_database_clock_ahead_seconds", "This node's clock less the database's, as last compared.")
        .value(&[], snapshot.clock_ahead);
    page.counter("quantumvault_purges_refused_total", "Purges that were refused because the two clocks differ.")
        .value(&[], snapshot.purges_refused);
    page.histogram("quantumvault_feed_lag_seconds", "From a message's time to its event on a live feed.")
        .durations(&[], snapshot.feed_lag);
}

/// Adds zeros for known names, so that their series exist from the start.
fn with_all(names: &[&str], mut counts: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    for name in names {
        counts.entry((*name).to_owned()).or_default();
    }
    counts
}
