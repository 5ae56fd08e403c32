//! The subscription to performance metrics.

use async_graphql::{Context, Subscription};
use futures_util::{Stream, StreamExt};

use crate::graphql::{error::Result, request_scope::RequestScope, types::metric::PerformanceMetric};
use crate::service::metrics;

/// Metrics as they are recorded.
#[derive(Default)]
pub struct MetricSubscription;

/// Metrics as they are recorded.
#[Subscription]
impl MetricSubscription {
    /// Each metric that is recorded from now on, on whichever node; needs the role ADMIN.
    ///
    /// None is missed while the stream lasts; it ends with its connection when the role is lost.
    async fn metric_recorded(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of one of these names, at most 100; all, if it is left out.")] names: Option<Vec<String>>,
    ) -> Result<impl Stream<Item = Result<PerformanceMetric>> + use<>> {
        let scope = RequestScope::of(ctx).clone();
        let admin = scope.request().admin()?;
        let names = names.map(|names| metrics::names("names", &names)).transpose()?;
        let metrics = metrics::follow(admin, names).await?;
        Ok(metrics.map(move |metric| {
            let metric = metric?;
            Ok(PerformanceMetric::new(&scope, metric))
        }))
    }
}
