//! Accounts as their owners and the server see them: credentials, address, role.

use qv_entity::users::{ActiveModel, Column, Entity};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{LockType, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, DerivePartialModel, EntityTrait, QueryFilter, QuerySelect, Select};
use uuid::Uuid;

use crate::domain::{Account, Email, Role, Timestamp, UserId, Username};
use crate::store::Error;

/// What a sign-in is checked against.
pub struct Credentials {
    /// Whose they are.
    pub user_id: UserId,
    /// An Argon2id PHC string.
    pub password_hash: String,
    /// Whether the account may sign in.
    pub is_active: bool,
    /// What it may do.
    pub role: Role,
}

/// An account to be.
pub struct NewAccount<'a> {
    /// Its id.
    pub id: UserId,
    /// Its name.
    pub username: &'a Username,
    /// Its address.
    pub email: &'a Email,
    /// An Argon2id PHC string.
    pub password_hash: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Whom a mail goes to.
#[derive(DerivePartialModel)]
#[sea_orm(entity = "Entity")]
pub struct Recipient {
    /// The name.
    pub username: String,
    /// The address.
    pub email: String,
}

#[derive(DerivePartialModel)]
#[sea_orm(entity = "Entity")]
struct AccountRow {
    email: String,
    is_verified: bool,
    role: String,
    last_login: Option<Timestamp>,
    key_vault: Option<Vec<u8>>,
}

/// Adds an account; a taken name or address is [`Error::Taken`].
pub async fn insert(db: &impl ConnectionTrait, account: NewAccount<'_>) -> Result<(), Error> {
    let row = ActiveModel {
        id: Set(account.id.0),
        username: Set(account.username.as_str().to_owned()),
        email: Set(account.email.as_str().to_owned()),
        password_hash: Set(account.password_hash),
        public_key_ecc: Set(None),
        public_key_pqc: Set(None),
        created_at: Set(account.created_at),
        updated_at: Set(account.created_at),
        last_login: Set(Some(account.created_at)),
        is_active: Set(true),
        is_verified: Set(false),
        role: Set(Role::User.as_str().to_owned()),
        key_vault: Set(None),
        keys_changed_at: Set(None),
        change_sequence: Set(0),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// The credentials of the account that goes by this name.
pub async fn find_by_username(db: &impl ConnectionTrait, username: &Username) -> Result<Option<Credentials>, Error> {
    one(db, credentials(Column::Username.eq(username.as_str()))).await
}

/// The credentials of the account that goes by this address.
pub async fn find_by_email(db: &impl ConnectionTrait, email: &Email) -> Result<Option<Credentials>, Error> {
    one(db, credentials(Column::Email.eq(email.as_str()))).await
}

/// The credentials of this account.
pub async fn find_by_id(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Credentials>, Error> {
    one(db, credentials(Column::Id.eq(id.0))).await
}

fn credentials(condition: SimpleExpr) -> Select<Entity> {
    let columns = [Column::Id, Column::PasswordHash, Column::IsActive, Column::Role];
    Entity::find().select_only().columns(columns).filter(condition)
}

async fn one(db: &impl ConnectionTrait, select: Select<Entity>) -> Result<Option<Credentials>, Error> {
    let row: Option<(Uuid, String, bool, String)> = select.into_tuple().one(db).await?;
    Ok(row.map(|(id, password_hash, is_active, role)| Credentials {
        user_id: UserId(id),
        password_hash,
        is_active,
        role: role_of(&role),
    }))
}

/// Returns the account's credentials as they are now, and locks its row until the transaction ends.
pub async fn lock(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Credentials>, Error> {
    one(db, credentials(Column::Id.eq(id.0)).lock(LockType::NoKeyUpdate)).await
}

/// The owner's view of an account.
pub async fn find(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Account>, Error> {
    let row = Entity::find_by_id(id.0).into_partial_model::<AccountRow>().one(db).await?;
    Ok(row.map(|row| Account {
        email: row.email,
        is_email_verified: row.is_verified,
        role: role_of(&row.role),
        last_login_at: row.last_login,
        key_vault: row.key_vault,
    }))
}

/// Notes a sign-in.
pub async fn update_last_login(db: &impl ConnectionTrait, id: UserId, now: Timestamp) -> Result<(), Error> {
    let change = ActiveModel { last_login: Set(Some(now)), updated_at: Set(now), ..Default::default() };
    Entity::update_many().set(change).filter(Column::Id.eq(id.0)).exec(db).await?;
    Ok(())
}

/// Puts another hash in the place of the one that these credentials hold, if it is still there.
pub async fn update_password(
    db: &impl ConnectionTrait,
    credentials: &Credentials,
    password_hash: String,
) -> Result<bool, Error> {
    let update = Entity::update_many()
        .set(ActiveModel { password_hash: Set(password_hash), ..Default::default() })
        .filter(Column::Id.eq(credentials.user_id.0))
        .filter(Column::PasswordHash.eq(&credentials.password_hash));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Sets what an account may do.
pub async fn update_role(db: &impl ConnectionTrait, id: UserId, role: Role) -> Result<(), Error> {
    let change = ActiveModel { role: Set(role.as_str().to_owned()), ..Default::default() };
    Entity::update_many().set(change).filter(Column::Id.eq(id.0)).exec(db).await?;
    Ok(())
}

/// Whom a mail to this account goes to; nobody, if it is out of use.
pub async fn find_recipient(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Recipient>, Error> {
    Ok(recipient(id).into_partial_model().one(db).await?)
}

/// The same, and keeps the account's row for the transaction.
pub async fn lock_recipient(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Recipient>, Error> {
    Ok(recipient(id).lock(LockType::NoKeyUpdate).into_partial_model().one(db).await?)
}

fn recipient(id: UserId) -> Select<Entity> {
    Entity::find_by_id(id.0).filter(Column::IsActive.eq(true))
}

/// Puts another hash in the place of the forgotten password's.
pub async fn reset_password(
    db: &impl ConnectionTrait,
    id: UserId,
    password_hash: String,
    now: Timestamp,
) -> Result<(), Error> {
    let change = ActiveModel { password_hash: Set(password_hash), updated_at: Set(now), ..Default::default() };
    Entity::update_many().set(change).filter(Column::Id.eq(id.0)).exec(db).await?;
    Ok(())
}

/// Notes that the address has been confirmed, and tells whether it was not before.
pub async fn verify(db: &impl ConnectionTrait, id: UserId, now: Timestamp) -> Result<bool, Error> {
    let change = ActiveModel { is_verified: Set(true), updated_at: Set(now), ..Default::default() };
    let update = Entity::update_many().set(change).filter(Column::Id.eq(id.0)).filter(Column::IsVerified.eq(false));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Takes an account out of use, and tells whether it was in use before.
pub async fn deactivate(db: &impl ConnectionTrait, id: UserId) -> Result<bool, Error> {
    let change = ActiveModel { is_active: Set(false), ..Default::default() };
    let update = Entity::update_many().set(change).filter(Column::Id.eq(id.0)).filter(Column::IsActive.eq(true));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Returns the role that a column names. Unknown texts give the fewest rights.
pub(super) fn role_of(text: &str) -> Role {
    Role::parse(text).unwrap_or(Role::User)
}
