//! The GraphQL schema: types, fields and descriptions. Rules live in `service`, execution in `engine`.
#![expect(clippy::unused_async, reason = "the library's macros need async functions, even without an await")]

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
pub use self::schema::{DEFINITION, Engine, engine, sdl};
