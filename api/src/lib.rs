//! The GraphQL backend of an end-to-end encrypted messenger, as a library that the binary and the tests share.

pub mod app;
pub mod bus;
pub mod cache;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod data_dir;
pub mod domain;
pub mod graphql;
pub mod http;
pub mod limiter;
pub mod link;
pub mod mail;
pub mod service;
pub mod store;
pub mod telemetry;
