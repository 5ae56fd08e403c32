//! Accounts as their owners and the server see them: credentials, email address, role.

use qv_entity::users::{ActiveModel, Column, Entity};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{LockType, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, DerivePartialModel, EntityTrait, QueryFilter, QuerySelect, Select};
use uuid::Uuid;

use crate::domain::{Account, Email, Role, Timestamp, UserId, Username};
use crate::store::Error;

/// Credentials that a sign-in is checked against.
pub struct Credentials {
    /// Owner of the credentials.
    pub user_id: UserId,
    /// Argon2id hash in PHC string format.
    pub password_hash: String,
    /// Whether the account may sign in.
    pub is_active: bool,
    /// Role of the account.
    pub role: Role,
}

/// An account to add.
pub struct NewAccount<'a> {
    /// Id of the account.
    pub id: UserId,
    /// Username.
    pub username: &'a Username,
    /// Email address.
    pub email: &'a Email,
    /// Argon2id hash in PHC string format.
    pub password_hash: String,
    /// When the account was created.
    pub created_at: Timestamp,
}

/// Recipient of a mail.
#[derive(DerivePartialModel)]
#[sea_orm(entity = "Entity")]
pub struct Recipient {
    /// Username.
    pub username: String,
    /// Email address.
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

/// Adds an account. Fails with [`Error::Taken`] if the name or email address is taken.
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

/// Returns the credentials of the account with this name.
pub async fn find_by_username(db: &impl ConnectionTrait, username: &Username) -> Result<Option<Credentials>, Error> {
    one(db, credentials(Column::Username.eq(username.as_str()))).await
}

/// Returns the credentials of the account with this email address.
pub async fn find_by_email(db: &impl ConnectionTrait, email: &Email) -> Result<Option<Credentials>, Error> {
    one(db, credentials(Column::Email.eq(email.as_str()))).await
}

/// Returns the credentials of the account with this id.
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

/// Returns an account's current credentials, and locks its row until the transaction ends.
pub async fn lock(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Credentials>, Error> {
    one(db, credentials(Column::Id.eq(id.0)).lock(LockType::NoKeyUpdate)).await
}

/// Returns an account as its owner sees it.
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

/// Records a sign-in.
pub async fn update_last_login(db: &impl ConnectionTrait, id: UserId, now: Timestamp) -> Result<(), Error> {
    let change = ActiveModel { last_login: Set(Some(now)), updated_at: Set(now), ..Default::default() };
    Entity::update_many().set(change).filter(Column::Id.eq(id.0)).exec(db).await?;
    Ok(())
}

/// Replaces the password hash, unless it has changed since `credentials` were read. Returns whether it was replaced.
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

/// Sets an account's role.
pub async fn update_role(db: &impl ConnectionTrait, id: UserId, role: Role) -> Result<(), Error> {
    let change = ActiveModel { role: Set(role.as_str().to_owned()), ..Default::default() };
    Entity::update_many().set(change).filter(Column::Id.eq(id.0)).exec(db).await?;
    Ok(())
}

/// Returns the recipient of mail to an account, if the account is active.
pub async fn find_recipient(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Recipient>, Error> {
    Ok(recipient(id).into_partial_model().one(db).await?)
}

/// Returns the recipient like [`find_recipient`], and locks the account's row until the transaction ends.
pub async fn lock_recipient(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Recipient>, Error> {
    Ok(recipient(id).lock(LockType::NoKeyUpdate).into_partial_model().one(db).await?)
}

fn recipient(id: UserId) -> Select<Entity> {
    Entity::find_by_id(id.0).filter(Column::IsActive.eq(true))
}

/// Replaces a forgotten password's hash.
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

/// Marks an account's email address as verified. Returns whether it was unverified before.
pub async fn verify(db: &impl ConnectionTrait, id: UserId, now: Timestamp) -> Result<bool, Error> {
    let change = ActiveModel { is_verified: Set(true), updated_at: Set(now), ..Default::default() };
    let update = Entity::update_many().set(change).filter(Column::Id.eq(id.0)).filter(Column::IsVerified.eq(false));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Deactivates an account. Returns whether it was active before.
pub async fn deactivate(db: &impl ConnectionTrait, id: UserId) -> Result<bool, Error> {
    let change = ActiveModel { is_active: Set(false), ..Default::default() };
    let update = Entity::update_many().set(change).filter(Column::Id.eq(id.0)).filter(Column::IsActive.eq(true));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Returns the role that a column names. Unknown texts give the fewest rights.
pub(super) fn role_of(text: &str) -> Role {
    Role::parse(text).unwrap_or(Role::User)
}
