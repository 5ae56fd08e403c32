//! The access log: one line per request, with its caller and outcome but without its content.

use std::time::{Duration, Instant};
use std::{sync::OnceLock, sync::atomic::AtomicUsize, sync::atomic::Ordering::Relaxed};

use parking_lot::Mutex;
use poem::http::{Method, StatusCode};

use crate::domain::{Client, ErrorCode, UserId};
use crate::engine::OperationType;
use crate::http::AppState;
use crate::http::answer::{Answer, Caller};
use crate::http::ops::http_metrics::{Route, kind_name};
use crate::telemetry::counters::Counted;

/// Fields of a request's log line, collected while the request is served.
#[derive(Debug)]
pub struct RequestLog {
    began: Instant,
    method: &'static str,
    /// Route of the request's path.
    pub route: Route,
    user_id: OnceLock<UserId>,
    kind: OnceLock<OperationType>,
    codes: Mutex<Vec<ErrorCode>>,
    bytes: AtomicUsize,
}

impl RequestLog {
    /// Creates the log of a request that has just arrived.
    pub fn new(method: &Method, path: &str) -> Self {
        let method = [Method::GET, Method::POST, Method::OPTIONS, Method::HEAD]
            .iter()
            .position(|known| known == method)
            .map_or("other", |place| ["GET", "POST", "OPTIONS", "HEAD"][place]);
        Self {
            began: Instant::now(),
            method,
            route: Route::of(path),
            user_id: OnceLock::new(),
            kind: OnceLock::new(),
            codes: Mutex::default(),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Returns the request's name in traces.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.route.name())
    }

    /// Sets the signed-in user.
    pub fn identify(&self, user_id: UserId) {
        let _ = self.user_id.set(user_id);
    }

    /// Sets the kind of operation. A batch keeps the kind of its first operation.
    pub fn classify(&self, kind: OperationType) {
        let _ = self.kind.set(kind);
    }

    /// Adds the size and the error codes of one operation's answer.
    pub fn note(&self, answer: &Answer) {
        self.bytes.fetch_add(answer.body.len(), Relaxed);
        if !answer.codes.is_empty() {
            self.codes.lock().extend(&answer.codes);
        }
    }

    /// Counts and logs the request when it ends.
    fn close(&self, state: &AppState, client: &Client, status: StatusCode) {
        let elapsed = self.began.elapsed();
        state.http_metrics.request(self.route, status, elapsed);
        // A macro, because the level of a log line cannot be a variable.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "requests",
                    {
                    request.id = client.request_id,
                    http.method = self.method,
                    http.route = self.route.name(),
                    http.status = status.as_u16(),
                    operation.kind = self.kind.get().map(|kind| kind_name(*kind)),
                    error.codes = self.codes(),
                    elapsed_ms = milliseconds(elapsed),
                    bytes = self.bytes.load(Relaxed),
                    client.address = client.ip.map(|ip| ip.to_string()),
                    user.id = self.user_id.get().map(ToString::to_string),
                    },
                    "request"
                )
            };
        }
        if self.route.is_probed() {
            line!(debug);
        } else {
            line!(info);
        }
    }

    fn codes(&self) -> Option<String> {
        let codes = self.codes.lock();
        (!codes.is_empty()).then(|| join(&codes))
    }
}

/// Guard that counts and logs a request when dropped, even if its client has disconnected.
pub struct RequestLogGuard<'a> {
    state: &'a AppState,
    client: &'a Client,
    request_log: &'a RequestLog,
    /// Status of the response.
    pub status: StatusCode,
}

impl<'a> RequestLogGuard<'a> {
    /// Creates the guard of a request that has no response yet.
    pub fn new(state: &'a AppState, client: &'a Client, request_log: &'a RequestLog) -> Self {
        // The status that proxies log if a client disconnects before the response.
        let status = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
        Self { state, client, request_log, status }
    }
}

impl Drop for RequestLogGuard<'_> {
    fn drop(&mut self) {
        self.request_log.close(self.state, self.client, self.status);
    }
}

/// Logs a query or a mutation that a client sent over a socket. Each counts as a request.
pub fn operation(caller: &Caller, kind: OperationType, began: Instant, answer: &Answer) {
    tracing::info!(
        target: "requests",
                    {
        request.id = caller.client.request_id,
        operation.kind = kind_name(kind),
        error.codes = (!answer.codes.is_empty()).then(|| join(&answer.codes)),
        elapsed_ms = milliseconds(began.elapsed()),
        bytes = answer.body.len(),
        client.address = caller.client.ip.map(|ip| ip.to_string()),
        user.id = caller.viewer.map(|viewer| viewer.user_id.to_string()),
        },
        "operation"
    );
}

/// Log of an open subscription. When dropped, writes a line and no longer counts the subscription.
pub struct StreamLog {
    caller: Caller,
    field: String,
    began: Instant,
    events: u64,
    codes: Vec<ErrorCode>,
    _counted: Counted,
}

impl StreamLog {
    /// Creates the log of a subscription that begins.
    pub fn new(state: &AppState, caller: &Caller, field: Option<String>) -> Self {
        let field = field.unwrap_or_default();
        let counted = state.http_metrics.subscriptions.hold(&field);
        Self { caller: caller.clone(), field, began: Instant::now(), events: 0, codes: Vec::new(), _counted: counted }
    }

    /// Records one event.
    pub fn note(&mut self, answer: &Answer) {
        self.events += 1;
        self.codes.clone_from(&answer.codes);
    }
}

impl Drop for StreamLog {
    fn drop(&mut self) {
        tracing::info!(
            target: "requests",
                    {
            request.id = self.caller.client.request_id,
            operation.kind = "subscription",
            operation.field = self.field,
            error.codes = (!self.codes.is_empty()).then(|| join(&self.codes)),
            elapsed_ms = milliseconds(self.began.elapsed()),
            events = self.events,
            client.address = self.caller.client.ip.map(|ip| ip.to_string()),
            user.id = self.caller.viewer.map(|viewer| viewer.user_id.to_string()),
            },
            "subscription ended"
        );
    }
}

fn join(codes: &[ErrorCode]) -> String {
    codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(",")
}

/// Returns milliseconds, rounded to the microsecond.
fn milliseconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e6).round() / 1e3
}
