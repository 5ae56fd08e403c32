//! The message feed's events.

use async_graphql::{Enum, ID, Object};

use super::{message::Message, scope::Scope};
use crate::{domain, service::feed::Delivery};

/// The cursor that a client of Server-Sent Events resumes behind (`Last-Event-ID`).
pub struct LastEventId(pub String);

/// One event of the caller's mailbox.
pub(super) struct MessageFeedEvent {
    pub(super) scope: Scope,
    pub(super) delivery: Delivery,
}

/// What an event of the feed says.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::FeedEventKind")]
pub(super) enum MessageFeedEventKind {
    /// A message was sent, by the caller or to it.
    Sent,
    /// A message was marked read.
    Read,
    /// A message was deleted on the caller's side.
    Deleted,
    /// The backlog has ended; what follows is live.
    CaughtUp,
    /// Events before this point are no longer kept: read the conversations anew.
    Gap,
}

/// One event of the caller's mailbox.
#[Object]
impl MessageFeedEvent {
    /// Resumes behind this event; opaque, and good for this user only.
    async fn cursor(&self) -> &str {
        &self.delivery.cursor
    }

    /// What happened.
    async fn kind(&self) -> MessageFeedEventKind {
        self.delivery.event.kind.into()
    }

    /// The message it happened to; null for CAUGHT_UP and GAP.
    async fn message_id(&self) -> Option<ID> {
        self.delivery.event.message_id.map(|id| id.to_string().into())
    }

    /// That message as it is now; null for CAUGHT_UP and GAP, and once the caller has deleted it.
    async fn message(&self) -> Option<Message> {
        let message = self.delivery.event.message.clone()?;
        Some(Message { scope: self.scope.clone(), message })
    }
}
