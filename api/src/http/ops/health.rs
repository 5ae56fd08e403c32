//! Health checks for load balancers: liveness, and readiness for requests.

use std::sync::Arc;

use poem::{Response, http::StatusCode};
use serde_json::{Value, json};

use crate::service::ops::health::{Component, Status};
use crate::service::{Backend, ops::health};

/// Serves `/health/live`, which succeeds while the process responds.
pub fn live() -> Response {
    respond(StatusCode::OK, &json!({ "status": "OK" }))
}

/// Serves `/health/ready`, which fails while a part that the server needs is down.
pub async fn ready(backend: &Arc<Backend>) -> Response {
    let health = health::check(backend).await;
    let code = if health.status == Status::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let components: Vec<_> = health.components.iter().map(component).collect();
    respond(code, &json!({ "status": name(health.status), "components": components }))
}

/// Returns a component without its message, which may contain addresses. The endpoint is public.
fn component(component: &Component) -> Value {
    let latency = component.latency.map(|latency| latency.as_secs_f64() * 1000.0);
    json!({ "name": component.name, "status": name(component.status), "latencyMs": latency })
}

fn name(status: Status) -> &'static str {
    match status {
        Status::Ok => "OK",
        Status::Degraded => "DEGRADED",
        Status::Down => "DOWN",
    }
}

fn respond(status: StatusCode, body: &Value) -> Response {
    Response::builder().status(status).content_type("application/json").body(body.to_string())
}
