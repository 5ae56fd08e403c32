//! Locks the caller's session during a transaction, so that nothing is written in an ended session.
//!
//! Rows are locked in the order account, session, mailboxes. Code that ends sessions locks the account first. So two
//! transactions never deadlock.

use crate::domain::AuthenticationReason;
use crate::service::{Error, RequestContext};
use crate::store::{self, Transaction, accounts::Credentials};

/// Locks the caller's session until the transaction ends. Fails with UNAUTHENTICATED if the session has ended.
///
/// A transaction that also locks the caller's account must do that first.
pub(in crate::service) async fn lock_session(context: &RequestContext, tx: &Transaction) -> Result<(), Error> {
    let viewer = context.viewer()?;
    let session = (viewer.user_id, viewer.session_id);
    let is_alive = store::sessions::lock(tx.db(), session, context.backend.source.now()).await?;
    if is_alive { Ok(()) } else { Err(revoked()) }
}

/// Locks the caller's account and then the session. Returns the account's current credentials.
pub(in crate::service) async fn lock_account(context: &RequestContext, tx: &Transaction) -> Result<Credentials, Error> {
    let account = store::accounts::lock(tx.db(), context.viewer()?.user_id).await?;
    let account = account.filter(|account| account.is_active).ok_or_else(revoked)?;
    lock_session(context, tx).await?;
    Ok(account)
}

fn revoked() -> Error {
    Error::Unauthenticated(AuthenticationReason::Revoked)
}
