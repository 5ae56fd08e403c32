//! The schema as a whole: an engine that runs it, and its definition as text.

use async_graphql::{SDLExportOptions, SchemaBuilder};

use crate::config::graphql::Graphql;
use crate::engine::{self, SetupError};
use crate::graphql::roots::{Mutation, Query, Subscription};

/// The engine that runs this schema.
pub type Engine = engine::Engine<Query, Mutation, Subscription>;

/// Creates the engine. With `traces_fields`, fields get spans for a collector of traces.
pub fn engine(settings: Graphql, traces_fields: bool) -> Result<Engine, SetupError> {
    Engine::new(settings, traces_fields)
}

/// Starts building the schema as the library executes it.
#[must_use]
pub fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    engine::schema_builder()
}

/// Returns the schema in the schema definition language, in a stable order.
#[must_use]
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .include_specified_by()
        .prefer_single_line_descriptions();
    builder().finish().sdl_with_options(options)
}
