//! Publishes the public keys that other users encrypt for.

use chrono::TimeDelta;

use crate::crypto::public_keys;
use crate::domain::{AuditAction, UserId, account::KEY_VAULT_MAX_BYTES};
use crate::service::after_commit::AfterCommit;
use crate::service::context::rate_limits::RateLimit;
use crate::service::{Error, RequestContext, accounts, sessions, users};
use crate::store::{self, public_keys::Stored};

/// New public keys of a user, and the change to the key vault.
pub struct NewKeys {
    /// X25519 public key.
    pub ecc: Vec<u8>,
    /// ML-KEM-768 encapsulation key.
    pub pqc: Vec<u8>,
    /// Change to the vault of private keys, which the device has wrapped.
    pub vault: Vault,
}

/// Change to a key vault.
pub enum Vault {
    /// Keeps the vault.
    Keep,
    /// Deletes the vault.
    Remove,
    /// Replaces the vault.
    Replace(Vec<u8>),
}

/// Replaces the caller's public keys. Publishing identical keys again changes nothing and shows followers nothing new.
pub async fn update(context: &RequestContext, keys: NewKeys) -> Result<UserId, Error> {
    let id = context.viewer()?.user_id;
    check(&keys)?;
    RateLimit::KEYS.spend(context, &id).await?;
    let now = context.backend.source.now();
    let tx = context.backend.store.begin().await?;
    let before = store::public_keys::lock(tx.db(), id).await?;
    sessions::lock_session(context, &tx).await?;
    let before = before.ok_or(Error::NotFound("user"))?;
    let mut after = Stored {
        public_key_ecc: Some(keys.ecc),
        public_key_pqc: Some(keys.pqc),
        keys_changed_at: before.keys_changed_at,
        key_vault: match keys.vault {
            Vault::Keep => before.key_vault.clone(),
            Vault::Remove => None,
            Vault::Replace(vault) => Some(vault),
        },
    };
    let are_new = (&before.public_key_ecc, &before.public_key_pqc) != (&after.public_key_ecc, &after.public_key_pqc);
    let mut actions = Vec::new();
    if are_new {
        // Clients distinguish keys by this time, so it must increase even where the clocks of two nodes differ.
        after.keys_changed_at = before.keys_changed_at.map(|time| time + TimeDelta::microseconds(1)).max(Some(now));
        actions.push(context.entry(id, AuditAction::KeysUpdated, &id));
    }
    if before.key_vault != after.key_vault {
        actions.push(context.entry(id, AuditAction::KeyVaultUpdated, &id));
    }
    if actions.is_empty() {
        tx.rollback().await?;
        // A repeated request: the first response and the steps after its commit may have been lost.
        return users::after_change(id, AfterCommit::default()).finish(&context.backend, Ok(id)).await;
    }
    store::public_keys::update(tx.db(), id, after, now).await?;
    store::audit_logs::insert_many(tx.db(), actions).await?;
    if are_new {
        store::user_changes::record(tx.db(), id).await?;
    }
    let after = if are_new { users::after_change(id, AfterCommit::default()) } else { accounts::after_change(id) };
    after.commit(&context.backend, tx).await?;
    Ok(id)
}

fn check(keys: &NewKeys) -> Result<(), Error> {
    public_keys::check_ecc(&keys.ecc).map_err(|reason| Error::invalid("input.ecc", reason))?;
    public_keys::check_pqc(&keys.pqc).map_err(|reason| Error::invalid("input.pqc", reason))?;
    match &keys.vault {
        Vault::Replace(vault) if !(1..=KEY_VAULT_MAX_BYTES).contains(&vault.len()) => {
            let reason = format!("must have 1 to {KEY_VAULT_MAX_BYTES} bytes, but has {}", vault.len());
            Err(Error::invalid("input.keyVault", reason))
        }
        _ => Ok(()),
    }
}
