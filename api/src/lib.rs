//! The GraphQL backend of an end-to-end encrypted messenger, as a library that the binary and the tests share.

pub mod bus;
pub mod cache;
pub mod config;
pub mod crypto;
pub mod domain;
pub mod graphql;
pub mod service;
pub mod store;
