//! Routes requests by their paths.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use poem::http::{Method, StatusCode, header};
use poem::{Endpoint, Request, Response};
use tracing::Instrument;

use crate::domain::Client;
use crate::http::access_log::{RequestLog, RequestLogGuard};
use crate::http::headers::{self, Origin};
use crate::http::ops::http_metrics::Route;
use crate::http::ops::{health, jwks, metrics};
use crate::http::transport::http;
use crate::http::{AppState, PATH, answer, client_info};
use crate::telemetry::{self, traces};

/// Routes of one address. The public address serves GraphQL, a redirect from `/`, pages for browsers, health, metrics
/// and the keys of access tokens. The operators' address serves health and metrics only.
///
/// A `match` selects among these few. poem's router would compile a pattern for each and put a map into each request.
pub struct Router {
    state: Arc<AppState>,
    is_for_operators: bool,
}

impl Router {
    /// Creates the router of the public address, or of the operators' address.
    pub fn new(state: &Arc<AppState>, is_for_operators: bool) -> Self {
        Self { state: Arc::clone(state), is_for_operators }
    }
}

impl Endpoint for Router {
    type Output = Response;

    /// Returns a complete response, even if a handler panics.
    async fn call(&self, request: Request) -> poem::Result<Response> {
        let (state, settings) = (&*self.state, &self.state.deps.http);
        let client = Arc::new(client_info::client(&request, &state.request_ids, &settings.trusted_proxies));
        let origin = Origin::of(request.headers(), &settings.allowed_origins);
        let request_log = RequestLog::new(request.method(), request.uri().path());
        let mut log_guard = RequestLogGuard::new(state, &client, &request_log);
        let mut response = if request.method() == Method::OPTIONS {
            headers::preflight(&origin)
        } else {
            let span = tracing::info_span!(
                "request",
                request.id = client.request_id,
                otel.name = request_log.name(),
                otel.kind = "server"
            );
            traces::adopt(&span, request.headers());
            let answer = AssertUnwindSafe(self.answer(request, &client, &request_log)).catch_unwind().instrument(span);
            // The panic hook has logged the cause.
            telemetry::within(&client, answer).await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into())
        };
        headers::dress(response.headers_mut(), origin, &client.request_id);
        log_guard.status = response.status();
        Ok(response)
    }
}

impl Router {
    async fn answer(&self, request: Request, client: &Arc<Client>, request_log: &RequestLog) -> Response {
        let (state, deps) = (&self.state, &self.state.deps);
        // Boxed: each connection reserves memory for the largest of these futures, and every layer around them moves
        // it. Guarded by the benchmark `front`.
        match request_log.route {
            Route::Live => health::live(),
            Route::Ready => Box::pin(health::ready(&deps.backend)).await,
            Route::Metrics => metrics::answer(state, &request, self.is_for_operators),
            _ if let Some(exhausted) = request.extensions().get() => answer::exhausted(*exhausted, &client.request_id),
            _ if self.is_for_operators => StatusCode::NOT_FOUND.into(),
            Route::Graphql => Box::pin(http::answer(state, request, client, request_log)).await,
            Route::Home => {
                Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header(header::LOCATION, PATH).finish()
            }
            Route::Keys => Box::pin(jwks::answer(&deps.backend)).await,
            Route::Page => match &deps.pages {
                Some(pages) => Box::pin(pages.answer(request.uri().path(), request.headers())).await,
                None => StatusCode::NOT_FOUND.into(),
            },
            Route::Other => StatusCode::NOT_FOUND.into(),
        }
    }
}
