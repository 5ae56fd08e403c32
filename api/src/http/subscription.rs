//! Subscriptions under way: an answer for each event, and next to nothing held while there is none.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_graphql::Response;
use futures_util::{
    StreamExt,
    stream::{BoxStream, poll_fn},
};

use crate::{
    domain::ErrorCode,
    engine::prepare::PreparedOperation,
    graphql::FeedSource,
    http::{
        AppState,
        access_log::StreamLog,
        operation::{Answer, Caller},
    },
    service::RequestContext,
};

impl AppState {
    /// Follows a subscription; a panic ends its stream with an error.
    pub fn subscribe(self: &Arc<Self>, prepared: PreparedOperation, caller: Caller) -> BoxStream<'static, Answer> {
        let mut stream_log = StreamLog::new(self, &caller, prepared.field.clone());
        let (client, position) = (Arc::clone(&caller.client), caller.position.clone());
        let shape = Arc::clone(&prepared.shape);
        let (state, feed) = (Arc::clone(self), Arc::default());
        let mut subscription = Subscription { state, prepared, caller, feed, responses: None };
        subscription.begin();
        AssertUnwindSafe(poll_fn(move |cx| subscription.poll_next(cx)))
            .catch_unwind()
            .map(move |item| match item {
                Ok(mut response) => {
                    shape.restore(&mut response);
                    let cursor = position.as_ref().and_then(|position| position.take_cursor());
                    Answer { cursor, ..Answer::new(response, &client.request_id) }
                }
                Err(_) => Answer::failure(ErrorCode::InternalServerError, "The server failed.", &client.request_id),
            })
            .inspect(move |answer| stream_log.note(answer))
            .boxed()
    }
}

/// What the library runs for a subscription takes kilobytes, most of it the document and what is kept of it while an
/// event is answered. While a feed waits that is dropped, and made again for the next event, unless that takes long.
struct Subscription {
    state: Arc<AppState>,
    prepared: PreparedOperation,
    caller: Caller,
    feed: Arc<FeedSource>,
    responses: Option<BoxStream<'static, Response>>,
}

impl Subscription {
    fn begin(&mut self) {
        let Caller { client, viewer, position } = self.caller.clone();
        let deps = &self.state.deps;
        let op = RequestContext::new(Arc::clone(&deps.backend), client, viewer);
        self.responses = Some(deps.schema.follow(&self.prepared, op, &self.feed, position));
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Response>> {
        loop {
            if let Some(responses) = &mut self.responses {
                match responses.poll_next_unpin(cx) {
                    Poll::Pending if self.prepared.is_small() && self.feed.is_waiting() => self.responses = None,
                    polled => return polled,
                }
            } else if ready!(self.feed.poll_ready(cx)) {
                self.begin();
            } else {
                return Poll::Ready(None);
            }
        }
    }
}
