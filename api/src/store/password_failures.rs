//! Counts of consecutive failed password attempts.

use qv_entity::password_failures::{ActiveModel, Column, Entity};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, ExprTrait};
use uuid::Uuid;

use crate::{domain::UserId, store::Error};

/// Increments an account's failure count and returns it. Called before the password is checked, so that all concurrent
/// attempts count.
///
/// Unknown accounts share one row, so that their sign-ins take equally long.
pub async fn increment(db: &impl ConnectionTrait, user_id: Option<UserId>) -> Result<i64, Error> {
    let user_id = user_id.map_or(Uuid::nil(), |id| id.0);
    let again = OnConflict::column(Column::UserId)
        .value(Column::Failures, Expr::col((Entity, Column::Failures)).add(1))
        .to_owned();
    let row = ActiveModel { user_id: Set(user_id), failures: Set(1) };
    Ok(Entity::insert(row).on_conflict(again).exec_with_returning(db).await?.failures)
}

/// Resets an account's failure count.
pub async fn delete(db: &impl ConnectionTrait, user_id: UserId) -> Result<(), Error> {
    Entity::delete_by_id(user_id.0).exec(db).await?;
    Ok(())
}
