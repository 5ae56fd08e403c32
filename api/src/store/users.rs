//! Users as others see them, and their public keys.

use qv_entity::users::{Column, Entity};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DerivePartialModel, EntityTrait, Order, QueryFilter, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use super::{Error, page::paged};
use crate::domain::{Email, Page, Slice, Timestamp, User, UserId, Username, UsernamePrefix};

#[derive(DerivePartialModel)]
#[sea_orm(entity = "Entity")]
pub(super) struct UserRow {
    id: Uuid,
    username: String,
    is_active: bool,
    is_verified: bool,
    keys_changed_at: Option<Timestamp>,
    created_at: Timestamp,
    pub(super) change_sequence: i64,
}

#[derive(DerivePartialModel)]
#[sea_orm(entity = "Entity")]
struct KeysRow {
    id: Uuid,
    public_key_ecc: Option<Vec<u8>>,
    public_key_pqc: Option<Vec<u8>>,
    keys_changed_at: Option<Timestamp>,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: UserId(row.id),
            username: row.username.into(),
            is_active: row.is_active,
            is_verified: row.is_verified,
            keys_changed_at: row.keys_changed_at,
            created_at: row.created_at,
        }
    }
}

/// The users with these ids, in any order, without those that do not exist.
pub async fn find_many(db: &impl ConnectionTrait, ids: &[UserId]) -> Result<Vec<User>, Error> {
    let select = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
    let rows = select.into_partial_model::<UserRow>().all(db).await?;
    Ok(rows.into_iter().map(User::from).collect())
}

/// The id of the user of this name.
pub async fn find_by_username(db: &impl ConnectionTrait, username: &Username) -> Result<Option<UserId>, Error> {
    find_id(db, Column::Username.eq(username.as_str())).await
}

/// The id of the user of this address.
pub async fn find_by_email(db: &impl ConnectionTrait, email: &Email) -> Result<Option<UserId>, Error> {
    find_id(db, Column::Email.eq(email.as_str())).await
}

async fn find_id(
    db: &impl ConnectionTrait,
    condition: sea_orm::sea_query::SimpleExpr,
) -> Result<Option<UserId>, Error> {
    let select = Entity::find().select_only().column(Column::Id).filter(condition);
    Ok(select.into_tuple::<Uuid>().one(db).await?.map(UserId))
}

/// Active users by name, those whose name begins with `prefix`.
pub async fn list(
    db: &impl ConnectionTrait,
    prefix: &UsernamePrefix,
    page: &Page<String>,
) -> Result<Slice<User>, Error> {
    let select = Entity::find().filter(Column::IsActive.eq(true)).apply_if(prefix.range(), |select, (from, to)| {
        select.filter(Column::Username.gte(from)).filter(Column::Username.lt(to))
    });
    let rows = paged(select, Column::Username, &Order::Asc, page).into_partial_model::<UserRow>().all(db).await?;
    Ok(page.slice(rows.into_iter().map(User::from).collect()))
}

/// Public keys as stored.
pub struct StoredKeys {
    /// Whose they are.
    pub user_id: UserId,
    /// X25519.
    pub ecc: Vec<u8>,
    /// ML-KEM-768.
    pub pqc: Vec<u8>,
    /// When they were last set.
    pub changed_at: Timestamp,
}

/// The public keys of those of these users that have published some.
pub async fn find_keys(db: &impl ConnectionTrait, ids: &[UserId]) -> Result<Vec<StoredKeys>, Error> {
    let select = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
    let rows = select.into_partial_model::<KeysRow>().all(db).await?;
    let published = rows.into_iter().filter_map(|row| {
        Some(StoredKeys {
            user_id: UserId(row.id),
            ecc: row.public_key_ecc?,
            pqc: row.public_key_pqc?,
            changed_at: row.keys_changed_at?,
        })
    });
    Ok(published.collect())
}
