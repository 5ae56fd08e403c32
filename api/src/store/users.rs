//! Users as other users see them, and their public keys.

use qv_entity::sessions;
use qv_entity::users::{Column, Entity};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DerivePartialModel, EntityTrait, Order, QueryFilter, QuerySelect, QueryTrait,
};
use uuid::Uuid;

use crate::domain::{Email, Page, PublicKeys, SessionId, Slice, Timestamp, User, UserId, Username, UsernamePrefix};
use crate::store::{Error, page::paged};

#[derive(DerivePartialModel)]
#[sea_orm(entity = "Entity")]
pub(super) struct UserRow {
    id: Uuid,
    username: String,
    is_active: bool,
    is_verified: bool,
    public_key_ecc: Option<Vec<u8>>,
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
            public_keys: keys(row.public_key_ecc, row.keys_changed_at),
            created_at: row.created_at,
        }
    }
}

/// Returns the users with these ids, in any order. Unknown ids are left out.
pub async fn find_many(db: &impl ConnectionTrait, ids: &[UserId]) -> Result<Vec<User>, Error> {
    let select = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
    let rows = select.into_partial_model::<UserRow>().all(db).await?;
    Ok(rows.into_iter().map(User::from).collect())
}

/// Whether the recipient is active and the sender's session still exists. Checks both in one statement.
pub async fn accepts_message(
    db: &impl ConnectionTrait,
    recipient_id: UserId,
    (sender_id, session_id): (UserId, SessionId),
) -> Result<bool, Error> {
    let session = sessions::Entity::find_by_id(session_id.0)
        .select_only()
        .column(sessions::Column::Id)
        .filter(sessions::Column::UserId.eq(sender_id.0));
    let select = Entity::find_by_id(recipient_id.0)
        .select_only()
        .column(Column::Id)
        .filter(Column::IsActive.eq(true))
        .filter(Expr::exists(session.into_query()));
    Ok(select.into_tuple::<Uuid>().one(db).await?.is_some())
}

/// Returns the id of the user with this name.
pub async fn find_by_username(db: &impl ConnectionTrait, username: &Username) -> Result<Option<UserId>, Error> {
    find_id(db, Column::Username.eq(username.as_str())).await
}

/// Returns the id of the user with this email address.
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

/// Lists active users whose name begins with `prefix`, ordered by name.
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

/// Returns the public keys of those of these users that have published keys.
///
/// The ML-KEM-768 key is returned separately, as bytes without its fingerprint.
pub async fn find_keys(db: &impl ConnectionTrait, ids: &[UserId]) -> Result<Vec<(UserId, PublicKeys, Vec<u8>)>, Error> {
    let select = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
    let rows = select.into_partial_model::<KeysRow>().all(db).await?;
    let published = rows
        .into_iter()
        .filter_map(|row| Some((UserId(row.id), keys(row.public_key_ecc, row.keys_changed_at)?, row.public_key_pqc?)));
    Ok(published.collect())
}

fn keys(ecc: Option<Vec<u8>>, changed_at: Option<Timestamp>) -> Option<PublicKeys> {
    Some(PublicKeys { ecc: ecc?.try_into().ok()?, pqc: None, changed_at: changed_at? })
}
