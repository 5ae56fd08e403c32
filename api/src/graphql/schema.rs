//! Putting the schema together, printing it, and giving each request what its resolvers need.

use std::sync::Arc;

use async_graphql::{Data, Response, SDLExportOptions, ValidationMode};
use futures_util::stream::BoxStream;

use crate::{
    engine::{
        executor::Executor,
        field_spans::Fields,
        load_queue::Loads,
        prepare::{Documents, PreparedOperation, SetupError},
    },
    graphql::{
        request_scope::Scope,
        roots::{Mutation, Query, Subscription},
        subscriptions::feed::{FeedSource, StreamPosition},
    },
    service::RequestContext,
};

/// A schema as the library executes it.
type Executable = async_graphql::Schema<Query, Mutation, Subscription>;

/// The schema before it is finished.
pub type Builder = async_graphql::SchemaBuilder<Query, Mutation, Subscription>;

/// What both the schema that answers and the one that judges documents are made of.
#[must_use]
pub fn builder() -> Builder {
    async_graphql::Schema::build(Query::default(), Mutation::default(), Subscription::default())
}

/// What answers. It does not validate: `documents` has done so, once for each text.
pub struct Schema {
    library: Executable,
    executor: Option<Executor<Query, Mutation>>,
}

impl Schema {
    /// One for these documents; it shows every field to a collector of traces, or does not.
    pub fn new(documents: &Documents, traces_fields: bool) -> Result<Self, SetupError> {
        let schema = builder().validation_mode(ValidationMode::Fast);
        if traces_fields {
            // Only the library runs extensions.
            return Ok(Self::of(schema.extension(Fields).data(Fields).finish()));
        }
        let executor = Executor::new(documents.types()).ok_or(SetupError::Library)?;
        Ok(Self { library: schema.finish(), executor: Some(executor) })
    }

    /// The library's way of all operations.
    pub(crate) fn of(library: Executable) -> Self {
        Self { library, executor: None }
    }

    /// Runs a query or a mutation.
    pub async fn execute(&self, prepared: PreparedOperation, context: RequestContext, loads: Loads) -> Response {
        let scope = Scope::new(context, Some(loads), prepared.shape.repeats());
        let executable = match &self.executor {
            Some(executor) => prepared.into_executable().map(|executable| (executor, executable)),
            None => Err(prepared),
        };
        match executable {
            Ok((executor, executable)) => {
                let mut data = Data::default();
                data.insert(scope);
                executor.run(executable, data).await
            }
            Err(prepared) => self.library.execute(prepared.request().data(scope)).await,
        }
    }

    /// The answers of a subscription, from where its feed is; an event stream's position is noted.
    pub fn follow(
        &self,
        prepared: &PreparedOperation,
        context: RequestContext,
        feed: &Arc<FeedSource>,
        position: Option<Arc<StreamPosition>>,
    ) -> BoxStream<'static, Response> {
        let scope = Scope::new(context, None, prepared.shape.repeats());
        let mut request = prepared.request().data(scope).data(Arc::clone(feed));
        if let Some(position) = position {
            request = request.data(position);
        }
        self.library.execute_stream(request)
    }
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
