//! Passkeys: credentials that authenticators have created for users.

use qv_entity::webauthn_credentials::{ActiveModel, Column, Entity, Model};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;

use crate::domain::{Passkey, PasskeyId, Timestamp, UserId};
use crate::store::Error;

/// The part of a passkey that verifies its logins.
pub struct Credential {
    /// Credential id that the authenticator assigned.
    pub credential_id: Vec<u8>,
    /// Key as the `WebAuthn` library serialises it.
    pub key: Value,
    /// Last signature counter received.
    pub counter: i64,
}

/// Adds a passkey. Fails with [`Error::Taken`] if the credential id is taken.
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

/// Returns the passkey with this id, of any user.
pub async fn find(db: &impl ConnectionTrait, id: PasskeyId) -> Result<Option<Passkey>, Error> {
    Ok(Entity::find_by_id(id.0).one(db).await?.map(passkey))
}

/// Returns the passkey with this credential id, and its key.
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

/// Returns a user's passkeys, oldest first.
pub async fn list(db: &impl ConnectionTrait, user_id: UserId) -> Result<Vec<Passkey>, Error> {
    let select = Entity::find().filter(Column::UserId.eq(user_id.0)).order_by_asc(Column::Id);
    Ok(select.all(db).await?.into_iter().map(passkey).collect())
}

/// Returns the credential ids of a user's passkeys.
pub async fn find_credential_ids(db: &impl ConnectionTrait, user_id: UserId) -> Result<Vec<Vec<u8>>, Error> {
    let select = Entity::find().select_only().column(Column::CredentialId).filter(Column::UserId.eq(user_id.0));
    Ok(select.into_tuple().all(db).await?)
}

/// Returns the number of a user's passkeys.
pub async fn count(db: &impl ConnectionTrait, user_id: UserId) -> Result<u64, Error> {
    Ok(Entity::find().filter(Column::UserId.eq(user_id.0)).count(db).await?)
}

/// Records a login, unless another login has stored an equal or higher counter meanwhile. Returns whether it was
/// recorded.
///
/// An authenticator without a counter always reports 0.
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

/// Deletes one of a user's passkeys. Returns whether it existed.
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
