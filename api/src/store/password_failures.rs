//! How often in a row a password was wrong.

use qv_entity::password_failures::{ActiveModel, Column, Entity};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, ExprTrait};
use uuid::Uuid;

use crate::{domain::UserId, store::Error};

/// Counts an attempt as failed before it is judged, so that none of many at once goes uncounted; tells how many.
///
/// Whoever does not exist is counted as well, in one row for all: the answer must take as long.
pub async fn increment(db: &impl ConnectionTrait, user_id: Option<UserId>) -> Result<i64, Error> {
    let user_id = user_id.map_or(Uuid::nil(), |id| id.0);
    let again = OnConflict::column(Column::UserId)
        .value(Column::Failures, Expr::col((Entity, Column::Failures)).add(1))
        .to_owned();
    let row = ActiveModel { user_id: Set(user_id), failures: Set(1) };
    Ok(Entity::insert(row).on_conflict(again).exec_with_returning(db).await?.failures)
}

/// Begins to count anew.
pub async fn delete(db: &impl ConnectionTrait, user_id: UserId) -> Result<(), Error> {
    Entity::delete_by_id(user_id.0).exec(db).await?;
    Ok(())
}
