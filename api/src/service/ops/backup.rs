//! Backups of the embedded shape, and the line that is drawn after a restore.

use std::path::Path;

use crate::{
    service::{Error, RequestContext},
    store::{self, audit_logs::NewEntry},
};

/// Writes the database as it is at this moment into a new file, while the server goes on.
pub async fn back_up(context: &RequestContext, file: &Path) -> Result<(), Error> {
    Ok(context.backend.store.back_up(file).await?)
}

/// Ends all that a restore has brought back to life: sessions, mailed tokens, and cursors that name a future which has
/// not happened. Says how many sessions.
pub async fn fence(context: &RequestContext) -> Result<u64, Error> {
    let (store, source) = (&context.backend.store, &context.backend.source);
    let tx = store.begin().await?;
    let ended = store::recovery::fence(tx.db()).await?;
    let entry = NewEntry {
        id: source.uuid(),
        user_id: None,
        action: "installation.restored",
        resource: None,
        client: &context.client,
        created_at: source.now(),
    };
    store::audit_logs::insert_many(tx.db(), [entry]).await?;
    tx.commit().await?;
    Ok(ended)
}
