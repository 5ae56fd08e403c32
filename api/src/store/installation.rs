//! State that all nodes of one installation share: the cursor key, and the public keys that verify access tokens.

use qv_entity::{installation, signing_keys};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QuerySelect};

use crate::{domain::Timestamp, store::Error};

/// Id of the only row.
const ID: i16 = 1;

/// Retirement time of a withdrawn key, earlier than any signature. The row stays, so that no node publishes the key
/// again.
pub(super) const WITHDRAWN: Timestamp = Timestamp::UNIX_EPOCH;

/// Values that the first node chose for all nodes.
pub struct Installation {
    /// Key that authenticates cursors.
    pub cursor_key: [u8; 32],
    /// Epoch of the feed. A restore raises it, which invalidates older cursors and everything that nodes stored in
    /// Redis.
    pub feed_epoch: i32,
}

/// Returns the stored values. If there are none, stores the proposed cursor key first.
pub async fn find_or_insert(
    db: &impl ConnectionTrait,
    cursor_key: [u8; 32],
    now: Timestamp,
) -> Result<Installation, Error> {
    let proposal = installation::ActiveModel {
        id: Set(ID),
        cursor_key: Set(cursor_key.to_vec()),
        feed_epoch: Set(1),
        created_at: Set(now),
        last_user_change: Set(0),
    };
    installation::Entity::insert_many([proposal])
        .on_conflict(OnConflict::column(installation::Column::Id).do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    let row = installation::Entity::find_by_id(ID).one(db).await?;
    let row = row.ok_or_else(|| Error::Fault(DbErr::RecordNotFound("installation".to_owned())))?;
    let cursor_key = row.cursor_key.try_into();
    let cursor_key = cursor_key.map_err(|_| Error::Fault(DbErr::Type("installation.cursor_key".to_owned())))?;
    Ok(Installation { cursor_key, feed_epoch: row.feed_epoch })
}

/// Publishes the public half of a node's signing key.
pub async fn publish_signing_key(
    db: &impl ConnectionTrait,
    kid: &str,
    public_key: &[u8],
    now: Timestamp,
) -> Result<(), Error> {
    let row = signing_keys::ActiveModel {
        kid: Set(kid.to_owned()),
        public_key: Set(public_key.to_vec()),
        created_at: Set(now),
        retired_at: Set(None),
    };
    signing_keys::Entity::insert_many([row])
        .on_conflict(OnConflict::column(signing_keys::Column::Kid).do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Marks a signing key as retired: it no longer signs.
pub async fn retire_signing_key(db: &impl ConnectionTrait, kid: &str, now: Timestamp) -> Result<(), Error> {
    signing_keys::Entity::update_many()
        .set(signing_keys::ActiveModel { retired_at: Set(Some(now)), ..Default::default() })
        .filter(signing_keys::Column::Kid.eq(kid))
        .filter(signing_keys::Column::RetiredAt.is_null())
        .exec(db)
        .await?;
    Ok(())
}

/// Withdraws a signing key, so that its tokens are no longer accepted. Returns whether the key exists.
pub async fn withdraw_signing_key(db: &impl ConnectionTrait, kid: &str) -> Result<bool, Error> {
    let update = signing_keys::Entity::update_many()
        .set(signing_keys::ActiveModel { retired_at: Set(Some(WITHDRAWN)), ..Default::default() })
        .filter(signing_keys::Column::Kid.eq(kid));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Returns the ids of the withdrawn keys.
pub async fn withdrawn_signing_keys(db: &impl ConnectionTrait) -> Result<Vec<String>, Error> {
    let select = signing_keys::Entity::find()
        .select_only()
        .column(signing_keys::Column::Kid)
        .filter(signing_keys::Column::RetiredAt.eq(WITHDRAWN));
    Ok(select.into_tuple().all(db).await?)
}

/// Returns the ids and public keys of keys that are not retired, or were retired after `since`.
pub async fn signing_keys(db: &impl ConnectionTrait, since: Timestamp) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let rows = signing_keys::Entity::find()
        .select_only()
        .columns([signing_keys::Column::Kid, signing_keys::Column::PublicKey])
        .filter(signing_keys::Column::RetiredAt.is_null().or(signing_keys::Column::RetiredAt.gt(since)))
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows)
}
