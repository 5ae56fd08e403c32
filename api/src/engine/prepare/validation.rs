//! Runs async-graphql's strict validation once per document, apart from execution.
//!
//! async-graphql validates within every execution. An extension that skips the validation would box a future for every
//! field. So a second schema, which never executes anything, holds the strict rules. Execution does not validate,
//! except for introspection, which runs with `ValidationMode::Fast`.

use std::sync::{Arc, OnceLock};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::futures_util::FutureExt;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::registry::Registry;
use async_graphql::{
    ObjectType, Request, Response, SchemaBuilder, SchemaEnv, ServerError, SubscriptionType, ValidationResult, Variables,
};

use crate::{domain::ErrorCode, engine::RequestError};

/// Maximum number of errors that are reported for one document.
const MAX_ERRORS: usize = 10;

/// Validator of documents against the schema.
pub(super) struct Validator {
    validate: Box<dyn Fn(Request) -> Option<Response> + Send + Sync>,
    env: SchemaEnv,
}

impl Validator {
    /// Creates a validator for a schema. `None` if async-graphql no longer validates in one poll.
    pub(super) fn new<Q, M, S>(schema: SchemaBuilder<Q, M, S>) -> Option<Self>
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        let seen = Arc::new(OnceLock::new());
        let schema = schema.disable_suggestions().extension(Stop(seen.clone())).finish();
        // Validation waits for nothing, so one poll completes it.
        let validate = move |request: Request| schema.execute(request).now_or_never();
        validate(Request::new("{ __typename }"))?;
        Some(Self { validate: Box::new(validate), env: seen.get()?.clone() })
    }

    /// Returns the schema's environment, with its types.
    pub(super) fn env(&self) -> &SchemaEnv {
        &self.env
    }

    /// Returns the types of the schema.
    pub(super) fn registry(&self) -> &Registry {
        &self.env.registry
    }

    /// Runs the strict rules. Literals with variables are checked as far as `variables` has values for `operation`.
    pub(super) fn validate(
        &self,
        document: &ExecutableDocument,
        operation: Option<&str>,
        variables: Variables,
    ) -> Result<(), Vec<RequestError>> {
        let mut request = Request::new("").variables(variables);
        request.operation_name = operation.map(str::to_owned);
        request.set_parsed_query(document.clone());
        let Some(response) = (self.validate)(request) else {
            return Err(RequestError::new(ErrorCode::InternalServerError, "Validation did not complete.").into());
        };
        if response.errors.is_empty() {
            return Ok(());
        }
        let errors = response.errors.into_iter().take(MAX_ERRORS).map(|error| RequestError {
            locations: error.locations,
            ..RequestError::new(ErrorCode::GraphqlValidationFailed, error.message)
        });
        Err(errors.collect())
    }
}

/// Extension that ends every request after validation, and captures the schema's environment.
struct Stop(Arc<OnceLock<SchemaEnv>>);

impl ExtensionFactory for Stop {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self(self.0.clone()))
    }
}

#[async_trait]
impl Extension for Stop {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        self.0.get_or_init(|| ctx.schema_env.clone());
        next.run(ctx).await?;
        Err(Vec::new())
    }
}
