//! Changes to users that other users see, numbered in commit order.

use qv_entity::users::{ActiveModel, Column, Entity};
use qv_entity::{conversation_members as members, installation};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, Query, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use crate::domain::{User, UserId};
use crate::store::{Error, users::UserRow};

/// Users whose changes are queried.
#[derive(Debug, Clone)]
pub enum Followed {
    /// Users with these ids.
    Named(Vec<UserId>),
    /// Users who have a conversation with this user.
    ContactsOf(UserId),
}

/// Assigns the next change number to a user.
///
/// The counter's row stays locked until the transaction ends, so a reader that sees a number sees all lower ones. Call
/// this last in a transaction: then no transaction waits for another lock while it holds this one.
pub async fn record(db: &impl ConnectionTrait, id: UserId) -> Result<(), Error> {
    let next = Expr::col(installation::Column::LastUserChange).add(1);
    let update = installation::Entity::update_many().col_expr(installation::Column::LastUserChange, next);
    let rows = update.exec_with_returning(db).await?;
    let number = rows.first().ok_or_else(absent)?.last_user_change;
    let change = ActiveModel { change_sequence: Set(number), ..Default::default() };
    Entity::update_many().set(change).filter(Column::Id.eq(id.0)).exec(db).await?;
    Ok(())
}

/// Returns the latest change number.
pub async fn latest(db: &impl ConnectionTrait) -> Result<i64, Error> {
    let select = installation::Entity::find().select_only().column(installation::Column::LastUserChange);
    select.into_tuple().one(db).await?.ok_or_else(absent)
}

/// Returns up to `limit` users whose last change number is above `after` and at most `latest`, ordered by that number.
pub async fn find_between(
    db: &impl ConnectionTrait,
    followed: &Followed,
    (after, latest): (i64, i64),
    limit: u64,
) -> Result<Vec<(i64, User)>, Error> {
    let rows = Entity::find()
        .filter(Column::ChangeSequence.gt(after))
        .filter(Column::ChangeSequence.lte(latest))
        .filter(is_followed(followed))
        .order_by_asc(Column::ChangeSequence)
        .limit(limit)
        .into_partial_model::<UserRow>()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.change_sequence, row.into())).collect())
}

/// Returns up to `limit` users who have a conversation with a user, ordered by id, after the id `after`.
pub async fn find_contacts(
    db: &impl ConnectionTrait,
    id: UserId,
    after: Option<UserId>,
    limit: u64,
) -> Result<Vec<UserId>, Error> {
    let select = members::Entity::find()
        .select_only()
        .column(members::Column::PeerId)
        .filter(members::Column::UserId.eq(id.0))
        .apply_if(after, |select, id| select.filter(members::Column::PeerId.gt(id.0)))
        .order_by_asc(members::Column::PeerId)
        .limit(limit);
    Ok(select.into_tuple::<Uuid>().all(db).await?.into_iter().map(UserId).collect())
}

fn is_followed(followed: &Followed) -> SimpleExpr {
    match followed {
        Followed::Named(ids) => Column::Id.is_in(ids.iter().map(|id| id.0)),
        // Evaluated for each changed user, so that the cost does not grow with the number of conversations. This is a
        // scalar subquery because PostgreSQL may invert EXISTS and check every contact for changes.
        Followed::ContactsOf(id) => {
            let contact = Query::select()
                .column((members::Entity, members::Column::PeerId))
                .from(members::Entity)
                .and_where(members::Column::UserId.eq(id.0))
                .and_where(Expr::col((members::Entity, members::Column::PeerId)).equals((Entity, Column::Id)))
                .take();
            Expr::from(contact).is_not_null()
        }
    }
}

fn absent() -> Error {
    Error::Fault(DbErr::RecordNotFound("installation".to_owned()))
}
