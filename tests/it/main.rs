//! All tests that run against the complete system, as one binary.

mod auth;
mod clustered;
mod database;
mod faults;
mod feed;
mod graphql;
mod messages;
mod ops;
mod tidy;
mod wire;
