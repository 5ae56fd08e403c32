//! Spans of fields, for a trace collector.
//!
//! With an extension, async-graphql boxes a future for each field. So this extension is added only if a collector is
//! configured.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo};
use async_graphql::{ServerResult, Value};
use async_trait::async_trait;
use tracing::{Instrument, field::Empty};

/// Extension that creates a span for each field that async-graphql resolves.
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
        // Names of the schema only. Aliases are chosen by clients.
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
