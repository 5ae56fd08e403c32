//! Where requests go, by their paths.

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
use crate::http::{AppState, PATH, client_info};
use crate::telemetry::{self, traces};

/// Everything at one address: GraphQL, the way to it from `/`, the browser's pages, health, figures, and the keys of
/// access tokens; or, at the operators' own, what only they have to do with.
///
/// These are few. The library's router would compile an expression for each, and put a map into each request.
pub struct Router {
    state: Arc<AppState>,
    is_for_operators: bool,
}

impl Router {
    /// What is served to everybody, or to operators.
    pub fn new(state: &Arc<AppState>, is_for_operators: bool) -> Self {
        Self { state: Arc::clone(state), is_for_operators }
    }
}

impl Endpoint for Router {
    type Output = Response;

    /// An answer that is complete, also when what makes it panics.
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
        // In boxes: each connection has room for the largest of these futures, and every layer around them moves it.
        // Guarded by the benchmark `front`.
        match request_log.route {
            Route::Live => health::live(),
            Route::Ready => Box::pin(health::ready(&deps.backend)).await,
            Route::Metrics => metrics::answer(state, &request, self.is_for_operators),
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
