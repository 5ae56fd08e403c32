//! Accounts as operators see them.

use qv_entity::sessions;
use qv_entity::users::{Column, Entity};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DerivePartialModel, EntityTrait, Order, QueryFilter, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use crate::domain::{AdminUser, Page, Slice, Timestamp, UserId, UsernamePrefix};
use crate::store::{Error, accounts::role_of, page::paged};

#[derive(DerivePartialModel)]
#[sea_orm(entity = "Entity")]
struct Row {
    id: Uuid,
    username: String,
    email: String,
    role: String,
    last_login: Option<Timestamp>,
}

impl From<Row> for AdminUser {
    fn from(row: Row) -> Self {
        Self {
            user_id: UserId(row.id),
            username: row.username.into(),
            email: row.email,
            role: role_of(&row.role),
            last_login_at: row.last_login,
        }
    }
}

/// Returns the account with this user id.
pub async fn find(db: &impl ConnectionTrait, id: UserId) -> Result<Option<AdminUser>, Error> {
    Ok(Entity::find_by_id(id.0).into_partial_model::<Row>().one(db).await?.map(AdminUser::from))
}

/// Lists accounts, active or not, whose name begins with `prefix`, ordered by name.
pub async fn list(
    db: &impl ConnectionTrait,
    prefix: &UsernamePrefix,
    page: &Page<String>,
) -> Result<Slice<AdminUser>, Error> {
    let select = Entity::find().apply_if(prefix.range(), |select, (from, to)| {
        select.filter(Column::Username.gte(from)).filter(Column::Username.lt(to))
    });
    let rows = paged(select, Column::Username, &Order::Asc, page).into_partial_model::<Row>().all(db).await?;
    Ok(page.slice(rows.into_iter().map(AdminUser::from).collect()))
}

/// Counts the active sessions of each of these users. Users without any are left out.
pub async fn count_sessions(
    db: &impl ConnectionTrait,
    ids: &[UserId],
    now: Timestamp,
) -> Result<Vec<(UserId, i64)>, Error> {
    let rows: Vec<(Uuid, i64)> = sessions::Entity::find()
        .select_only()
        .column(sessions::Column::UserId)
        .column_as(sessions::Column::Id.count(), "sessions")
        .filter(sessions::Column::UserId.is_in(ids.iter().map(|id| id.0)))
        .filter(sessions::Column::ExpiresAt.gt(now))
        .group_by(sessions::Column::UserId)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|(id, count)| (UserId(id), count)).collect())
}
