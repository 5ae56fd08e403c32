//! Users as others see them. They are read often and changed seldom, so they are cached.

use std::collections::HashMap;

use crate::crypto::fingerprint;
use crate::domain::{Email, PageArguments, PqcKey, PublicKeys, Role, User, UserId, Username, UsernamePrefix};
use crate::service::{Connection, Error, RequestContext, after_commit::AfterCommit, cache_keys};
use crate::store;

/// Key for looking up a user.
pub enum Lookup {
    /// Id of the user.
    Id(UserId),
    /// Username.
    Username(String),
    /// Email address. Callers find only themselves by it, operators find anyone.
    Email(String),
}

/// Finds one user, for any signed-in caller.
pub async fn find(context: &RequestContext, lookup: Lookup) -> Result<Option<User>, Error> {
    let viewer = context.viewer()?;
    let db = context.backend.store.db();
    let is_by_id = matches!(lookup, Lookup::Id(_));
    let id = match lookup {
        Lookup::Id(id) => Some(id),
        // No user has an invalid name.
        Lookup::Username(text) => match text.parse::<Username>() {
            Ok(username) => Box::pin(store::users::find_by_username(db, &username)).await?,
            Err(_) => None,
        },
        Lookup::Email(text) => match text.parse::<Email>() {
            Ok(email) => Box::pin(store::users::find_by_email(db, &email))
                .await?
                .filter(|id| *id == viewer.user_id || viewer.role == Role::Admin),
            Err(_) => None,
        },
    };
    let Some(id) = id else { return Ok(None) };
    let remembered = context.backend.cache.get(&cache_keys::user(id)).await;
    let user = if remembered.is_some() { remembered } else { Box::pin(read_many(context, &[id])).await?.pop() };
    // A deactivated account is found by id, because it remains a peer of others. Searches do not find it.
    Ok(user.filter(|user| is_by_id || user.is_active))
}

/// Returns those of the given users that exist. Reads the cache first, then the rest in one statement.
pub async fn find_many(context: &RequestContext, ids: &[UserId]) -> Result<HashMap<UserId, User>, Error> {
    let cache = &context.backend.cache;
    let keys: Vec<_> = ids.iter().map(|id| cache_keys::user(*id)).collect();
    let mut users: HashMap<_, _> =
        cache.get_many(&keys).await.into_iter().flatten().map(|user| (user.id, user)).collect();
    let missing: Vec<_> = ids.iter().copied().filter(|id| !users.contains_key(id)).collect();
    for id in ids {
        context.backend.counted.users.note(users.contains_key(id));
    }
    if !missing.is_empty() {
        users.extend(read_many(context, &missing).await?.into_iter().map(|user| (user.id, user)));
    }
    Ok(users)
}

/// Returns a user from this process's local cache.
#[must_use]
pub fn find_local(context: &RequestContext, id: UserId) -> Option<User> {
    let user = context.backend.cache.get_local(&cache_keys::user(id));
    if user.is_some() {
        context.backend.counted.users.note(true);
    }
    user
}

/// Reads users from the database and caches them.
async fn read_many(context: &RequestContext, ids: &[UserId]) -> Result<Vec<User>, Error> {
    let cache = &context.backend.cache;
    let reservation = cache.reserve(&ids.iter().copied().map(cache_keys::user).collect::<Vec<_>>()).await;
    let users = store::users::find_many(context.backend.store.db(), ids).await?;
    let keys: Vec<_> = users.iter().map(|user| cache_keys::user(user.id)).collect();
    let read: Vec<_> = keys.iter().zip(&users).collect();
    cache.set_many(&read, context.backend.user_cache_lifetime(), &reservation).await;
    Ok(users)
}

/// Returns all public keys of the given users that have published some.
pub async fn find_keys(context: &RequestContext, ids: &[UserId]) -> Result<HashMap<UserId, PublicKeys>, Error> {
    let stored = store::users::find_keys(context.backend.store.db(), ids).await?;
    let keys = stored.into_iter().map(|(id, keys, bytes)| {
        let fingerprint = fingerprint(&keys.ecc, &bytes);
        (id, PublicKeys { pqc: Some(PqcKey { bytes, fingerprint }), ..keys })
    });
    Ok(keys.collect())
}

/// Returns a page of active users by name, for any signed-in caller. `search` is a prefix of the name.
pub async fn list(
    context: &RequestContext,
    search: Option<&str>,
    arguments: &PageArguments,
) -> Result<Connection<User>, Error> {
    context.viewer()?;
    let prefix = UsernamePrefix::of(search);
    let list = format!("users {}", prefix.as_str());
    let page = context.page(&*list, arguments)?;
    let slice = store::users::list(context.backend.store.db(), &prefix, &page).await?;
    Ok(Connection::of(&*list, slice, |user| user.username.clone()))
}

/// Returns the steps after a change to a user, in addition to `also`. Every node drops its cached values of the user,
/// and followers are notified.
pub(super) fn after_change(id: UserId, also: AfterCommit) -> AfterCommit {
    also.invalidate([cache_keys::user(id).name(), cache_keys::account(id).name()]).notify_followers(id)
}
