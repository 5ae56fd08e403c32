//! An event of the feed on its way to readers.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use crate::{domain::FeedEvent, service::RequestContext};

/// Name of the list that the feed's cursors belong to.
pub(super) const LIST: &str = "feed";

/// An event and the cursor that resumes behind it.
pub struct Delivery {
    /// Opaque to clients.
    pub cursor: String,
    /// What happened.
    pub event: FeedEvent,
    /// What the first reader derived from it, such as its JSON. All readers of the event share it.
    pub memo: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Delivery {
    /// Seals the cursor of an event.
    pub(super) fn new(context: &RequestContext, event: FeedEvent) -> Arc<Self> {
        Arc::new(Self { cursor: context.seal_cursor(LIST, &event.sequence), event, memo: OnceLock::new() })
    }
}
