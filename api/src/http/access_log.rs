//! One line a request: who asked for what, and how it went. Nothing of what was said.

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

/// What becomes known of a request while it is served.
#[derive(Debug)]
pub struct RequestLog {
    began: Instant,
    method: &'static str,
    /// Where it goes.
    pub route: Route,
    user_id: OnceLock<UserId>,
    kind: OnceLock<OperationType>,
    codes: Mutex<Vec<ErrorCode>>,
    bytes: AtomicUsize,
}

impl RequestLog {
    /// A request that has just come.
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

    /// What the request is called in traces.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.route.name())
    }

    /// Who asks.
    pub fn identify(&self, user_id: UserId) {
        // Of a batch, the first tells.
        let _ = self.user_id.set(user_id);
    }

    /// What kind of operation it is.
    pub fn classify(&self, kind: OperationType) {
        let _ = self.kind.set(kind);
    }

    /// An operation of it was answered.
    pub fn note(&self, answer: &Answer) {
        self.bytes.fetch_add(answer.body.len(), Relaxed);
        if !answer.codes.is_empty() {
            self.codes.lock().extend(&answer.codes);
        }
    }

    /// Counts and logs the request, now that it is answered.
    fn close(&self, state: &AppState, client: &Client, status: StatusCode) {
        let elapsed = self.began.elapsed();
        state.http_metrics.request(self.route, status, elapsed);
        // Both have the same fields; the level of a line cannot be a variable.
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

/// Closes a request's entry when it ends, also when its client did not wait for the answer.
pub struct RequestLogGuard<'a> {
    state: &'a AppState,
    client: &'a Client,
    request_log: &'a RequestLog,
    /// How it is answered.
    pub status: StatusCode,
}

impl<'a> RequestLogGuard<'a> {
    /// Of a request that has no answer yet.
    pub fn new(state: &'a AppState, client: &'a Client, request_log: &'a RequestLog) -> Self {
        // What proxies note of a request whose client went away before the answer.
        let status = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
        Self { state, client, request_log, status }
    }
}

impl Drop for RequestLogGuard<'_> {
    fn drop(&mut self) {
        self.request_log.close(self.state, self.client, self.status);
    }
}

/// A query or a mutation of a socket, which is a request of its own.
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

/// A subscription that is being followed; it counts, and has its line when it ends.
pub struct StreamLog {
    caller: Caller,
    field: String,
    began: Instant,
    events: u64,
    codes: Vec<ErrorCode>,
    _counted: Counted,
}

impl StreamLog {
    /// One that begins.
    pub fn new(state: &AppState, caller: &Caller, field: Option<String>) -> Self {
        let field = field.unwrap_or_default();
        let counted = state.http_metrics.subscriptions.hold(&field);
        Self { caller: caller.clone(), field, began: Instant::now(), events: 0, codes: Vec::new(), _counted: counted }
    }

    /// One event of it was answered.
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

/// To the microsecond.
fn milliseconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e6).round() / 1e3
}
