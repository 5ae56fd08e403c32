//! Accounts as operators see them.

use std::collections::HashMap;

use crate::domain::{AdminUser, PageArguments, UserId, UsernamePrefix};
use crate::service::{Admin, Connection, Error};
use crate::store;

/// Finds one account.
pub async fn find(admin: Admin<'_>, id: UserId) -> Result<Option<AdminUser>, Error> {
    Ok(store::admin_users::find(admin.backend.store.db(), id).await?)
}

/// Returns a page of all accounts by name, deactivated ones included. `search` is a prefix of the name.
pub async fn list(
    admin: Admin<'_>,
    search: Option<&str>,
    arguments: &PageArguments,
) -> Result<Connection<AdminUser>, Error> {
    let prefix = UsernamePrefix::of(search);
    let list = format!("accounts {}", prefix.as_str());
    let page = admin.page(&*list, arguments)?;
    let slice = store::admin_users::list(admin.backend.store.db(), &prefix, &page).await?;
    Ok(Connection::of(&*list, slice, |user| user.username.clone()))
}

/// Returns the number of active sessions of each user.
pub async fn count_sessions(admin: Admin<'_>, ids: &[UserId]) -> Result<HashMap<UserId, i64>, Error> {
    let (db, now) = (admin.backend.store.db(), admin.backend.source.now());
    let counted = store::admin_users::count_sessions(db, ids, now).await?;
    let mut counts: HashMap<_, _> = ids.iter().map(|id| (*id, 0)).collect();
    counts.extend(counted);
    Ok(counts)
}
