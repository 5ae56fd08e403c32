//! A feed event as it is delivered to readers.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use crate::{budget::Reservation, domain::FeedEvent, service::RequestContext};

/// Name of the list that the feed's cursors belong to.
pub(super) const LIST: &str = "feed";

/// An event and the cursor that resumes after it.
pub struct Delivery {
    /// Cursor, opaque to clients.
    pub cursor: String,
    /// The event of the mailbox.
    pub event: FeedEvent,
    /// Value that the first reader derived from the event, such as its JSON. All readers of the event share it.
    pub memo: OnceLock<Box<dyn Any + Send + Sync>>,
    /// Memory of the batch that the event was read in. Released with the last event of the batch.
    pub memory: Option<Arc<Reservation>>,
}

impl Delivery {
    /// Creates a delivery and seals its cursor.
    pub(super) fn new(context: &RequestContext, event: FeedEvent, memory: Option<Arc<Reservation>>) -> Arc<Self> {
        let cursor = context.seal_cursor(LIST, &event.sequence);
        Arc::new(Self { cursor, event, memo: OnceLock::new(), memory })
    }
}
