//! GraphQL over Server-Sent Events: the distinct connections mode of the graphql-sse protocol.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream, stream::BoxStream};
use poem::{Body, Response};
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::http::AppState;
use crate::http::answer::Answer;
use crate::http::transport::connection_slots::ConnectionSlot;
use crate::http::transport::stream_auth::StreamAuth;
use crate::telemetry::counters::Counted;

/// What breaks a silence: it keeps proxies from closing the connection, and finds clients that are gone.
const COMMENT: &[u8] = b":\n\n";
/// An event without a data line is dropped by `EventSource`, hence the empty one.
const COMPLETE: &[u8] = b"event: complete\ndata:\n\n";

/// Streams the answers as events. The stream breaks off without `complete` when the lease is over or the server
/// stops, which a client takes for a lost connection: it comes back with its last event's id and a fresh token.
///
/// The seat is given back with everything else when the client goes.
pub fn respond(
    state: &Arc<AppState>,
    answers: BoxStream<'static, Answer>,
    auth: StreamAuth,
    slot: Option<ConnectionSlot>,
) -> Response {
    let silence = Duration::from_secs(state.deps.sockets.comment_seconds);
    let events = Events {
        answers: Some(answers),
        auth,
        stopped: Box::pin(state.stop.clone().cancelled_owned()),
        state: Arc::clone(state),
        _open: state.http_metrics.streams.hold("sse"),
        comments: interval_at(Instant::now() + silence, silence),
        _slot: slot,
    };
    let body = stream::unfold(events, |mut events| async {
        let event = events.next().await?;
        Some((Ok::<_, io::Error>(event), events))
    });
    Response::builder()
        .content_type("text/event-stream; charset=utf-8")
        .header("x-accel-buffering", "no")
        .body(Body::from_bytes_stream(body))
}

struct Events {
    answers: Option<BoxStream<'static, Answer>>,
    auth: StreamAuth,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    comments: Interval,
    state: Arc<AppState>,
    _open: Counted,
    _slot: Option<ConnectionSlot>,
}

impl Events {
    async fn next(&mut self) -> Option<Vec<u8>> {
        let answers = self.answers.as_mut()?;
        tokio::select! {
            biased;
            () = &mut self.stopped => None,
            () = self.auth.over() => None,
            answer = answers.next() => if let Some(answer) = answer {
                self.comments.reset();
                self.state.http_metrics.answer(&answer);
                self.auth.admits().await.then(|| event(&answer))
            } else {
                self.answers = None;
                Some(COMPLETE.to_vec())
            },
            _ = self.comments.tick() => Some(COMMENT.to_vec()),
        }
    }
}

/// The JSON of an answer has no line breaks, so it is one line of data.
fn event(answer: &Answer) -> Vec<u8> {
    let mut event = b"event: next\n".to_vec();
    if let Some(cursor) = answer.cursor.as_deref().filter(|cursor| !cursor.contains(['\n', '\r', '\0'])) {
        event.extend_from_slice(format!("id: {cursor}\n").as_bytes());
    }
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(&answer.body);
    event.extend_from_slice(b"\n\n");
    event
}
