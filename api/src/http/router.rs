//! Where requests go, by their paths.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use poem::{
    Endpoint, Request, Response,
    http::{Method, StatusCode, header},
};
use tracing::Instrument;

use crate::{
    domain::Client,
    http::{
        Front, PATH,
        access_log::{Closing, Entry},
        client_info,
        headers::{self, Origin},
        ops::{health, http_metrics::Route, jwks, metrics},
        transport::http,
    },
    telemetry::{self, traces},
};

/// Everything at one address: GraphQL, the way to it from `/`, the browser's pages, health, figures, and the keys of
/// access tokens; or, at the operators' own, what only they have to do with.
///
/// These are few. The library's router would compile an expression for each, and put a map into each request.
pub struct Site {
    front: Arc<Front>,
    is_for_operators: bool,
}

impl Site {
    /// What is served to everybody, or to operators.
    pub fn new(front: &Arc<Front>, is_for_operators: bool) -> Self {
        Self { front: Arc::clone(front), is_for_operators }
    }
}

impl Endpoint for Site {
    type Output = Response;

    /// An answer that is complete, also when what makes it panics.
    async fn call(&self, request: Request) -> poem::Result<Response> {
        let (front, settings) = (&*self.front, &self.front.parts.http);
        let client = Arc::new(client_info::client(&request, &front.request_ids, &settings.trusted_proxies));
        let origin = Origin::of(request.headers(), &settings.allowed_origins);
        let entry = Entry::new(request.method(), request.uri().path());
        let mut closing = Closing::new(front, &client, &entry);
        let mut response = if request.method() == Method::OPTIONS {
            headers::preflight(&origin)
        } else {
            let span = tracing::info_span!(
                "request",
                request.id = client.request_id,
                otel.name = entry.name(),
                otel.kind = "server"
            );
            traces::adopt(&span, request.headers());
            let answer = AssertUnwindSafe(self.answer(request, &client, &entry)).catch_unwind().instrument(span);
            // The panic hook has logged the cause.
            telemetry::within(&client, answer).await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into())
        };
        headers::dress(response.headers_mut(), origin, &client.request_id);
        closing.status = response.status();
        Ok(response)
    }
}

impl Site {
    async fn answer(&self, request: Request, client: &Arc<Client>, entry: &Entry) -> Response {
        let (front, parts) = (&self.front, &self.front.parts);
        // In boxes: each connection has room for the largest of these futures, and every layer around them moves it.
        match entry.route {
            Route::Live => health::live(),
            Route::Ready => Box::pin(health::ready(&parts.backend)).await,
            Route::Metrics => metrics::answer(front, &request, self.is_for_operators),
            _ if self.is_for_operators => StatusCode::NOT_FOUND.into(),
            Route::Graphql => Box::pin(http::answer(front, request, client, entry)).await,
            Route::Home => {
                Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header(header::LOCATION, PATH).finish()
            }
            Route::Keys => Box::pin(jwks::answer(&parts.backend)).await,
            Route::Page => match &parts.pages {
                Some(pages) => Box::pin(pages.answer(request.uri().path(), request.headers())).await,
                None => StatusCode::NOT_FOUND.into(),
            },
            Route::Other => StatusCode::NOT_FOUND.into(),
        }
    }
}
