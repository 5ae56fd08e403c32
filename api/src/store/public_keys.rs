//! A user's key material: the published public keys, and the vault of wrapped private keys.

use qv_entity::users::{ActiveModel, Column, Entity};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, ConnectionTrait, DerivePartialModel, EntityTrait, QueryFilter, QuerySelect};

use crate::domain::{Timestamp, UserId};
use crate::store::Error;

/// Key material of one user.
#[derive(Debug, Clone, PartialEq, Eq, DerivePartialModel)]
#[sea_orm(entity = "Entity")]
pub struct Stored {
    /// X25519 public key.
    pub public_key_ecc: Option<Vec<u8>>,
    /// ML-KEM-768 public key.
    pub public_key_pqc: Option<Vec<u8>>,
    /// When the public keys last changed.
    pub keys_changed_at: Option<Timestamp>,
    /// Private keys, wrapped on the user's device.
    pub key_vault: Option<Vec<u8>>,
}

/// Returns the key material of an active account, and locks its row until the transaction ends.
pub async fn lock(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Stored>, Error> {
    let select = Entity::find_by_id(id.0).filter(Column::IsActive.eq(true)).lock(LockType::NoKeyUpdate);
    Ok(select.into_partial_model().one(db).await?)
}

/// Replaces a user's key material.
pub async fn update(db: &impl ConnectionTrait, id: UserId, keys: Stored, now: Timestamp) -> Result<(), Error> {
    let change = ActiveModel {
        public_key_ecc: Set(keys.public_key_ecc),
        public_key_pqc: Set(keys.public_key_pqc),
        keys_changed_at: Set(keys.keys_changed_at),
        key_vault: Set(keys.key_vault),
        updated_at: Set(now),
        ..Default::default()
    };
    Entity::update_many().set(change).filter(Column::Id.eq(id.0)).exec(db).await?;
    Ok(())
}
