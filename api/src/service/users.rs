//! Users as others see them: read often, changed seldom, so remembered.

use std::collections::HashMap;

use crate::crypto::fingerprint;
use crate::domain::{Email, PageArguments, PqcKey, PublicKeys, Role, User, UserId, Username, UsernamePrefix};
use crate::service::{Connection, Error, RequestContext, after_commit::AfterCommit, cache_keys};
use crate::store;

/// How a user may be looked up.
pub enum Lookup {
    /// By id.
    Id(UserId),
    /// By name.
    Username(String),
    /// By address: the caller's own, or anyone's for an operator.
    Email(String),
}

/// One user, for anyone signed in.
pub async fn find(context: &RequestContext, lookup: Lookup) -> Result<Option<User>, Error> {
    let viewer = context.viewer()?;
    let db = context.backend.store.db();
    let is_by_id = matches!(lookup, Lookup::Id(_));
    let id = match lookup {
        Lookup::Id(id) => Some(id),
        // What cannot be a name is nobody's.
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
    // By id a deactivated account is still somebody's peer; whoever searches does not find it.
    Ok(user.filter(|user| is_by_id || user.is_active))
}

/// Those of these users that exist: from the cache, the rest in one statement.
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

/// A user whom this process remembers itself.
#[must_use]
pub fn find_local(context: &RequestContext, id: UserId) -> Option<User> {
    let user = context.backend.cache.get_local(&cache_keys::user(id));
    if user.is_some() {
        context.backend.counted.users.note(true);
    }
    user
}

/// The same from the database, remembered for the next time.
async fn read_many(context: &RequestContext, ids: &[UserId]) -> Result<Vec<User>, Error> {
    let cache = &context.backend.cache;
    let reservation = cache.reserve(&ids.iter().copied().map(cache_keys::user).collect::<Vec<_>>()).await;
    let users = store::users::find_many(context.backend.store.db(), ids).await?;
    let keys: Vec<_> = users.iter().map(|user| cache_keys::user(user.id)).collect();
    let read: Vec<_> = keys.iter().zip(&users).collect();
    cache.set_many(&read, context.backend.user_cache_lifetime(), &reservation).await;
    Ok(users)
}

/// All public keys of those of these users that have published some.
pub async fn find_keys(context: &RequestContext, ids: &[UserId]) -> Result<HashMap<UserId, PublicKeys>, Error> {
    let stored = store::users::find_keys(context.backend.store.db(), ids).await?;
    let keys = stored.into_iter().map(|(id, keys, bytes)| {
        let fingerprint = fingerprint(&keys.ecc, &bytes);
        (id, PublicKeys { pqc: Some(PqcKey { bytes, fingerprint }), ..keys })
    });
    Ok(keys.collect())
}

/// Active users by name, for anyone signed in; `search` is how the name begins.
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

/// What follows each change to a user, beside something else: nobody is shown the user as it was, on any node, and its
/// followers hear of it.
pub(super) fn after_change(id: UserId, also: AfterCommit) -> AfterCommit {
    also.invalidate([cache_keys::user(id).name(), cache_keys::account(id).name()]).notify_followers(id)
}
