//! Every test that runs against the whole system, as one binary.

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
