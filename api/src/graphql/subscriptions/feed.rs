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

/// Events of the caller's mailbox.
#[derive(Default)]
pub struct FeedSubscription;

/// Events of the caller's mailbox.
#[Subscription]
impl FeedSubscription {
    /// Every event of the caller's mailbox in order, none missed and none twice.
    ///
    /// First those behind `after` (all that are kept, if it is left out), then CAUGHT_UP, then each as it commits.
    async fn message_feed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The cursor of the last event that was seen.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<MessageFeedEvent>> + use<>> {
        let scope = RequestScope::of(ctx).clone();
        // A browser that reconnects repeats its first request, and says in a header how far it has come since.
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
