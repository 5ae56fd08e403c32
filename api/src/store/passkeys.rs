//! Passkeys: the credentials that authenticators have made for users.

use qv_entity::webauthn_credentials::{ActiveModel, Column, Entity, Model};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;

use crate::domain::{Passkey, PasskeyId, Timestamp, UserId};
use crate::store::Error;

/// A passkey with what its logins are judged by.
pub struct Credential {
    /// The authenticator's name for it.
    pub credential_id: Vec<u8>,
    /// The key as the `WebAuthn` library serialises it.
    pub key: Value,
    /// The signature counter last seen.
    pub counter: i64,
}

/// Adds a passkey; one whose credential is there already is [`Error::Taken`].
pub async fn insert(db: &impl ConnectionTrait, passkey: &Passkey, credential: Credential) -> Result<(), Error> {
    let row = ActiveModel {
        id: Set(passkey.id.0),
        user_id: Set(passkey.user_id.0),
        credential_id: Set(credential.credential_id),
        public_key: Set(credential.key),
        counter: Set(credential.counter),
        device_name: Set(passkey.device_name.clone()),
        created_at: Set(passkey.created_at),
        last_used: Set(passkey.last_used_at),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// The passkey of this id, whosever it is.
pub async fn find(db: &impl ConnectionTrait, id: PasskeyId) -> Result<Option<Passkey>, Error> {
    Ok(Entity::find_by_id(id.0).one(db).await?.map(passkey))
}

/// The passkey that an authenticator calls so, with its key.
pub async fn find_by_credential_id(
    db: &impl ConnectionTrait,
    credential_id: &[u8],
) -> Result<Option<(Passkey, Value)>, Error> {
    let row = Entity::find().filter(Column::CredentialId.eq(credential_id)).one(db).await?;
    Ok(row.map(|row| {
        let key = row.public_key.clone();
        (passkey(row), key)
    }))
}

/// A user's passkeys, oldest first.
pub async fn list(db: &impl ConnectionTrait, user_id: UserId) -> Result<Vec<Passkey>, Error> {
    let select = Entity::find().filter(Column::UserId.eq(user_id.0)).order_by_asc(Column::Id);
    Ok(select.all(db).await?.into_iter().map(passkey).collect())
}

/// What authenticators call a user's passkeys.
pub async fn find_credential_ids(db: &impl ConnectionTrait, user_id: UserId) -> Result<Vec<Vec<u8>>, Error> {
    let select = Entity::find().select_only().column(Column::CredentialId).filter(Column::UserId.eq(user_id.0));
    Ok(select.into_tuple().all(db).await?)
}

/// How many passkeys a user has.
pub async fn count(db: &impl ConnectionTrait, user_id: UserId) -> Result<u64, Error> {
    Ok(Entity::find().filter(Column::UserId.eq(user_id.0)).count(db).await?)
}

/// Notes a login, unless another one has moved the counter as far in the meantime.
///
/// An authenticator that does not count says 0 each time.
pub async fn update_used(
    db: &impl ConnectionTrait,
    id: PasskeyId,
    (key, counter): (Value, i64),
    now: Timestamp,
) -> Result<bool, Error> {
    let change = ActiveModel {
        public_key: Set(key),
        counter: Set(counter),
        last_used: Set(Some(now)),
        ..ActiveModel::default()
    };
    let grows = if counter == 0 { Column::Counter.eq(0) } else { Column::Counter.lt(counter) };
    let update = Entity::update_many().set(change).filter(Column::Id.eq(id.0)).filter(grows);
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Removes one of a user's passkeys, if it is there.
pub async fn delete(db: &impl ConnectionTrait, user_id: UserId, id: PasskeyId) -> Result<bool, Error> {
    let delete = Entity::delete_many().filter(Column::Id.eq(id.0)).filter(Column::UserId.eq(user_id.0));
    Ok(delete.exec(db).await?.rows_affected == 1)
}

fn passkey(row: Model) -> Passkey {
    Passkey {
        id: PasskeyId(row.id),
        user_id: UserId(row.user_id),
        device_name: row.device_name,
        created_at: row.created_at,
        last_used_at: row.last_used,
    }
}
