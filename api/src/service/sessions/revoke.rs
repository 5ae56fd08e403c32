//! Ending sessions, by their owner and by whatever else ends them.

use crate::domain::{SessionId, UserId, event::Topic};
use crate::service::{Error, RequestContext, after_commit::AfterCommit, cache_keys, sessions::lock_account};
use crate::store::{self, Transaction};

/// Ends the session that the operation runs in. A repeat, whose first answer was lost, finds it ended and succeeds.
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

/// Ends a session, and says whether there was one.
///
/// What follows does so as well where there was none: the end may be that of an earlier request, whose node had no time
/// to tell of it.
async fn end_one(context: &RequestContext, user_id: UserId, id: SessionId) -> Result<bool, Error> {
    let tx = context.backend.store.begin().await?;
    let work = async {
        // A repeated logout finds its own session ended.
        if id == context.viewer()?.session_id {
            store::accounts::lock(tx.db(), user_id).await?;
        } else {
            lock_account(context, &tx).await?;
        }
        let ended = end_many(context, &tx, user_id, &[id], "session.revoked").await?;
        tx.commit().await?;
        Ok(!ended.is_empty())
    };
    after_end(user_id, &[id]).finish(&context.backend, work.await).await
}

/// Ends the caller's sessions but the one that the operation runs in.
pub async fn revoke_others(context: &RequestContext) -> Result<Vec<SessionId>, Error> {
    let viewer = context.viewer()?;
    let tx = context.backend.store.begin().await?;
    lock_account(context, &tx).await?;
    let ended = end_others(context, &tx, viewer.user_id, Some(viewer.session_id)).await?;
    after_end(viewer.user_id, &ended).commit(&context.backend, tx).await?;
    Ok(ended)
}

/// Ends all sessions of a user but one, inside a transaction that has locked the account and is committed with
/// [`after_end`].
pub(in crate::service) async fn end_others(
    context: &RequestContext,
    tx: &Transaction,
    user_id: UserId,
    kept: Option<SessionId>,
) -> Result<Vec<SessionId>, Error> {
    let ended = store::sessions::delete_others(tx.db(), user_id, kept).await?;
    record(context, tx, user_id, &ended, "session.revoked").await?;
    Ok(ended)
}

/// Ends those of these sessions that are the user's, inside a transaction.
pub(super) async fn end_many(
    context: &RequestContext,
    tx: &Transaction,
    user_id: UserId,
    ids: &[SessionId],
    action: &'static str,
) -> Result<Vec<SessionId>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ended = store::sessions::delete_many(tx.db(), user_id, ids).await?;
    record(context, tx, user_id, &ended, action).await?;
    Ok(ended)
}

/// What makes the end of sessions hold on every node: requests are refused, sockets close, other devices hear of it.
/// The account goes with it: a sign-in shows there.
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
    action: &'static str,
) -> Result<(), Error> {
    if ended.is_empty() {
        return Ok(());
    }
    let entries = ended.iter().map(|id| context.entry(user_id, action, id));
    Ok(store::audit_logs::insert_many(tx.db(), entries).await?)
}
