//! Every test that runs against the whole system, as one binary.

mod auth;
mod clocks;
mod clustered;
mod contention;
mod database;
mod feed;
mod graphql;
mod judge;
mod messages;
mod ops;
mod races;
mod survival;
mod tidy;
mod wire;
