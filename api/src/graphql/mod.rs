//! The words of the API: types, fields and their descriptions. Rules live in `service`.
#![expect(clippy::unused_async, reason = "the library's macros take async functions, also where nothing is awaited")]

pub(crate) mod error;
pub(crate) mod loaders;
mod mutations;
pub(crate) mod request_scope;
mod roots;
pub(crate) mod scalars;
mod schema;
mod subscriptions;
mod types;

pub use self::{
    schema::{Builder, Schema, builder, sdl},
    subscriptions::feed::{FeedSource, StreamPosition},
};
