//! The subscription to the message feed.

use std::task::Poll;

use async_graphql::{Context, Subscription};
use futures_util::{Stream, StreamExt, stream::poll_fn};

use crate::engine::FieldError;
use crate::graphql::error::Result;
use crate::graphql::feed_source::StreamPosition;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::types::feed::MessageFeedEvent;
use crate::service;

/// Subscription to the message feed.
#[derive(Default)]
pub struct FeedSubscription;

/// Subscription to the message feed.
#[Subscription]
impl FeedSubscription {
    /// Every event of the caller's mailbox in the order of commits, none missed and none twice.
    ///
    /// Delivers the events after the cursor, then `CAUGHT_UP`, then each new event as it commits. If events after the
    /// cursor are no longer kept, a `GAP` comes first. Over Server-Sent Events, the header `Last-Event-ID` takes
    /// precedence over `after`.
    ///
    /// Fails with:
    /// - `CURSOR_EXPIRED` if the cursor is from before a restore of the database
    /// - `BAD_USER_INPUT` if `after` is not a cursor of this feed
    /// - `UNAUTHENTICATED` without a session
    async fn message_feed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Cursor of the last event that the client processed. All kept events if omitted.")]
        after: Option<String>,
    ) -> Result<impl Stream<Item = Result<MessageFeedEvent>> + use<>> {
        let scope = RequestScope::of(ctx).clone();
        // A browser that reconnects repeats its first request, and sends the id of its latest event in a header.
        let after = scope.position().and_then(StreamPosition::last_event_id).or(after);
        if let Some(feed) = scope.feed() {
            feed.begin(|| Ok(service::feed::follow(scope.request().clone(), after.as_deref())?))?;
        }
        let events = scope.clone();
        Ok(poll_fn(move |cx| events.feed().map_or(Poll::Ready(None), |feed| feed.poll_next(cx))).map(move |delivery| {
            let delivery = delivery.map_err(FieldError::from)?;
            if let Some(position) = scope.position() {
                position.note(&delivery.cursor);
            }
            Ok(MessageFeedEvent::new(&scope, delivery))
        }))
    }
}
