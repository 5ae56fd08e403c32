//! Opens sessions, for their owners and for operators.

use secrecy::{ExposeSecret, SecretString};

use crate::crypto::token;
use crate::domain::{AuditAction, Role, Session, SessionId, Timestamp, UserId, Viewer};
use crate::service::after_commit::AfterCommit;
use crate::service::sessions::revoke::{after_end, end_many};
use crate::service::{Backend, Error, RequestContext};
use crate::store::{self, Transaction, sessions::TokenDigests};

/// Maximum length of a device description, in characters.
const DEVICE_INFO_MAX: usize = 200;

/// Tokens issued for a session. Each is shown only once.
pub struct IssuedTokens {
    /// Access token, which authenticates requests.
    pub access_token: SecretString,
    /// Expiry time of the access token.
    pub access_token_expires_at: Timestamp,
    /// Refresh token, used to obtain a new access token.
    pub refresh_token: SecretString,
    /// Expiry time of the refresh token.
    pub refresh_token_expires_at: Timestamp,
    /// Viewer that the access token authenticates.
    pub viewer: Viewer,
    /// Sessions that ended to make room for a new one.
    pub(super) ended: Vec<SessionId>,
}

/// Returns a client's description of its device. Fails if the description is invalid.
pub(in crate::service) fn check_device_info(device_info: Option<String>) -> Result<Option<String>, Error> {
    match device_info {
        Some(text) if text.chars().count() > DEVICE_INFO_MAX => {
            Err(Error::invalid("input.deviceInfo", format!("must have at most {DEVICE_INFO_MAX} characters")))
        }
        Some(text) if text.contains('\0') => {
            Err(Error::invalid("input.deviceInfo", "must not contain a NUL character"))
        }
        other => Ok(other),
    }
}

/// Opens a session inside a transaction and records it in the audit trail.
///
/// The transaction must have locked the account and checked that the owner's proof still holds. Code that ends sessions
/// takes this lock too, so it cannot miss the new session.
pub(in crate::service) async fn open(
    context: &RequestContext,
    tx: &Transaction,
    (user_id, role): (UserId, Role),
    device_info: Option<String>,
) -> Result<IssuedTokens, Error> {
    let backend = &context.backend;
    let (source, now) = (&backend.source, backend.source.now());
    let id = SessionId(source.uuid());
    let (access_token, access_token_expires_at) = sign(backend, user_id, id, now)?;
    let refresh_token = token::refresh_token(&backend.seal, id, source.random.bytes());
    let session = Session {
        id,
        user_id,
        device_info,
        ip_address: context.client.ip.map(|ip| ip.to_string()),
        created_at: now,
        last_used_at: now,
        expires_at: now + backend.refresh_token_lifetime(),
    };
    let digests = TokenDigests {
        access: token::digest(access_token.expose_secret()),
        refresh: token::digest(refresh_token.expose_secret()),
    };
    let kept = u64::from(backend.config.accounts.max_sessions).saturating_sub(1);
    let idle = store::sessions::find_idle(tx.db(), user_id, kept).await?;
    let ended = end_many(context, tx, user_id, &idle, AuditAction::SessionDisplaced).await?;
    store::sessions::insert(tx.db(), &session, digests).await?;
    store::audit_logs::insert_many(tx.db(), [context.entry(user_id, AuditAction::SessionCreated, &id)]).await?;
    let key = backend.tokens.signing_key().tag();
    let viewer = Viewer { user_id, session_id: id, role, expires_at: access_token_expires_at, key };
    let refresh_token_expires_at = session.expires_at;
    Ok(IssuedTokens { access_token, access_token_expires_at, refresh_token, refresh_token_expires_at, viewer, ended })
}

/// Opens a session for a user at an operator's request, without the user's proof.
pub async fn issue(
    context: &RequestContext,
    user_id: UserId,
    device_info: Option<String>,
) -> Result<IssuedTokens, Error> {
    let device_info = check_device_info(device_info)?;
    let tx = context.backend.store.begin().await?;
    let account = store::accounts::lock(tx.db(), user_id).await?;
    let account = account.filter(|account| account.is_active).ok_or(Error::NotFound("user"))?;
    let tokens = open(context, &tx, (user_id, account.role), device_info).await?;
    let entry = context.entry(user_id, AuditAction::SessionIssued, &tokens.viewer.session_id);
    store::audit_logs::insert_many(tx.db(), [entry]).await?;
    after_opening(&tokens).commit(&context.backend, tx).await?;
    Ok(tokens)
}

/// Returns the steps that follow the commit of a new session.
pub(in crate::service) fn after_opening(tokens: &IssuedTokens) -> AfterCommit {
    after_end(tokens.viewer.user_id, &tokens.ended)
}

/// Signs an access token for a session. Returns the token and its expiry time.
pub(super) fn sign(
    backend: &Backend,
    user_id: UserId,
    id: SessionId,
    now: Timestamp,
) -> Result<(SecretString, Timestamp), Error> {
    let lifetime = backend.access_token_lifetime();
    let signed = backend.tokens.sign((user_id, id), backend.source.uuid(), now, lifetime);
    signed.map_err(|error| Error::Internal { cause: error.to_string() })
}
