//! Refreshing sessions. Each refresh token works once, and reusing one ends the session.
//!
//! A response can be lost, and two tabs of one client can refresh at once. Both look like theft. So a refresh may be
//! repeated for a short time, until its new tokens are used. A repetition returns the refresh token of the first
//! response. So only one refresh token continues a session, and a repeating client never holds a dead one.
//!
//! The session stores no token for this, only the digest of the previous token and a salt. The salt and the previous
//! token, which only the client has, derive the current token. Neither is enough alone. Using the new access token or
//! refresh token discards the digest. From then on, the old token counts as stolen.

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};

use crate::crypto::token;
use crate::domain::{AuditAction, AuthenticationReason, Session, Timestamp, Viewer, event::Topic};
use crate::service::after_commit::AfterCommit;
use crate::service::context::rate_limits::RateLimit;
use crate::service::sessions::opening::{IssuedTokens, sign};
use crate::service::sessions::revoke::{after_end, end_many};
use crate::service::{Backend, Error, RequestContext, cache_keys};
use crate::store::sessions::{Rotation, TokenDigests};
use crate::store::{self, Transaction};

/// Exchanges a refresh token for the next tokens of its session.
pub async fn refresh(context: &RequestContext, parent: SecretString) -> Result<IssuedTokens, Error> {
    let refuse = Error::Unauthenticated;
    let (backend, now) = (&context.backend, context.backend.source.now());
    let id = token::refreshed_session(&backend.seal, &parent).ok_or(refuse(AuthenticationReason::Invalid))?;
    RateLimit::REFRESH.spend(context, &id).await?;
    let session = store::sessions::find(backend.store.db(), id).await?;
    let session = session.ok_or(refuse(AuthenticationReason::Revoked))?;
    if session.expires_at <= now {
        return Err(refuse(AuthenticationReason::Expired));
    }
    let alive = store::sessions::find_alive(backend.store.db(), id, now).await?;
    let role = alive.ok_or(refuse(AuthenticationReason::Revoked))?.role;

    let user_id = session.user_id;
    let (access_token, access_token_expires_at) = sign(backend, user_id, id, now)?;
    let tx = backend.store.begin().await?;
    let Some((refresh_token, refresh_token_expires_at)) =
        rotate(context, &tx, &session, &parent, &access_token).await?
    else {
        end_many(context, &tx, user_id, &[id], AuditAction::SessionReuseDetected).await?;
        after_end(user_id, &[id]).commit(backend, tx).await?;
        return Err(refuse(AuthenticationReason::Revoked));
    };
    // On all nodes, so that the first node to receive the new access token records its use.
    let after = AfterCommit::default()
        .invalidate([cache_keys::session(user_id, id).name()])
        .publish([Topic::Sessions(user_id)]);
    after.commit(backend, tx).await?;
    let key = backend.tokens.signing_key().tag();
    let viewer = Viewer { user_id, session_id: id, role, expires_at: access_token_expires_at, key };
    let ended = Vec::new();
    Ok(IssuedTokens { access_token, access_token_expires_at, refresh_token, refresh_token_expires_at, viewer, ended })
}

/// Rotates the refresh token. Returns the next one and its expiry time, or `None` if the token counts as stolen.
async fn rotate(
    context: &RequestContext,
    tx: &Transaction,
    session: &Session,
    parent: &SecretString,
    access_token: &SecretString,
) -> Result<Option<(SecretString, Timestamp)>, Error> {
    let (backend, now) = (&context.backend, context.backend.source.now());
    let successor = |salt: &[u8]| token::refresh_token(&backend.seal, session.id, token::successor(parent, salt));
    let (salt, expires_at) = (backend.source.random.bytes(), expiry(backend, session, now));
    let child = successor(&salt);
    let (digest, access) = (token::digest(parent.expose_secret()), token::digest(access_token.expose_secret()));
    let digests = TokenDigests { access, refresh: token::digest(child.expose_secret()) };
    let rotation = Rotation { parent: digest, child: digests, salt, expires_at, now };
    if store::sessions::rotate(tx.db(), session.id, rotation).await? {
        return Ok(Some((child, expires_at)));
    }
    let since = now - TimeDelta::seconds(backend.config.accounts.refresh_grace_seconds.into());
    let repeated = store::sessions::reissue(tx.db(), session.id, digest, since, access).await?;
    Ok(repeated.map(|(salt, expires_at)| (successor(&salt), expires_at)))
}

/// Returns the expiry time of a refreshed session, limited by its idle time and by its age.
fn expiry(backend: &Backend, session: &Session, now: Timestamp) -> Timestamp {
    let oldest = session.created_at + TimeDelta::seconds(backend.config.accounts.session_ttl_seconds.into());
    oldest.min(now + backend.refresh_token_lifetime())
}
