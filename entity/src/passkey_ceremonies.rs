//! Passkey ceremonies that have begun and are still to be finished.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "passkey_ceremonies")]
pub struct Model {
    /// A UUID of version 7, made by the writer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// `REGISTRATION` or `LOGIN`.
    pub kind: String,
    /// The session that registers; absent for a login, which has none yet.
    pub session_id: Option<Uuid>,
    /// What the WebAuthn library has to remember, its challenge above all.
    #[sea_orm(column_type = "JsonBinary")]
    pub state: Json,
    /// When it stops being finished.
    pub expires_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
