//! Types of the schema, with the queries that return them.

pub(super) mod admin;
pub(super) mod audit;
pub(super) mod connection;
pub(super) mod conversation;
pub(super) mod feed;
pub(super) mod health;
pub(super) mod message;
pub(super) mod metric;
pub(super) mod node;
pub(super) mod passkey;
pub(super) mod service_config;
pub(super) mod session;
pub(super) mod user;
pub(super) mod viewer;
