//! Backups of the embedded database, and the fence after a restore.

use std::path::Path;

use crate::domain::AuditAction;
use crate::service::{Error, RequestContext};
use crate::store;

/// Writes a snapshot of the database into a new file while the server keeps running.
pub async fn back_up(context: &RequestContext, file: &Path) -> Result<(), Error> {
    Ok(context.backend.store.back_up(file).await?)
}

/// Invalidates everything that a restore revived: sessions, mailed tokens, and cursors to events that no longer exist.
/// Returns the number of ended sessions.
pub async fn fence(context: &RequestContext) -> Result<u64, Error> {
    let tx = context.backend.store.begin().await?;
    let ended = store::recovery::fence(tx.db()).await?;
    store::audit_logs::insert_many(tx.db(), [context.system_entry(AuditAction::InstallationRestored, None)]).await?;
    tx.commit().await?;
    Ok(ended)
}
