//! The schema: its types, fields and descriptions. Rules live in `service`, execution in `engine`.
#![expect(clippy::unused_async, reason = "the library's macros take async functions, also where nothing is awaited")]

mod batch;
mod error;
mod feed_source;
mod json;
mod loaders;
mod mutations;
mod request_scope;
mod roots;
mod scalars;
mod schema;
mod subscriptions;
#[cfg(test)]
mod tests;
mod types;

pub use self::feed_source::StreamPosition;
pub use self::request_scope::RequestScope;
pub use self::schema::{Engine, builder, engine, sdl};
