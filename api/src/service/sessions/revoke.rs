//! Ending sessions, by their owner and by whatever else ends them.

use super::{all_of, key};
use crate::{
    domain::{SessionId, UserId, event::Topic},
    service::{Backend, Error, Operation, accounts},
    store::{self, Transaction},
};

/// Ends the session that the operation runs in.
pub async fn logout(op: &Operation) -> Result<SessionId, Error> {
    let id = op.viewer()?.session_id;
    revoke(op, id).await
}

/// Ends one of the caller's own sessions.
pub async fn revoke(op: &Operation, id: SessionId) -> Result<SessionId, Error> {
    let user_id = op.viewer()?.user_id;
    let tx = op.backend.store.begin().await?;
    let ended = end_many(op, &tx, user_id, &[id], "session.revoked").await?;
    tx.commit().await?;
    announce(&op.backend, user_id, &ended).await;
    ended.into_iter().next().ok_or(Error::NotFound("session"))
}

/// Ends the caller's sessions but the one that the operation runs in.
pub async fn revoke_others(op: &Operation) -> Result<Vec<SessionId>, Error> {
    let viewer = op.viewer()?;
    let tx = op.backend.store.begin().await?;
    let ended = end_others(op, &tx, viewer.user_id, Some(viewer.session_id)).await?;
    tx.commit().await?;
    announce(&op.backend, viewer.user_id, &ended).await;
    Ok(ended)
}

/// Ends all sessions of a user but one, inside a transaction; [`announce`] them once it has been committed.
pub(in crate::service) async fn end_others(
    op: &Operation,
    tx: &Transaction,
    user_id: UserId,
    kept: Option<SessionId>,
) -> Result<Vec<SessionId>, Error> {
    let ended = store::sessions::delete_others(tx.db(), user_id, kept).await?;
    record(op, tx, user_id, &ended, "session.revoked").await?;
    Ok(ended)
}

/// Ends those of these sessions that are the user's, inside a transaction.
pub(super) async fn end_many(
    op: &Operation,
    tx: &Transaction,
    user_id: UserId,
    ids: &[SessionId],
    action: &'static str,
) -> Result<Vec<SessionId>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ended = store::sessions::delete_many(tx.db(), user_id, ids).await?;
    record(op, tx, user_id, &ended, action).await?;
    Ok(ended)
}

/// Makes what has been committed hold on every node before it returns: requests are refused, sockets close, other
/// devices hear of it. The account goes with it: a sign-in shows there.
pub(in crate::service) async fn announce(backend: &Backend, user_id: UserId, ended: &[SessionId]) {
    let names: Vec<_> =
        ended.iter().map(|id| key(user_id, *id).name()).chain([accounts::key(user_id).name()]).collect();
    // Whoever hears of it asks the database, and need not wait for the slowest node.
    backend.bus.publish_all(ended.iter().copied().map(Topic::Session).chain([Topic::Sessions(user_id)]));
    backend.cache.forget(&names).await.everywhere().await;
}

/// Makes every node look again at what the user's sessions may do.
pub(in crate::service) async fn forget_all(backend: &Backend, user_id: UserId) {
    backend.cache.forget_group(all_of(user_id)).await.everywhere().await;
}

async fn record(
    op: &Operation,
    tx: &Transaction,
    user_id: UserId,
    ended: &[SessionId],
    action: &'static str,
) -> Result<(), Error> {
    if ended.is_empty() {
        return Ok(());
    }
    let entries = ended.iter().map(|id| op.entry(user_id, action, id));
    Ok(store::audit_logs::insert_many(tx.db(), entries).await?)
}
