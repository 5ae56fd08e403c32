//! Subscriptions.

pub mod feed;
