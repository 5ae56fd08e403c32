//! Backups of the embedded shape, and the line that is drawn after a restore.

use std::path::Path;

use crate::service::{Error, RequestContext};
use crate::store;

/// Writes the database as it is at this moment into a new file, while the server goes on.
pub async fn back_up(context: &RequestContext, file: &Path) -> Result<(), Error> {
    Ok(context.backend.store.back_up(file).await?)
}

/// Ends all that a restore has brought back to life: sessions, mailed tokens, and cursors that name a future which has
/// not happened. Says how many sessions.
pub async fn fence(context: &RequestContext) -> Result<u64, Error> {
    let tx = context.backend.store.begin().await?;
    let ended = store::recovery::fence(tx.db()).await?;
    store::audit_logs::insert_many(tx.db(), [context.system_entry("installation.restored", None)]).await?;
    tx.commit().await?;
    Ok(ended)
}
