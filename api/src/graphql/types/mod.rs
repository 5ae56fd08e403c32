//! Types of the schema, with the queries that return them.

pub mod admin;
pub mod audit;
pub mod connection;
pub mod conversation;
pub mod health;
pub mod message;
pub mod metric;
pub mod node;
pub mod public_keys;
pub mod service_config;
pub mod session;
pub mod user;
pub mod viewer;
