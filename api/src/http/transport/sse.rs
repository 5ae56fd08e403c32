//! GraphQL over Server-Sent Events: the distinct connections mode of the graphql-sse protocol.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use poem::{Body, Response};
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::budget::{self, Budget, Holder, Reservation};
use crate::http::AppState;
use crate::http::answer::Answer;
use crate::http::transport::stream_auth::StreamAuth;
use crate::telemetry::counters::Counted;

/// Comment sent during silence. It keeps proxies from closing the connection, and detects clients that have
/// disconnected.
const COMMENT: &[u8] = b":\n\n";
/// Last event. Its data line is empty, because `EventSource` drops an event without one.
const COMPLETE: &[u8] = b"event: complete\ndata:\n\n";

/// Streams the answers as events. The stream ends without `complete` when its authorization ends or the server stops. A
/// client takes that for a lost connection. It reconnects with its last event's id and a new token.
///
/// A disconnect releases the slot and everything else that the stream holds.
pub fn respond(
    state: &Arc<AppState>,
    answers: BoxStream<'static, Answer>,
    auth: StreamAuth,
    holder: Holder,
    slot: Option<Reservation>,
) -> Response {
    let silence = Duration::from_secs(state.deps.sockets.comment_seconds);
    let events = Events {
        answers: Some(answers),
        auth,
        holder,
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
    holder: Holder,
    comments: Interval,
    state: Arc<AppState>,
    _open: Counted,
    _slot: Option<Reservation>,
}

impl Events {
    async fn next(&mut self) -> Option<Bytes> {
        let (answers, memory) = (self.answers.as_mut()?, &self.state.deps.backend.memory);
        // Waits before the next event is produced, because a client that does not read holds what was produced before.
        let next = async {
            memory.until_room(self.holder).await;
            answers.next().await
        };
        tokio::select! {
            biased;
            () = &mut self.stopped => None,
            () = self.auth.over() => None,
            answer = next => if let Some(answer) = answer {
                self.comments.reset();
                self.state.http_metrics.answer(&answer);
                self.auth.admits().await.then(|| reserve(event(&answer), memory, self.holder))
            } else {
                self.answers = None;
                Some(Bytes::from_static(COMPLETE))
            },
            _ = self.comments.tick() => Some(Bytes::from_static(COMMENT)),
        }
    }
}

/// Writes an event. The JSON of an answer has no line breaks, so it is one data line.
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

/// Counts the bytes of an event until they are written.
fn reserve(event: Vec<u8>, memory: &Arc<Budget>, holder: Holder) -> Bytes {
    let mut reservation = memory.nothing(holder);
    reservation.grow_required(event.len());
    budget::attach(event.into(), reservation)
}
