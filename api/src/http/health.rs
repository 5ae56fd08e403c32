//! What a load balancer asks: whether the process lives, and whether it should get requests.

use std::sync::Arc;

use poem::{Endpoint, Request, Response, http::StatusCode};

use crate::service::{
    Backend,
    health::{self, Readiness},
};

/// `/health/live`: the process answers.
pub fn live() -> Response {
    json(StatusCode::OK, "OK")
}

/// `/health/ready`: the parts that it stands on answer.
pub struct Ready(pub Arc<Backend>);

impl Endpoint for Ready {
    type Output = Response;

    async fn call(&self, _: Request) -> poem::Result<Response> {
        Ok(match health::readiness(&self.0).await {
            Readiness::Ok => json(StatusCode::OK, "OK"),
            Readiness::Degraded => json(StatusCode::OK, "DEGRADED"),
            Readiness::Down => json(StatusCode::SERVICE_UNAVAILABLE, "DOWN"),
        })
    }
}

fn json(status: StatusCode, text: &str) -> Response {
    Response::builder().status(status).content_type("application/json").body(format!(r#"{{"status":"{text}"}}"#))
}
