//! The keys that sign access tokens: each node has one, every node accepts all.

use chrono::TimeDelta;

use crate::bus::Subscription;
use crate::crypto::SigningKey;
use crate::domain::{Timestamp, event::Topic};
use crate::service::{Backend, Error, RequestContext, after_commit::AfterCommit};
use crate::store;

/// The public keys that access tokens may be signed with, by their ids.
pub async fn accepted(backend: &Backend) -> Result<Vec<(String, Vec<u8>)>, Error> {
    Ok(store::installation::signing_keys(backend.store.db(), retired_since(backend, backend.source.now())).await?)
}

/// Puts a key in the place of the one that this node has signed with so far, for all nodes to know.
pub async fn rotate(context: &RequestContext, key: SigningKey) -> Result<(), Error> {
    let (backend, now) = (&context.backend, context.backend.source.now());
    let old = backend.tokens.signing_key();
    let entry = context.system_entry("signing_key.rotated", Some(key.kid.clone()));
    let tx = backend.store.begin().await?;
    store::installation::publish_signing_key(tx.db(), &key.kid, &key.public_key, now).await?;
    store::installation::retire_signing_key(tx.db(), &old.kid, now).await?;
    store::audit_logs::insert_many(tx.db(), [entry]).await?;
    AfterCommit::default().publish([Topic::SigningKeys]).commit(backend, tx).await?;
    adopt(backend, key).await
}

/// Withdraws a key: from now on no node accepts what it has signed, and the node that signs with it makes another.
///
/// Nobody is signed out: clients are told that their token has expired, and refresh.
pub async fn withdraw(context: &RequestContext, kid: &str) -> Result<(), Error> {
    let tx = context.backend.store.begin().await?;
    if !store::installation::withdraw_signing_key(tx.db(), kid).await? {
        return Err(Error::NotFound("signing key"));
    }
    store::audit_logs::insert_many(tx.db(), [context.system_entry("signing_key.withdrawn", Some(kid.to_owned()))])
        .await?;
    AfterCommit::default().publish([Topic::SigningKeys]).commit(&context.backend, tx).await?;
    context.backend.load_signing_keys().await
}

/// Whether a key was withdrawn.
pub async fn is_withdrawn(backend: &Backend, kid: &str) -> Result<bool, Error> {
    let withdrawn = store::installation::withdrawn_signing_keys(backend.store.db()).await?;
    Ok(withdrawn.iter().any(|withdrawn| withdrawn == kid))
}

/// Waits for changes of keys by commands, from now on.
pub fn changes(backend: &Backend) -> Subscription {
    backend.bus.subscribe(Topic::SigningKeys)
}

/// Signs with this key if it is another one than so far, and learns which keys other nodes sign with.
pub async fn adopt(backend: &Backend, key: SigningKey) -> Result<(), Error> {
    if key.kid != backend.tokens.signing_key().kid {
        // Whoever put the file there may not have come to publish it.
        let (db, now) = (backend.store.db(), backend.source.now());
        store::installation::publish_signing_key(db, &key.kid, &key.public_key, now).await?;
        backend.tokens.sign_with(key);
    }
    backend.load_signing_keys().await
}

/// A key that was retired later than this may have signed tokens that have not ended.
pub(crate) fn retired_since(backend: &Backend, now: Timestamp) -> Timestamp {
    // A node goes on with the old key until its next upkeep, and two clocks may differ a little.
    let late = 2 * i64::from(backend.config.upkeep.interval_seconds) + 10;
    now - backend.access_token_lifetime() - TimeDelta::seconds(late)
}
