//! Subscriptions of the schema.

pub(super) mod feed;
pub(super) mod metric;
pub(super) mod session;
pub(super) mod user;
