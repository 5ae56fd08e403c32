//! The audit trail.

use async_graphql::{ID, InputObject, Json, Object};
use serde_json::Value;

use super::{
    error::{Error, Result},
    scalars::parse_id,
    scope::Scope,
    user::User,
};
use crate::domain::{self, AuditFilter, Timestamp};

/// An entry of the audit trail, which nobody can change.
pub(super) struct AuditLog {
    pub(super) scope: Scope,
    pub(super) entry: domain::AuditLog,
}

/// Which entries are asked for; what is left out does not matter.
#[derive(InputObject)]
pub(super) struct AuditLogFilter {
    /// About this user's account.
    user_id: Option<ID>,
    /// Of this action, such as `session.created`.
    action: Option<String>,
    /// Not before this time.
    since: Option<Timestamp>,
    /// Before this time.
    until: Option<Timestamp>,
}

/// An entry of the audit trail, which nobody can change.
#[Object]
impl AuditLog {
    /// Global and stable.
    pub(super) async fn id(&self) -> ID {
        self.entry.id.to_string().into()
    }

    /// Whose account it concerns; null when no account was known.
    async fn user(&self) -> Result<Option<User>> {
        let Some(id) = self.entry.user_id else { return Ok(None) };
        let user = self.scope.loader.load_one(id).await?;
        Ok(user.map(|user| User { scope: self.scope.clone(), user }))
    }

    /// What was done: dotted and in the past tense, such as `session.created`.
    async fn action(&self) -> &str {
        &self.entry.action
    }

    /// The global id of what it was done to; null when that has none.
    async fn resource(&self) -> Option<&str> {
        self.entry.resource.as_deref()
    }

    /// What else is worth knowing; null for most actions.
    async fn details(&self) -> Option<Json<Value>> {
        self.entry.details.clone().map(Json)
    }

    /// Where the request came from; null if the server could not tell, or did it of itself.
    async fn ip_address(&self) -> Option<&str> {
        self.entry.ip_address.as_deref()
    }

    /// What the client said it was; null if it did not say.
    async fn user_agent(&self) -> Option<&str> {
        self.entry.user_agent.as_deref()
    }

    /// When it was done.
    async fn created_at(&self) -> Timestamp {
        self.entry.created_at
    }
}

impl TryFrom<AuditLogFilter> for AuditFilter {
    type Error = Error;

    fn try_from(filter: AuditLogFilter) -> Result<Self> {
        let AuditLogFilter { user_id, action, since, until } = filter;
        let user_id = user_id.map(|id| parse_id("filter.userId", &id)).transpose()?;
        Ok(Self { user_id, action, since, until })
    }
}
