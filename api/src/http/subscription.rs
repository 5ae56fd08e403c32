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
    engine::prepare::Prepared,
    graphql::FeedSource,
    http::{
        Front,
        access_log::Following,
        operation::{Answer, Caller},
    },
    service::Operation,
};

impl Front {
    /// Follows a subscription; a panic ends its stream with an error.
    pub fn subscribe(self: &Arc<Self>, prepared: Prepared, caller: Caller) -> BoxStream<'static, Answer> {
        let mut following = Following::new(self, &caller, prepared.field.clone());
        let (client, position) = (Arc::clone(&caller.client), caller.position.clone());
        let outline = Arc::clone(&prepared.outline);
        let (front, feed) = (Arc::clone(self), Arc::default());
        let mut subscription = Subscription { front, prepared, caller, feed, responses: None };
        subscription.begin();
        AssertUnwindSafe(poll_fn(move |cx| subscription.poll_next(cx)))
            .catch_unwind()
            .map(move |item| match item {
                Ok(mut response) => {
                    outline.restore(&mut response);
                    let cursor = position.as_ref().and_then(|position| position.take_cursor());
                    Answer { cursor, ..Answer::new(response, &client.request_id) }
                }
                Err(_) => Answer::failure(ErrorCode::InternalServerError, "The server failed.", &client.request_id),
            })
            .inspect(move |answer| following.note(answer))
            .boxed()
    }
}

/// What the library runs for a subscription takes kilobytes, most of it the document and what is kept of it while an
/// event is answered. While a feed waits that is dropped, and made again for the next event, unless that takes long.
struct Subscription {
    front: Arc<Front>,
    prepared: Prepared,
    caller: Caller,
    feed: Arc<FeedSource>,
    responses: Option<BoxStream<'static, Response>>,
}

impl Subscription {
    fn begin(&mut self) {
        let Caller { client, viewer, position } = self.caller.clone();
        let parts = &self.front.parts;
        let op = Operation::new(Arc::clone(&parts.backend), client, viewer);
        self.responses = Some(parts.schema.follow(&self.prepared, op, &self.feed, position));
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
