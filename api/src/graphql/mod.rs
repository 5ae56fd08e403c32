//! The words of the API: types, fields and their descriptions. Rules live in `service`.
#![expect(clippy::unused_async, reason = "the library's macros take async functions, also where nothing is awaited")]

mod account;
mod admin;
mod audit;
mod connection;
mod conversation;
pub mod documents;
mod error;
mod executor;
mod feed;
mod fields;
mod health;
mod loaders;
mod loads;
mod message;
mod metric;
mod node;
mod one_time_token;
mod passkey;
mod public_keys;
pub mod response;
mod roots;
mod scalars;
mod schema;
mod scope;
mod service_config;
mod session;
mod user;
mod viewer;
mod written;

pub use feed::{FeedSource, StreamPosition};
pub use loads::Loads;
pub use schema::{Builder, Schema, builder, sdl};
