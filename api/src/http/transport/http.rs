//! GraphQL over HTTP (the specification's draft of 2025): one endpoint for queries, mutations and streams.

use std::sync::Arc;

use futures_util::{StreamExt, future::join_all, stream::once};
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{Request, Response};
use serde_json::Value;

use crate::budget::{Holder, Reservation};
use crate::domain::{Client, Viewer};
use crate::engine::{GraphqlRequest, OperationType, PreparedOperation};
use crate::graphql::StreamPosition;
use crate::http::access_log::RequestLog;
use crate::http::answer::{Answer, Caller, Outcome};
use crate::http::headers::METHODS;
use crate::http::operation::Permit;
use crate::http::transport::negotiation::{Accepted, Media, negotiate};
use crate::http::transport::request_body::{self, BodyError, Work};
use crate::http::transport::stream_auth::StreamAuth;
use crate::http::transport::{sse, websocket};
use crate::http::{AppState, client_info};
use crate::service::sessions;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer error=\"invalid_token\"");

/// Responds to a request to the GraphQL endpoint.
pub async fn answer(
    state: &Arc<AppState>,
    request: Request,
    client: &Arc<Client>,
    request_log: &RequestLog,
) -> Response {
    // Other upgrades that clients offer, such as h2c, may be ignored (RFC 9110, 7.8).
    if client_info::text(request.headers(), header::UPGRADE).is_some_and(|name| name.eq_ignore_ascii_case("websocket"))
    {
        return websocket::upgrade(state, &request, Arc::clone(client));
    }
    let pages = state.deps.pages.as_ref().filter(|_| request.method() == Method::GET);
    let Some(accepted) = negotiate(request.headers(), pages.is_some()) else {
        let message =
            "Send an `Accept` header with application/graphql-response+json, application/json or text/event-stream.";
        return write(Answer::rejection(StatusCode::NOT_ACCEPTABLE, message, &client.request_id), Media::Json);
    };
    if let (Media::Html, Some(pages)) = (accepted.media, pages) {
        return Box::pin(pages.home(request.headers())).await;
    }
    let exchange = Exchange { state, client, accepted, method: request.method().clone(), request_log };
    exchange.respond(request).await.unwrap_or_else(|answer| exchange.write(answer))
}

/// Request and its context, known before the body is read.
struct Exchange<'a> {
    state: &'a Arc<AppState>,
    client: &'a Arc<Client>,
    accepted: Accepted,
    method: Method,
    request_log: &'a RequestLog,
}

impl Exchange<'_> {
    /// Returns the response. An error stops the request before any operation runs.
    async fn respond(&self, mut request: Request) -> Result<Response, Answer> {
        let mut memory = self.state.deps.backend.memory.nothing(self.holder());
        let work = request_body::read(&mut request, &self.state.deps.http, &mut memory).await;
        let work = work.map_err(|error| match error {
            BodyError::Request(status, message) => self.reject(status, message),
            BodyError::Memory(exhausted) => Answer::error(&exhausted.into(), &self.client.request_id),
        })?;
        let permit = self.state.admit(self.client)?;
        let viewer = match self.viewer(request.headers()).await {
            Ok(viewer) => viewer,
            Err(answer) => return self.refuse(answer),
        };
        if let Some(viewer) = viewer {
            self.request_log.identify(viewer.user_id);
        }
        let last_event_id = || client_info::text(request.headers(), LAST_EVENT_ID).map(str::to_owned);
        let position = self.accepted.events.then(|| StreamPosition::after(last_event_id()));
        let caller = Caller { client: Arc::clone(self.client), viewer, position };
        match work {
            Work::One(request) => self.one(request, caller, permit).await,
            Work::Batch(requests) => {
                // Each operation of the batch takes its own permit.
                drop(permit);
                let answers = join_all(requests.into_iter().map(|request| self.member(request, caller.clone()))).await;
                for answer in &answers {
                    self.note(answer);
                }
                Ok(write_batch(&answers, self.accepted.media))
            }
        }
    }

    async fn one(&self, request: GraphqlRequest, caller: Caller, permit: Permit) -> Result<Response, Answer> {
        let prepared = match self.state.prepare(request, &caller).and_then(|prepared| self.allow(prepared)) {
            Ok(prepared) => prepared,
            Err(answer) => return self.refuse(answer),
        };
        if prepared.kind == OperationType::Subscription {
            let viewer = caller.viewer;
            let slot = viewer.map(|viewer| self.slot(&viewer)).transpose()?;
            let auth = StreamAuth::new(self.state, viewer);
            let holder = viewer.map_or_else(|| self.holder(), |viewer| Holder::User(viewer.user_id));
            return Ok(sse::respond(self.state, self.state.subscribe(prepared, caller), auth, holder, slot));
        }
        let answer = if prepared.kind == OperationType::Query {
            self.state.read(prepared, caller, permit).await
        } else {
            self.state.execute(prepared, caller, permit).await
        };
        Ok(if self.accepted.media == Media::EventStream { self.told(answer) } else { self.write(answer) })
    }

    fn write(&self, answer: Answer) -> Response {
        self.note(&answer);
        write(answer, self.accepted.media)
    }

    fn note(&self, answer: &Answer) {
        self.state.http_metrics.answer(answer);
        self.request_log.note(answer);
    }

    /// Returns the response to a request that failed before it ran. An event stream gets the error as its only result,
    /// because its client reads nothing else.
    fn refuse(&self, answer: Answer) -> Result<Response, Answer> {
        if self.accepted.media == Media::EventStream && !matches!(answer.outcome, Outcome::Rejected(_)) {
            Ok(self.told(answer))
        } else {
            Err(answer)
        }
    }

    async fn member(&self, request: Value, caller: Caller) -> Answer {
        let ready = GraphqlRequest::from_json(request)
            .map_err(|message| self.reject(StatusCode::BAD_REQUEST, message))
            .and_then(|request| self.state.prepare(request, &caller))
            .and_then(|prepared| self.allow(prepared))
            .and_then(|prepared| self.state.admit(self.client).map(|permit| (prepared, permit)));
        match ready {
            Ok((prepared, permit)) => self.state.execute(prepared, caller, permit).await,
            Err(answer) => answer,
        }
    }

    /// Checks that the method and the transport fit the kind of operation.
    fn allow(&self, prepared: PreparedOperation) -> Result<PreparedOperation, Answer> {
        self.request_log.classify(prepared.kind);
        match prepared.kind {
            // A link or an image on a foreign page can send a GET.
            OperationType::Mutation if self.method == Method::GET => {
                Err(self.reject(StatusCode::METHOD_NOT_ALLOWED, "Send mutations by POST."))
            }
            OperationType::Subscription if !self.accepted.events => Err(self.reject(
                StatusCode::NOT_ACCEPTABLE,
                "Send subscriptions by WebSocket, or with text/event-stream in the `Accept` header.",
            )),
            _ => Ok(prepared),
        }
    }

    /// Returns the signed-in user, or `None` without a token. An invalid token is an error, never an anonymous request.
    async fn viewer(&self, headers: &HeaderMap) -> Result<Option<Viewer>, Answer> {
        let Some(token) = client_info::token(headers) else {
            return Ok(None);
        };
        let viewer = sessions::authenticate(&self.state.deps.backend, token).await;
        viewer.map(Some).map_err(|error| Answer::error(&error, &self.client.request_id))
    }

    /// Reserves a slot for an event stream. Sockets and event streams share the slots of a user.
    fn slot(&self, viewer: &Viewer) -> Result<Reservation, Answer> {
        let slot = self.state.user_streams.reserve(Holder::User(viewer.user_id), 1);
        let message = "This user has too many WebSockets and event streams: close one.";
        slot.map_err(|_| Answer::too_many(message, &self.client.request_id))
    }

    /// Returns an event stream with one result.
    fn told(&self, answer: Answer) -> Response {
        let (answers, auth) = (once(async { answer }).boxed(), StreamAuth::new(self.state, None));
        sse::respond(self.state, answers, auth, self.holder(), None)
    }

    /// Returns whose share the request counts against before its session is known.
    fn holder(&self) -> Holder {
        Holder::network(self.client.ip)
    }

    fn reject(&self, status: StatusCode, message: &str) -> Answer {
        Answer::rejection(status, message, &self.client.request_id)
    }
}

/// Writes an answer as a response. Under `application/graphql-response+json` the status shows the outcome. Under
/// `application/json` every well-formed request gets 200, even with an invalid token. Older clients take any other
/// status for a network failure. They would not read the errors, and so would not refresh the token.
fn write(answer: Answer, media: Media) -> Response {
    let status = match answer.outcome {
        Outcome::Refused(status) if media == Media::GraphqlResponse => status,
        Outcome::Executed | Outcome::Refused(_) => StatusCode::OK,
        Outcome::Rejected(status) => status,
    };
    let mut response = Response::builder().status(status).body(answer.body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.of_results());
    if let Some(seconds) = answer.retry_after_seconds {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, METHODS);
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, BEARER);
    }
    response
}

fn write_batch(answers: &[Answer], media: Media) -> Response {
    let bodies: Vec<&[u8]> = answers.iter().map(|answer| answer.body.as_ref()).collect();
    let body = [b"[", bodies.join(&b","[..]).as_slice(), b"]"].concat();
    Response::builder().header(header::CONTENT_TYPE, media.of_results()).body(body)
}
