//! What only operators see.

use async_graphql::{Context, ID, Object};

use crate::domain::{self, AdminUserId, AuditFilter, Timestamp};
use crate::engine::SingleField;
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf, lookup, object};
use crate::graphql::error::Result;
use crate::graphql::loaders::SessionsOf;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::types::audit::AuditLogFilter;
use crate::graphql::types::connection::{Connection, arguments};
use crate::graphql::types::health::Health;
use crate::graphql::types::metric::{MetricBucket, MetricFilter};
use crate::graphql::types::user::User;
use crate::graphql::types::viewer::Role;
use crate::service;

/// What only operators see.
pub(crate) struct Admin {
    scope: RequestScope,
}

/// An account as operators see it.
pub(crate) type AdminUser = Scoped<domain::AdminUser>;

/// What only operators see.
#[Object]
impl Admin {
    /// All accounts by name, in use or not.
    async fn users(
        &self,
        #[graphql(desc = "How the name begins, in upper or lower case.")] search: Option<String>,
        #[graphql(desc = "How many from the start.")] first: Option<i32>,
        #[graphql(desc = "Only what stands behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what stands before this cursor.")] before: Option<String>,
    ) -> Result<Connection<domain::AdminUser>> {
        let page = arguments(first, after, last, before);
        let accounts = service::admin::list(self.scope.request().admin()?, search.as_deref(), &page).await?;
        Ok(Connection::new(&self.scope, accounts))
    }

    /// The audit trail of all accounts, newest first.
    async fn audit_logs(
        &self,
        #[graphql(desc = "Which entries; all if it is left out.")] filter: Option<AuditLogFilter>,
        #[graphql(desc = "How many from the start.")] first: Option<i32>,
        #[graphql(desc = "Only what stands behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what stands before this cursor.")] before: Option<String>,
    ) -> Result<Connection<domain::AuditLog>> {
        let filter = filter.map(AuditFilter::try_from).transpose()?.unwrap_or_default();
        let page = arguments(first, after, last, before);
        let entries = service::audit::list(self.scope.request().admin()?, &filter, &page).await?;
        Ok(Connection::new(&self.scope, entries))
    }

    /// Performance metrics, newest first.
    async fn metrics(
        &self,
        #[graphql(desc = "Which metrics; all if it is left out.")] filter: Option<MetricFilter>,
        #[graphql(desc = "How many from the start.")] first: Option<i32>,
        #[graphql(desc = "Only what stands behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what stands before this cursor.")] before: Option<String>,
    ) -> Result<Connection<domain::PerformanceMetric>> {
        let filter = filter.map(domain::MetricFilter::try_from).transpose()?.unwrap_or_default();
        let page = arguments(first, after, last, before);
        let metrics = service::metrics::list(self.scope.request().admin()?, filter, &page).await?;
        Ok(Connection::new(&self.scope, metrics))
    }

    /// The metrics of one name by buckets of time, in order; buckets without any are left out.
    async fn metric_series(
        &self,
        #[graphql(desc = "What was measured.")] name: String,
        #[graphql(desc = "Not before this time.")] since: Timestamp,
        #[graphql(desc = "Before this time; now, if it is left out.")] until: Option<Timestamp>,
        #[graphql(desc = "How long each bucket is: such that there are at most 1000.")] bucket_seconds: i32,
    ) -> Result<Vec<MetricBucket>> {
        let admin = self.scope.request().admin()?;
        let buckets = service::metrics::series(admin, &name, (since, until), bucket_seconds).await?;
        Ok(buckets.into_iter().map(MetricBucket::from).collect())
    }

    /// How the server and its parts are.
    async fn health(&self) -> Result<Health> {
        Ok(Health(service::ops::health::report(self.scope.request().admin()?).await))
    }
}

impl JsonObject for domain::AdminUser {
    type Context = RequestScope;
    const NAME: &'static str = "AdminUser";
    const DESCRIPTION: &'static str = "An account as operators see it.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global and stable.", |it, out| out.plain(AdminUserId(it.user_id.0))),
        object::<_, User>("user", "The user as others see it.", |it: &Self, entry, out| out.linked(&it.user_id, entry)),
        leaf::<_, String>("email", "The address that mail goes to.", |it, out| out.text(&it.email)),
        leaf::<_, Role>("role", "What the account may do.", |it, out| out.choice(Role::from(it.role))),
        leaf::<_, Option<Timestamp>>(
            "lastLoginAt",
            "The latest sign-in with a password or passkey; null before the first.",
            |it, out| out.or_null(it.last_login_at, Writer::time),
        ),
        lookup::<_, i64>("activeSessionCount", "How many sessions have not ended.", |it: &Self, entry, out| {
            out.with(&SessionsOf(it.user_id), entry, |out, count| {
                out.json(count);
                Ok(())
            })
        }),
    ];
}

/// What only operators see.
#[derive(Default)]
pub struct AdminQuery;

/// What only operators see.
#[Object]
impl AdminQuery {
    /// What operators see; null, with FORBIDDEN, without the role ADMIN.
    async fn admin(&self, ctx: &Context<'_>) -> Result<Option<SingleField<Admin>>> {
        let scope = RequestScope::of(ctx).clone();
        scope.request().admin()?;
        Ok(Some(SingleField(Admin { scope })))
    }
}
