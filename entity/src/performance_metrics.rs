//! Measurements: what clients report and what the server samples of itself.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "performance_metrics")]
pub struct Model {
    /// A UUID of version 7, made by the writer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// What was measured.
    pub metric_name: String,
    /// How much.
    pub metric_value: f64,
    /// Of what.
    pub metric_unit: String,
    /// Under which circumstances.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub metadata: Option<Json>,
    /// When it was measured.
    pub created_at: DateTimeUtc,
    /// Who recorded it; absent for what the server has measured of itself.
    pub user_id: Option<Uuid>,
    /// Its place in the order of commits.
    pub sequence: i64,
}

impl ActiveModelBehavior for ActiveModel {}
