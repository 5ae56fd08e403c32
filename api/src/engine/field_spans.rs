//! A span for every field, for whoever collects traces.
//!
//! The library makes a boxed future of every field once an extension watches them, so it is only added where a
//! collector is named.

use std::sync::Arc;

use async_graphql::{
    ContextBase, ServerResult, Value,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo},
};
use async_trait::async_trait;
use tracing::{Instrument, field::Empty};

/// Makes the spans.
pub(crate) struct Fields;

/// Whether each field has to be resolved by the library, which shows it to whoever watches.
pub(crate) fn are_watched<T>(ctx: &ContextBase<'_, T>) -> bool {
    ctx.data_opt::<Fields>().is_some()
}

impl ExtensionFactory for Fields {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Extension for Fields {
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
