//! Feeds and subscriptions: their events, the order of events, and resuming after a cursor.

mod message_feed;
mod pages;
mod user_changes;
