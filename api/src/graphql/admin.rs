//! What only operators see.

use async_graphql::{Context, ID, Object};

use super::{
    audit::{AuditLog, AuditLogFilter},
    connection::{Connection, arguments},
    error::Result,
    loaders::SessionsOf,
    metric::{MetricBucket, MetricFilter, PerformanceMetric},
    scope::Scope,
    user::User,
    viewer::Role,
};
use crate::{
    domain::{self, AdminUserId, AuditFilter, Timestamp},
    service,
};

/// What only operators see.
pub(super) struct Admin {
    scope: Scope,
}

/// An account as operators see it.
pub(super) struct AdminUser {
    pub(super) scope: Scope,
    pub(super) account: domain::AdminUser,
}

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
    ) -> Result<Connection<AdminUser>> {
        let page = arguments(first, after, last, before);
        let accounts = service::admin::list(self.scope.op.admin()?, search.as_deref(), &page).await?;
        Ok(Connection::of(accounts, |account| AdminUser { scope: self.scope.clone(), account }))
    }

    /// The audit trail of all accounts, newest first.
    async fn audit_logs(
        &self,
        #[graphql(desc = "Which entries; all if it is left out.")] filter: Option<AuditLogFilter>,
        #[graphql(desc = "How many from the start.")] first: Option<i32>,
        #[graphql(desc = "Only what stands behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what stands before this cursor.")] before: Option<String>,
    ) -> Result<Connection<AuditLog>> {
        let filter = filter.map(AuditFilter::try_from).transpose()?.unwrap_or_default();
        let page = arguments(first, after, last, before);
        let entries = service::audit::list(self.scope.op.admin()?, &filter, &page).await?;
        Ok(Connection::of(entries, |entry| AuditLog { scope: self.scope.clone(), entry }))
    }

    /// Performance metrics, newest first.
    async fn metrics(
        &self,
        #[graphql(desc = "Which metrics; all if it is left out.")] filter: Option<MetricFilter>,
        #[graphql(desc = "How many from the start.")] first: Option<i32>,
        #[graphql(desc = "Only what stands behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what stands before this cursor.")] before: Option<String>,
    ) -> Result<Connection<PerformanceMetric>> {
        let filter = filter.map(domain::MetricFilter::try_from).transpose()?.unwrap_or_default();
        let page = arguments(first, after, last, before);
        let metrics = service::metrics::list(self.scope.op.admin()?, filter, &page).await?;
        Ok(Connection::of(metrics, PerformanceMetric))
    }

    /// The metrics of one name by buckets of time, in order; buckets without any are left out.
    async fn metric_series(
        &self,
        #[graphql(desc = "What was measured.")] name: String,
        #[graphql(desc = "Not before this time.")] since: Timestamp,
        #[graphql(desc = "Before this time; now, if it is left out.")] until: Option<Timestamp>,
        #[graphql(desc = "How long each bucket is: such that there are at most 1000.")] bucket_seconds: i32,
    ) -> Result<Vec<MetricBucket>> {
        let admin = self.scope.op.admin()?;
        let buckets = service::metrics::series(admin, &name, (since, until), bucket_seconds).await?;
        Ok(buckets.into_iter().map(MetricBucket::from).collect())
    }
}

/// An account as operators see it.
#[Object]
impl AdminUser {
    /// Global and stable.
    pub(super) async fn id(&self) -> ID {
        AdminUserId(self.account.user_id.0).to_string().into()
    }

    /// The user as others see it.
    async fn user(&self) -> Result<User> {
        User::load(&self.scope, self.account.user_id).await
    }

    /// The address that mail goes to.
    async fn email(&self) -> &str {
        &self.account.email
    }

    /// What the account may do.
    async fn role(&self) -> Role {
        self.account.role.into()
    }

    /// The latest sign-in with a password or passkey; null before the first.
    async fn last_login_at(&self) -> Option<Timestamp> {
        self.account.last_login_at
    }

    /// How many sessions have not ended.
    async fn active_session_count(&self) -> Result<i64> {
        Ok(self.scope.loader.load_one(SessionsOf(self.account.user_id)).await?.unwrap_or_default())
    }
}

/// What only operators see.
#[derive(Default)]
pub struct AdminQuery;

/// What only operators see.
#[Object]
impl AdminQuery {
    /// What operators see; null, with FORBIDDEN, without the role ADMIN.
    async fn admin(&self, ctx: &Context<'_>) -> Result<Option<Admin>> {
        let scope = Scope::of(ctx).clone();
        scope.op.admin()?;
        Ok(Some(Admin { scope }))
    }
}
