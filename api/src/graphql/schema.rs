//! Putting the schema together, printing it, and giving each request what its resolvers need.

use async_graphql::{Request, SDLExportOptions, ValidationMode};

use super::{
    documents::Outline,
    fields::Fields,
    loads::Loads,
    roots::{Mutation, Query, Subscription},
    scope::Scope,
};
use crate::service::Operation;

/// The executable schema.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// The schema before it is finished.
pub type Builder = async_graphql::SchemaBuilder<Query, Mutation, Subscription>;

/// What both the schema that answers and the one that judges documents are made of.
#[must_use]
pub fn builder() -> Builder {
    async_graphql::Schema::build(Query::default(), Mutation::default(), Subscription::default())
}

/// The schema that answers. It does not validate: `documents` has done so, once for each text.
#[must_use]
pub fn schema(traces_fields: bool) -> Schema {
    let schema = builder().validation_mode(ValidationMode::Fast);
    if traces_fields { schema.extension(Fields).data(Fields).finish() } else { schema.finish() }
}

/// The schema in the schema definition language, in a stable order.
#[must_use]
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .include_specified_by()
        .prefer_single_line_descriptions();
    schema(false).sdl_with_options(options)
}

/// Gives a request who asks of which backend, and where its loads go.
#[must_use]
pub fn attach(request: Request, op: Operation, loads: Option<Loads>, outline: &Outline) -> Request {
    request.data(Scope::new(op, loads, outline.repeats()))
}
