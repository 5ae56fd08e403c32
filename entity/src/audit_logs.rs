//! The audit trail, which outlives the accounts it speaks of.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_logs")]
pub struct Model {
    /// A UUID of version 7, made by the writer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose account it concerns; absent when no account was known.
    pub user_id: Option<Uuid>,
    /// What was done, such as `session.revoked`.
    pub action: String,
    /// What it was done to.
    pub resource: Option<String>,
    /// What else is worth keeping.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub details: Option<Json>,
    /// Where the request came from.
    pub ip_address: Option<String>,
    /// What the client said of itself.
    #[sea_orm(column_type = "Text", nullable)]
    pub user_agent: Option<String>,
    /// When it was done.
    pub created_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
