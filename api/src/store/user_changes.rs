//! Changes to users that others see, numbered in the order of their commits.

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

/// Whose changes are asked for.
#[derive(Debug, Clone)]
pub enum Followed {
    /// Those of these users.
    Named(Vec<UserId>),
    /// Those of whoever this user has a conversation with.
    ContactsOf(UserId),
}

/// Gives a change of a user its number.
///
/// The row that numbers come from is locked until the transaction ends, so whoever sees a number sees all before it.
/// This is the last that a transaction does: whoever holds that row then waits for nobody.
pub async fn record(db: &impl ConnectionTrait, id: UserId) -> Result<(), Error> {
    let next = Expr::col(installation::Column::LastUserChange).add(1);
    let update = installation::Entity::update_many().col_expr(installation::Column::LastUserChange, next);
    let rows = update.exec_with_returning(db).await?;
    let number = rows.first().ok_or_else(absent)?.last_user_change;
    let change = ActiveModel { change_sequence: Set(number), ..Default::default() };
    Entity::update_many().set(change).filter(Column::Id.eq(id.0)).exec(db).await?;
    Ok(())
}

/// The latest number.
pub async fn latest(db: &impl ConnectionTrait) -> Result<i64, Error> {
    let select = installation::Entity::find().select_only().column(installation::Column::LastUserChange);
    select.into_tuple().one(db).await?.ok_or_else(absent)
}

/// Users whose last change has a number above `after`, up to and with `latest`, in that order, at most `limit`.
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

/// Whom a user has a conversation with, in the order of ids, behind a place, at most `limit`.
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
        // Asked of each user that has changed, so that what it costs does not grow with the number of conversations.
        // As a value and not as EXISTS, which PostgreSQL may turn round and ask each contact whether it has changed.
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
