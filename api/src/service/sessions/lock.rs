//! Holding the caller's session while a transaction runs, so that nothing is written in a session that has ended.
//!
//! Rows are locked in the order account, session, mailboxes. What ends sessions locks their account first. So two
//! transactions never wait for each other.

use crate::domain::AuthenticationReason;
use crate::service::{Error, RequestContext};
use crate::store::{self, Transaction, accounts::Credentials};

/// Fails with UNAUTHENTICATED if the caller's session has ended. Otherwise the session cannot end before the
/// transaction.
///
/// A transaction that also locks the caller's account does that first.
pub(in crate::service) async fn lock_session(context: &RequestContext, tx: &Transaction) -> Result<(), Error> {
    let viewer = context.viewer()?;
    let session = (viewer.user_id, viewer.session_id);
    let is_alive = store::sessions::lock(tx.db(), session, context.backend.source.now()).await?;
    if is_alive { Ok(()) } else { Err(revoked()) }
}

/// Locks the caller's account, then holds the session. Returns the account's credentials as they are now.
pub(in crate::service) async fn lock_account(context: &RequestContext, tx: &Transaction) -> Result<Credentials, Error> {
    let account = store::accounts::lock(tx.db(), context.viewer()?.user_id).await?;
    let account = account.filter(|account| account.is_active).ok_or_else(revoked)?;
    lock_session(context, tx).await?;
    Ok(account)
}

fn revoked() -> Error {
    Error::Unauthenticated(AuthenticationReason::Revoked)
}
