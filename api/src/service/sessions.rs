//! Sessions: opening them, and checking whether an access token belongs to an active one.

mod changes;
mod lock;
mod opening;
mod refresh;
mod revoke;

use std::{future::Future, sync::Arc};

use futures_util::future::BoxFuture;
use quick_cache::sync::Cache as Remembered;
use secrecy::SecretString;

pub use self::changes::{Change, ChangeKind, follow};
pub(super) use self::lock::{lock_account, lock_session};
pub use self::opening::{IssuedTokens, issue};
pub(super) use self::opening::{after_opening, check_device_info, open};
pub use self::refresh::refresh;
pub(super) use self::revoke::{after_end, end_others};
pub use self::revoke::{logout, revoke, revoke_others};
use crate::crypto::{TokenError, Verified, access_token, token};
use crate::domain::{AuthenticationReason, PageArguments, Session, SessionId, UserId, Viewer, event::Topic};
use crate::service::{Backend, Connection, Error, RequestContext, cache_keys, cache_keys::SessionState};
use crate::store;

const VERIFIED_TOKENS: usize = 20_000;

/// Tokens whose signatures have been checked, by their digests.
pub(super) struct VerifiedTokens(Remembered<[u8; 32], Arc<Verified>>);

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Remembered::new(VERIFIED_TOKENS))
    }
}

/// Returns the viewer that an access token authenticates. Fails if the session has ended.
pub async fn authenticate(backend: &Arc<Backend>, token: &str) -> Result<Viewer, Error> {
    let digest = token::digest(token);
    let verified = verify(backend, token, digest).await?;
    let claims = &verified.claims;
    let viewer = |role| Viewer {
        user_id: claims.user_id(),
        session_id: claims.session_id(),
        role,
        expires_at: claims.expires_at(),
        key: verified.key,
    };
    match find_state(backend, claims.user_id(), claims.session_id()).await? {
        Some(alive) => {
            if alive.unconfirmed.is_some_and(|unconfirmed| unconfirmed == digest) {
                Box::pin(store::sessions::confirm(backend.store.db(), claims.session_id(), &digest)).await?;
                // A node with a stale cache entry confirms once more, which changes nothing.
                Box::pin(backend.cache.delete(&cache_keys::session(claims.user_id(), claims.session_id()))).await;
            }
            Ok(viewer(alive.role))
        }
        None => Err(Error::Unauthenticated(AuthenticationReason::Revoked)),
    }
}

/// Returns whether a stream's viewer is still authenticated. Cheap enough to call before each item.
pub async fn still_valid(backend: &Arc<Backend>, viewer: &Viewer) -> bool {
    // While the database is unavailable, nobody can be proven revoked, so open streams stay open.
    backend.source.now() < viewer.expires_at
        && backend.tokens.accepts(viewer.key)
        && has_ended(backend, viewer).await != Some(true)
}

/// Completes when the session ends on any node, the user loses the role, or the token's key is withdrawn.
///
/// Retries soon after a failed read, because the bus sends each hint only once.
pub fn watch(backend: &Arc<Backend>, viewer: &Viewer) -> impl Future<Output = ()> + Send + 'static {
    let viewer = *viewer;
    let Viewer { user_id, session_id, role, key: signed_with, .. } = viewer;
    let (backend, mut news) = (Arc::clone(backend), backend.bus.subscribe(Topic::Session(session_id)));
    async move {
        // No hint reports an end between the check of the token and the start of the watch.
        let mut latest = has_ended(&backend, &viewer).await;
        while latest != Some(true) && backend.tokens.accepts(signed_with) {
            let wait = if latest.is_some() { backend.poll_interval() } else { backend.poll_interval_without_bus() };
            tokio::select! {
                _ = news.news() => {}
                () = tokio::time::sleep(wait) => {}
            }
            // Bypasses the cache, because its entries cannot be deleted while Redis is unavailable.
            let found =
                Box::pin(store::sessions::find_alive(backend.store.db(), session_id, backend.source.now())).await;
            latest = match found {
                // Extends the cache entry, which saves the next request this query.
                Ok(Some(alive)) if alive.role >= role => {
                    backend
                        .cache
                        .extend(&cache_keys::session(user_id, session_id), backend.session_cache_lifetime())
                        .await;
                    Some(false)
                }
                Ok(_) => {
                    backend.cache.delete(&cache_keys::session(user_id, session_id)).await;
                    Some(true)
                }
                Err(_) => None,
            };
        }
    }
}

/// Returns the caller's current session.
pub async fn current(context: &RequestContext) -> Result<Session, Error> {
    let session = store::sessions::find(context.backend.store.db(), context.viewer()?.session_id).await?;
    session.ok_or(Error::Unauthenticated(AuthenticationReason::Revoked))
}

/// Finds one of the caller's own sessions.
pub async fn find(context: &RequestContext, id: SessionId) -> Result<Option<Session>, Error> {
    let viewer = context.viewer()?.user_id;
    let session = store::sessions::find(context.backend.store.db(), id).await?;
    Ok(session.filter(|session| session.user_id == viewer))
}

/// Returns a page of the caller's own active sessions, newest first.
pub async fn list(context: &RequestContext, arguments: &PageArguments) -> Result<Connection<Session>, Error> {
    let viewer = context.viewer()?.user_id;
    let page = context.page("sessions", arguments)?;
    let slice = store::sessions::list(context.backend.store.db(), viewer, context.backend.source.now(), &page).await?;
    Ok(Connection::of("sessions", slice, |session| session.id.0))
}

/// Returns the claims of a token. Checks the signature once, and the times and the key on every call.
async fn verify(backend: &Backend, token: &str, digest: [u8; 32]) -> Result<Arc<Verified>, Error> {
    let now = backend.source.now();
    let remembered = backend.verified.0.get(&digest);
    if let Some(verified) = remembered.filter(|verified| backend.tokens.accepts(verified.key)) {
        let times = access_token::check_times(&verified.claims, now);
        return times.map(|()| verified).map_err(|error| to_error(&error));
    }
    let token = SecretString::from(token);
    let verified = match backend.tokens.verify(&token, now) {
        // A node that joined after the last key load may have signed the token.
        Err(TokenError::UnknownKey(_)) => {
            Box::pin(backend.reload_signing_keys()).await?;
            backend.tokens.verify(&token, now)
        }
        other => other,
    };
    let verified = Arc::new(verified.map_err(|error| to_error(&error))?);
    backend.verified.0.insert(digest, Arc::clone(&verified));
    Ok(verified)
}

fn to_error(error: &TokenError) -> Error {
    Error::Unauthenticated(match error {
        TokenError::Expired => AuthenticationReason::Expired,
        TokenError::UnknownKey(_) | TokenError::Invalid => AuthenticationReason::Invalid,
    })
}

/// Returns whether a session or its role has ended, or `None` if that is unknown. Boxed, because streams call it seldom
/// but would always reserve its memory. The benchmark `sockets` guards this.
fn has_ended<'a>(backend: &'a Backend, viewer: &'a Viewer) -> BoxFuture<'a, Option<bool>> {
    Box::pin(async move {
        let found = find_state(backend, viewer.user_id, viewer.session_id).await.ok()?;
        Some(found.is_none_or(|alive| alive.role < viewer.role))
    })
}

/// Returns the state of a session, cached for a few seconds.
async fn find_state(backend: &Backend, user_id: UserId, id: SessionId) -> Result<Option<SessionState>, Error> {
    let key = cache_keys::session(user_id, id);
    let remembered = backend.cache.get(&key).await;
    backend.counted.sessions.note(remembered.is_some());
    if remembered.is_some() { Ok(remembered) } else { Box::pin(load_state(backend, user_id, id)).await }
}

/// Loads the state of a session from the database and caches it.
async fn load_state(backend: &Backend, user_id: UserId, id: SessionId) -> Result<Option<SessionState>, Error> {
    let key = cache_keys::session(user_id, id);
    let reservation = backend.cache.reserve(std::slice::from_ref(&key)).await;
    let found = store::sessions::find_alive(backend.store.db(), id, backend.source.now()).await?;
    let Some(found) = found.filter(|found| found.user_id == user_id) else { return Ok(None) };
    let alive = SessionState { role: found.role, unconfirmed: found.unconfirmed };
    backend.cache.set(&key, &alive, backend.session_cache_lifetime(), &reservation).await;
    Ok(Some(alive))
}
