//! Putting the schema together, printing it, and giving each request what its resolvers need.

use std::sync::OnceLock;

use async_graphql::{Request, SDLExportOptions, ValidationMode};

use super::{
    documents::Outline,
    fields::Fields,
    loads::Loads,
    roots::{Mutation, Query, Subscription},
    scope::Scope,
};
use crate::service::Operation;

/// A schema as the library executes it.
pub type Executable = async_graphql::Schema<Query, Mutation, Subscription>;

/// The schema before it is finished.
pub type Builder = async_graphql::SchemaBuilder<Query, Mutation, Subscription>;

/// What both the schema that answers and the one that judges documents are made of.
#[must_use]
pub fn builder() -> Builder {
    async_graphql::Schema::build(Query::default(), Mutation::default(), Subscription::default())
}

/// What answers. It does not validate: `documents` has done so, once for each text.
pub struct Schema {
    data: Executable,
    /// Answers questions about the schema, and is made when the first is asked.
    about: OnceLock<Executable>,
    traces_fields: bool,
}

impl Schema {
    /// One that shows every field to a collector of traces, or does not.
    #[must_use]
    pub fn new(traces_fields: bool) -> Self {
        // For every field of the root of queries the library looks through all types for some of a federation, 7 % of what a small
        // answer takes; told that there are some, it does not. It would show them then, so whatever asks about types is
        // answered elsewhere, and documents are judged by the types without them.
        Self { data: executable(builder().enable_federation(), traces_fields), about: OnceLock::new(), traces_fields }
    }

    /// The same of a schema that is there.
    #[cfg(test)]
    pub(crate) fn of(data: Executable) -> Self {
        Self { data, about: OnceLock::new(), traces_fields: false }
    }

    /// What executes documents, of those that ask about the schema or of all others.
    #[must_use]
    pub fn executable(&self, introspects: bool) -> &Executable {
        if introspects { self.about.get_or_init(|| executable(builder(), self.traces_fields)) } else { &self.data }
    }
}

fn executable(schema: Builder, traces_fields: bool) -> Executable {
    let schema = schema.validation_mode(ValidationMode::Fast);
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
    builder().finish().sdl_with_options(options)
}

/// Gives a request who asks of which backend, and where its loads go.
#[must_use]
pub fn attach(request: Request, op: Operation, loads: Option<Loads>, outline: &Outline) -> Request {
    request.data(Scope::new(op, loads, outline.repeats()))
}
