//! Feeds and subscriptions: what happened, in order, and resuming after a cursor.

mod message_feed;
mod pages;
mod user_changes;
