//! Ends sessions, for their owners and for other use cases.

use crate::domain::{AuditAction, SessionId, UserId, event::Topic};
use crate::service::{Error, RequestContext, after_commit::AfterCommit, cache_keys, sessions::lock_account};
use crate::store::{self, Transaction};

/// Ends the caller's current session. A repetition after a lost response finds it ended and succeeds.
pub async fn logout(context: &RequestContext) -> Result<SessionId, Error> {
    let viewer = context.viewer()?;
    end_one(context, viewer.user_id, viewer.session_id).await?;
    Ok(viewer.session_id)
}

/// Ends one of the caller's own sessions.
pub async fn revoke(context: &RequestContext, id: SessionId) -> Result<SessionId, Error> {
    let was_there = end_one(context, context.viewer()?.user_id, id).await?;
    if was_there { Ok(id) } else { Err(Error::NotFound("session")) }
}

/// Ends a session. Returns whether it existed.
///
/// The steps after the commit run in both cases: an earlier request may have ended the session without running them.
async fn end_one(context: &RequestContext, user_id: UserId, id: SessionId) -> Result<bool, Error> {
    let tx = context.backend.store.begin().await?;
    let work = async {
        // A repeated logout finds its own session ended, which `lock_account` does not allow.
        if id == context.viewer()?.session_id {
            store::accounts::lock(tx.db(), user_id).await?;
        } else {
            lock_account(context, &tx).await?;
        }
        let ended = end_many(context, &tx, user_id, &[id], AuditAction::SessionRevoked).await?;
        tx.commit().await?;
        Ok(!ended.is_empty())
    };
    after_end(user_id, &[id]).finish(&context.backend, work.await).await
}

/// Ends all of the caller's sessions except the current one.
pub async fn revoke_others(context: &RequestContext) -> Result<Vec<SessionId>, Error> {
    let viewer = context.viewer()?;
    let tx = context.backend.store.begin().await?;
    lock_account(context, &tx).await?;
    let ended = end_others(context, &tx, viewer.user_id, Some(viewer.session_id)).await?;
    after_end(viewer.user_id, &ended).commit(&context.backend, tx).await?;
    Ok(ended)
}

/// Ends all sessions of a user except `kept`. The transaction must have locked the account and must commit with
/// [`after_end`].
pub(in crate::service) async fn end_others(
    context: &RequestContext,
    tx: &Transaction,
    user_id: UserId,
    kept: Option<SessionId>,
) -> Result<Vec<SessionId>, Error> {
    let ended = store::sessions::delete_others(tx.db(), user_id, kept).await?;
    record(context, tx, user_id, &ended, AuditAction::SessionRevoked).await?;
    Ok(ended)
}

/// Ends the given sessions of a user inside a transaction. Returns those that existed.
pub(super) async fn end_many(
    context: &RequestContext,
    tx: &Transaction,
    user_id: UserId,
    ids: &[SessionId],
    action: AuditAction,
) -> Result<Vec<SessionId>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ended = store::sessions::delete_many(tx.db(), user_id, ids).await?;
    record(context, tx, user_id, &ended, action).await?;
    Ok(ended)
}

/// Returns the steps that enforce the end of sessions on every node. Requests fail, sockets close, other devices
/// update. The account is invalidated too, because it shows the last sign-in.
pub(in crate::service) fn after_end(user_id: UserId, ended: &[SessionId]) -> AfterCommit {
    let names =
        ended.iter().map(|id| cache_keys::session(user_id, *id).name()).chain([cache_keys::account(user_id).name()]);
    let topics = ended.iter().copied().map(Topic::Session).chain([Topic::Sessions(user_id)]);
    AfterCommit::default().invalidate(names).publish(topics)
}

async fn record(
    context: &RequestContext,
    tx: &Transaction,
    user_id: UserId,
    ended: &[SessionId],
    action: AuditAction,
) -> Result<(), Error> {
    if ended.is_empty() {
        return Ok(());
    }
    let entries = ended.iter().map(|id| context.entry(user_id, action, id));
    Ok(store::audit_logs::insert_many(tx.db(), entries).await?)
}
