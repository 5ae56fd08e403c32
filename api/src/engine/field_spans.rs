//! Spans of fields, for a collector of traces.
//!
//! With an extension the library boxes a future for each field, so this one is added only if a collector is configured.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo};
use async_graphql::{ServerResult, Value};
use async_trait::async_trait;
use tracing::{Instrument, field::Empty};

/// Creates a span for each field that the library resolves.
pub(crate) struct FieldSpans;

impl ExtensionFactory for FieldSpans {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Extension for FieldSpans {
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        // Names of the schema only: what a client calls a field is the client's.
        let span = tracing::debug_span!(
            "field",
            otel.name = format!("{}.{}", info.parent_type, info.name),
            otel.status_code = Empty,
            graphql.field.type = info.return_type,
        );
        let resolved = next.run(ctx, info).instrument(span.clone()).await;
        if resolved.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        resolved
    }
}
