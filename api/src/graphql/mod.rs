//! The words of the API: types, fields and their descriptions. Rules live in `service`.

mod account;
mod connection;
mod conversation;
mod error;
mod feed;
mod loaders;
mod message;
mod node;
mod roots;
mod scalars;
mod schema;
mod scope;
mod service_config;
mod session;
mod user;
mod viewer;

pub use schema::{Schema, attach, schema, sdl};
pub use feed::LastEventId;
