//! Signing keys of access tokens: each node signs with its own key and accepts the keys of all nodes.

use chrono::TimeDelta;

use crate::bus::Subscription;
use crate::crypto::SigningKey;
use crate::domain::{AuditAction, Timestamp, event::Topic};
use crate::service::{Backend, Error, RequestContext, after_commit::AfterCommit};
use crate::store;

/// Returns the public keys whose access tokens are accepted, with their ids.
pub async fn accepted(backend: &Backend) -> Result<Vec<(String, Vec<u8>)>, Error> {
    Ok(store::installation::signing_keys(backend.store.db(), retired_since(backend, backend.source.now())).await?)
}

/// Replaces this node's signing key and publishes the new key to all nodes.
pub async fn rotate(context: &RequestContext, key: SigningKey) -> Result<(), Error> {
    let (backend, now) = (&context.backend, context.backend.source.now());
    let old = backend.tokens.signing_key();
    let entry = context.system_entry(AuditAction::SigningKeyRotated, Some(key.kid.clone()));
    let tx = backend.store.begin().await?;
    store::installation::publish_signing_key(tx.db(), &key.kid, &key.public_key, now).await?;
    store::installation::retire_signing_key(tx.db(), &old.kid, now).await?;
    store::audit_logs::insert_many(tx.db(), [entry]).await?;
    AfterCommit::default().publish([Topic::SigningKeys]).commit(backend, tx).await?;
    adopt(backend, key).await
}

/// Withdraws a key. No node accepts its tokens any longer, and the node that signs with it creates a new key.
///
/// Nobody is signed out: clients receive an error that their token has expired, and refresh.
pub async fn withdraw(context: &RequestContext, kid: &str) -> Result<(), Error> {
    let tx = context.backend.store.begin().await?;
    if !store::installation::withdraw_signing_key(tx.db(), kid).await? {
        return Err(Error::NotFound("signing key"));
    }
    store::audit_logs::insert_many(
        tx.db(),
        [context.system_entry(AuditAction::SigningKeyWithdrawn, Some(kid.to_owned()))],
    )
    .await?;
    AfterCommit::default().publish([Topic::SigningKeys]).commit(&context.backend, tx).await?;
    context.backend.load_signing_keys().await
}

/// Returns whether a key was withdrawn.
pub async fn is_withdrawn(backend: &Backend, kid: &str) -> Result<bool, Error> {
    let withdrawn = store::installation::withdrawn_signing_keys(backend.store.db()).await?;
    Ok(withdrawn.iter().any(|withdrawn| withdrawn == kid))
}

/// Subscribes to key changes that commands make from now on.
pub fn changes(backend: &Backend) -> Subscription {
    backend.bus.subscribe(Topic::SigningKeys)
}

/// Switches to a signing key if it is not the current one. Also loads the keys of other nodes.
pub async fn adopt(backend: &Backend, key: SigningKey) -> Result<(), Error> {
    if key.kid != backend.tokens.signing_key().kid {
        // The process that wrote the key file may have ended before it published the key.
        let (db, now) = (backend.store.db(), backend.source.now());
        store::installation::publish_signing_key(db, &key.kid, &key.public_key, now).await?;
        backend.tokens.sign_with(key);
    }
    backend.load_signing_keys().await
}

/// Returns the earliest retirement time of keys that may still have unexpired tokens.
pub(crate) fn retired_since(backend: &Backend, now: Timestamp) -> Timestamp {
    // A node signs with the old key until its next maintenance run, and two clocks may differ slightly.
    let late = 2 * i64::from(backend.config.upkeep.interval_seconds) + 10;
    now - backend.access_token_lifetime() - TimeDelta::seconds(late)
}
