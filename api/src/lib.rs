//! The GraphQL backend of an end-to-end encrypted messenger, as a library that the binary and the tests share.

pub mod app;
pub mod budget;
pub mod bus;
pub mod cache;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod domain;
pub mod engine;
pub mod graphql;
pub mod http;
pub mod limiter;
pub mod mail;
pub mod redis_client;
pub mod service;
pub mod store;
pub mod telemetry;
