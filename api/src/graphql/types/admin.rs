//! Data that only operators can read.

use async_graphql::{Context, ID, Object};

use crate::domain::{self, AdminUserId, AuditFilter, PageArguments, Timestamp};
use crate::engine::SingleField;
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf, lookup, object};
use crate::graphql::error::Result;
use crate::graphql::loaders::SessionsOf;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::types::audit::AuditLogFilter;
use crate::graphql::types::connection::Connection;
use crate::graphql::types::health::Health;
use crate::graphql::types::metric::{MetricBucket, MetricFilter};
use crate::graphql::types::user::User;
use crate::graphql::types::viewer::Role;
use crate::service;

/// Data that only operators can read.
pub(crate) struct Admin {
    scope: RequestScope,
}

/// An account with the data that only operators can read.
pub(crate) type AdminUser = Scoped<domain::AdminUser>;

/// Data that only operators can read.
#[Object]
impl Admin {
    /// All accounts in the order of their usernames, deactivated ones included.
    async fn users(
        &self,
        #[graphql(desc = "Start of the username, in upper or lower case.")] search: Option<String>,
        #[graphql(desc = "Number of items from the start.")] first: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> Result<Connection<domain::AdminUser>> {
        let page = PageArguments { first, after, last, before };
        let accounts = service::admin::list(self.scope.request().admin()?, search.as_deref(), &page).await?;
        Ok(Connection::new(&self.scope, accounts))
    }

    /// The audit trail of all accounts, newest first.
    async fn audit_logs(
        &self,
        #[graphql(desc = "Filter. All entries if omitted.")] filter: Option<AuditLogFilter>,
        #[graphql(desc = "Number of items from the start.")] first: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> Result<Connection<domain::AuditLog>> {
        let filter = filter.map(AuditFilter::try_from).transpose()?.unwrap_or_default();
        let page = PageArguments { first, after, last, before };
        let entries = service::audit::list(self.scope.request().admin()?, &filter, &page).await?;
        Ok(Connection::new(&self.scope, entries))
    }

    /// Performance metrics, newest first.
    async fn metrics(
        &self,
        #[graphql(desc = "Filter. All metrics if omitted.")] filter: Option<MetricFilter>,
        #[graphql(desc = "Number of items from the start.")] first: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> Result<Connection<domain::PerformanceMetric>> {
        let filter = filter.map(domain::MetricFilter::try_from).transpose()?.unwrap_or_default();
        let page = PageArguments { first, after, last, before };
        let metrics = service::metrics::list(self.scope.request().admin()?, filter, &page).await?;
        Ok(Connection::new(&self.scope, metrics))
    }

    /// Metrics of one name, aggregated in buckets of time from the oldest to the newest.
    ///
    /// Buckets without metrics are omitted.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` if `bucketSeconds` is below 1, or if the range is empty or has more than 1000 buckets
    async fn metric_series(
        &self,
        #[graphql(desc = "Name of the metrics.")] name: String,
        #[graphql(desc = "Start of the range, included.")] since: Timestamp,
        #[graphql(desc = "End of the range, excluded. Now if omitted.")] until: Option<Timestamp>,
        #[graphql(desc = "Length of a bucket, in seconds.")] bucket_seconds: i32,
    ) -> Result<Vec<MetricBucket>> {
        let admin = self.scope.request().admin()?;
        let buckets = service::metrics::series(admin, &name, (since, until), bucket_seconds).await?;
        Ok(buckets.into_iter().map(MetricBucket::from).collect())
    }

    /// Health of the server and its components.
    async fn health(&self) -> Result<Health> {
        Ok(Health(service::ops::health::report(self.scope.request().admin()?).await))
    }
}

impl JsonObject for domain::AdminUser {
    type Context = RequestScope;
    const NAME: &'static str = "AdminUser";
    const DESCRIPTION: &'static str = "An account with the data that only operators can read.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global id, which never changes.", |it, out| out.plain(AdminUserId(it.user_id.0))),
        object::<_, User>("user", "Public profile of the account.", |it: &Self, entry, out| {
            out.linked(&it.user_id, entry)
        }),
        leaf::<_, String>("email", "E-mail address of the account.", |it, out| out.text(&it.email)),
        leaf::<_, Role>("role", "Role of the account.", |it, out| out.choice(Role::from(it.role))),
        leaf::<_, Option<Timestamp>>(
            "lastLoginAt",
            "Time of the latest sign-in with a password or a passkey. Null before the first.",
            |it, out| out.or_null(it.last_login_at, Writer::time),
        ),
        lookup::<_, i64>("activeSessionCount", "Number of active sessions.", |it: &Self, entry, out| {
            out.with(&SessionsOf(it.user_id), entry, |out, count| {
                out.json(count);
                Ok(())
            })
        }),
    ];
}

/// Query for operators.
#[derive(Default)]
pub struct AdminQuery;

/// Query for operators.
#[Object]
impl AdminQuery {
    /// Data for operators. Null if the caller does not have the role `ADMIN`.
    ///
    /// Fails with:
    /// - `FORBIDDEN` without the role `ADMIN`
    /// - `UNAUTHENTICATED` without a session
    async fn admin(&self, ctx: &Context<'_>) -> Result<Option<SingleField<Admin>>> {
        let scope = RequestScope::of(ctx).clone();
        scope.request().admin()?;
        Ok(Some(SingleField(Admin { scope })))
    }
}
