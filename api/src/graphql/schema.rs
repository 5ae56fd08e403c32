//! The schema: an engine that runs it, its definition as text, and its guide for authors of clients.

use async_graphql::{ID, Json, SDLExportOptions, Schema, SchemaBuilder};
use serde_json::Value;

use crate::config::graphql::Graphql;
use crate::domain::Timestamp;
use crate::engine::{self, Definition, SetupError};
use crate::graphql::roots::{Mutation, Query, Subscription};

/// The engine that runs this schema.
pub type Engine = engine::Engine<Query, Mutation, Subscription>;

/// The schema and its description, a guide for authors of clients.
pub const DEFINITION: Definition<Query, Mutation, Subscription> =
    Definition { build, description: include_str!("guide.md") };

/// Start of the schema definition in the library's text.
const SCHEMA: &str = "schema {";

/// Creates the engine. With `traces_fields`, fields get spans for a collector of traces.
pub fn engine(settings: Graphql, traces_fields: bool) -> Result<Engine, SetupError> {
    Engine::new(&DEFINITION, settings, traces_fields)
}

/// Returns the schema in the schema definition language: the schema definition with the guide, then the types by name.
#[must_use]
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .sorted_fields()
        .sorted_enum_items()
        .include_specified_by()
        .prefer_single_line_descriptions();
    let sdl = build().finish().sdl_with_options(options);
    // The library writes the schema definition last and without a description.
    let (types, roots) = sdl.rsplit_once(SCHEMA).unwrap_or((&sdl, ""));
    let (guide, types) = (DEFINITION.description.trim_end(), types.trim_end());
    format!("\"\"\"\n{guide}\n\"\"\"\n{SCHEMA}{roots}\n{types}\n")
}

/// Starts building the schema, with descriptions of the scalars that the library defines.
fn build() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .override_input_type_description::<Timestamp>(
            "A point in time as an RFC 3339 string, such as `2026-11-28T10:59:59.001234+00:00`.

Results are in UTC, with at most six fractional digits. Arguments may have any offset.",
        )
        .override_input_type_description::<Json<Value>>("Any JSON value.")
        .override_input_type_description::<ID>(
            "An opaque id, such as `user_01h455vb4pex5vsknk084sn02q`.

An id names the type of its object. The id of an object of another type fails with `BAD_USER_INPUT`.",
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorCode;

    #[test]
    fn the_guide_lists_every_error_code() {
        let is_listed = |code: &ErrorCode| DEFINITION.description.contains(&format!("`{}`", code.as_str()));
        let missing: Vec<_> = ErrorCode::ALL.into_iter().filter(|code| !is_listed(code)).collect();
        assert_eq!(missing, []);
    }
}
