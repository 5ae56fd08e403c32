//! What operators see: accounts from the inside, and the audit trail, which owners see their own part of.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::{AuditLogId, Role, Timestamp, UserId};

/// An entry of the audit trail.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditLog {
    /// In the order in which the entries were written.
    pub id: AuditLogId,
    /// Whose account it concerns.
    pub user_id: Option<UserId>,
    /// Dotted and in the past tense.
    pub action: String,
    /// The global id of what it was done to.
    pub resource: Option<String>,
    /// What else is worth knowing.
    pub details: Option<Value>,
    /// Where the request came from.
    pub ip_address: Option<String>,
    /// What the client said it was.
    pub user_agent: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// Which entries of the audit trail are asked for; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// About this account.
    pub user_id: Option<UserId>,
    /// Of this action.
    pub action: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// An account as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminUser {
    /// Whose it is.
    pub user_id: UserId,
    /// The name, by which such accounts are listed.
    pub username: Arc<str>,
    /// The address.
    pub email: String,
    /// What the account may do.
    pub role: Role,
    /// The latest sign-in, if there was one.
    pub last_login_at: Option<Timestamp>,
}
