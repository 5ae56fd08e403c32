//! The subscription to performance metrics.

use async_graphql::{Context, Subscription};
use futures_util::{Stream, StreamExt};

use crate::graphql::{error::Result, request_scope::RequestScope, types::metric::PerformanceMetric};
use crate::service::metrics;

/// Subscription to performance metrics.
#[derive(Default)]
pub struct MetricSubscription;

/// Subscription to performance metrics.
#[Subscription]
impl MetricSubscription {
    /// Each metric that any node records from now on.
    ///
    /// No metric is missed while the stream lasts. The connection closes when the caller loses the role `ADMIN`.
    ///
    /// Fails with:
    /// - `FORBIDDEN` without the role `ADMIN`
    /// - `BAD_USER_INPUT` if there are more than 100 names
    /// - `UNAUTHENTICATED` without a session
    async fn metric_recorded(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only metrics with these names, at most 100. All metrics if omitted.")] names: Option<
            Vec<String>,
        >,
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
