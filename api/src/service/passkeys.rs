//! Passkeys: adding them to an account, signing in with them, and removing them.

use chrono::TimeDelta;
use serde_json::Value;

use crate::crypto::passkeys::{Assertion, Begun, PasskeyError};
use crate::crypto::password;
use crate::domain::{AuditAction, CeremonyId, CeremonyKind, DeviceName, Passkey, PasskeyId, SessionId, UserId};
use crate::service::{Error, RequestContext, context::rate_limits::RateLimit, sessions, sessions::IssuedTokens};
use crate::store::{self, Unique, passkey_ceremonies::Ceremony, passkeys::Credential};

/// Lifetime of a ceremony. Browsers receive an equal time limit.
const CEREMONY_MINUTES: i64 = 5;
/// Maximum number of passkeys of an account. Lists of passkeys are not paged.
const PASSKEYS_MAX: u64 = 20;

/// A ceremony for the browser to continue.
pub struct Offer {
    /// Id by which to finish the ceremony.
    pub id: CeremonyId,
    /// Input of `PublicKeyCredential.parse...OptionsFromJSON`.
    pub options: Value,
}

/// A browser's response to a registration.
pub struct NewPasskey {
    /// Id of the ceremony.
    pub ceremony_id: CeremonyId,
    /// Result of the credential's `toJSON`.
    pub credential: Value,
    /// The owner's name for the device.
    pub device_name: String,
}

/// A browser's response to a login.
pub struct PasskeyLogin {
    /// Id of the ceremony.
    pub ceremony_id: CeremonyId,
    /// Result of the credential's `toJSON`.
    pub credential: Value,
    /// Description of the device.
    pub device_info: Option<String>,
}

/// Begins the registration of a passkey for the caller's account.
pub async fn begin_registration(context: &RequestContext) -> Result<Offer, Error> {
    let (viewer, backend) = (context.viewer()?, &context.backend);
    RateLimit::PASSKEY.spend_by_address(context).await?;
    check_recent_sign_in(context).await?;
    let user = super::users::find_many(context, &[viewer.user_id]).await?.remove(&viewer.user_id);
    let user = user.ok_or(Error::NotFound("user"))?;
    let existing = store::passkeys::find_credential_ids(backend.store.db(), viewer.user_id).await?;
    check_capacity(existing.len() as u64)?;
    let begun = backend.passkeys.begin_registration(user_handle(context, viewer.user_id), &user.username, existing);
    begin_ceremony(context, CeremonyKind::Registration, Some(viewer.session_id), begun).await
}

/// Adds the passkey that an authenticator has created.
pub async fn finish_registration(context: &RequestContext, new: NewPasskey) -> Result<Passkey, Error> {
    let (viewer, backend) = (context.viewer()?, &context.backend);
    let name: DeviceName = new.device_name.parse().map_err(|reason| Error::invalid("input.deviceName", reason))?;
    // Only the session that began a ceremony may finish it.
    let state = consume(context, new.ceremony_id, CeremonyKind::Registration, Some(viewer.session_id)).await?;
    let state = state.ok_or(Error::NotFound("ceremony"))?;
    let registered = backend.passkeys.finish_registration(state, new.credential).map_err(|error| match error {
        PasskeyError::Failed(cause) => Error::Internal { cause },
        PasskeyError::Refused(_) | PasskeyError::CounterRegressed => {
            Error::invalid("input.credential", "does not match this ceremony: begin another one")
        }
    })?;

    let passkey = Passkey {
        id: PasskeyId(backend.source.uuid()),
        user_id: viewer.user_id,
        device_name: name.into_string(),
        created_at: backend.source.now(),
        last_used_at: None,
    };
    let credential =
        Credential { credential_id: registered.credential_id, key: registered.key, counter: registered.counter };
    let tx = backend.store.begin().await?;
    sessions::lock_account(context, &tx).await?;
    // Counts while the account is locked, because ceremonies that began together may finish together.
    check_capacity(store::passkeys::count(tx.db(), viewer.user_id).await?)?;
    store::passkeys::insert(tx.db(), &passkey, credential).await.map_err(to_conflict)?;
    store::audit_logs::insert_many(tx.db(), [context.entry(viewer.user_id, AuditAction::PasskeyAdded, &passkey.id)])
        .await?;
    tx.commit().await?;
    Ok(passkey)
}

/// Begins a sign-in by passkey. All responses are alike, because the user is known only at the end.
pub async fn begin_login(context: &RequestContext) -> Result<Offer, Error> {
    RateLimit::PASSKEY.spend_by_address(context).await?;
    begin_ceremony(context, CeremonyKind::Login, None, context.backend.passkeys.begin_login()).await
}

/// Signs in with a passkey. All rejections share one error message.
pub async fn finish_login(context: &RequestContext, login: PasskeyLogin) -> Result<IssuedTokens, Error> {
    let (backend, store) = (&context.backend, &context.backend.store);
    let device_info = sessions::check_device_info(login.device_info)?;
    let state =
        consume(context, login.ceremony_id, CeremonyKind::Login, None).await?.ok_or(Error::InvalidCredentials)?;
    let assertion = Assertion::parse(login.credential).map_err(to_error)?;
    let found = store::passkeys::find_by_credential_id(store.db(), assertion.credential_id()).await?;
    let (passkey, key) = found.ok_or(Error::InvalidCredentials)?;
    let user_id = passkey.user_id;
    if assertion.handle() != Some(&user_handle(context, user_id)) {
        return Err(Error::InvalidCredentials);
    }
    let verified = match backend.passkeys.finish_login(state, &assertion, key) {
        Err(PasskeyError::CounterRegressed) => return Err(report_regression(context, &passkey).await?),
        other => other.map_err(to_error)?,
    };

    let (tx, now) = (store.begin().await?, backend.source.now());
    let account = store::accounts::lock(tx.db(), user_id).await?;
    let account = account.filter(|account| account.is_active).ok_or(Error::InvalidCredentials)?;
    if !store::passkeys::update_used(tx.db(), passkey.id, (verified.key, verified.counter), now).await? {
        tx.rollback().await?;
        // Either the passkey was just removed, or a concurrent login has advanced its counter.
        let is_there = store::passkeys::find(store.db(), passkey.id).await?.is_some();
        return Err(if is_there { report_regression(context, &passkey).await? } else { Error::InvalidCredentials });
    }
    store::accounts::update_last_login(tx.db(), user_id, now).await?;
    let tokens = sessions::open(context, &tx, (user_id, account.role), device_info).await?;
    sessions::after_opening(&tokens).commit(&context.backend, tx).await?;
    Ok(tokens)
}

/// Returns the caller's passkeys, oldest first.
pub async fn own(context: &RequestContext) -> Result<Vec<Passkey>, Error> {
    Ok(store::passkeys::list(context.backend.store.db(), context.viewer()?.user_id).await?)
}

/// Finds one of the caller's own passkeys.
pub async fn find(context: &RequestContext, id: PasskeyId) -> Result<Option<Passkey>, Error> {
    let viewer = context.viewer()?.user_id;
    let passkey = store::passkeys::find(context.backend.store.db(), id).await?;
    Ok(passkey.filter(|passkey| passkey.user_id == viewer))
}

/// Removes one of the caller's passkeys, unless it is the last way to sign in.
///
/// Other ways are further passkeys and a password. Registration sets a password, but an account can lack one. Its
/// stored hash then matches no password. A password that is blocked after attacks still counts, because time or a mail
/// unblocks it.
pub async fn remove(context: &RequestContext, id: PasskeyId) -> Result<(), Error> {
    let user_id = context.viewer()?.user_id;
    check_recent_sign_in(context).await?;
    let tx = context.backend.store.begin().await?;
    // The lock keeps two concurrent removals from relying on each other's passkey.
    let account = sessions::lock_account(context, &tx).await?;
    if !store::passkeys::delete(tx.db(), user_id, id).await? {
        return Err(Error::NotFound("passkey"));
    }
    if !password::is_set(&account.password_hash) && store::passkeys::count(tx.db(), user_id).await? == 0 {
        return Err(Error::Conflict { field: "input.id", reason: "is the last way to sign in: add another first" });
    }
    store::audit_logs::insert_many(tx.db(), [context.entry(user_id, AuditAction::PasskeyRemoved, &id)]).await?;
    Ok(tx.commit().await?)
}

/// Fails if an account with this many passkeys may not have another one.
fn check_capacity(count: u64) -> Result<(), Error> {
    if count < PASSKEYS_MAX {
        return Ok(());
    }
    Err(Error::Conflict { field: "passkeys", reason: "have reached the limit: remove one first" })
}

/// Fails unless the caller signed in recently. A stolen access token must not change how its owner signs in.
async fn check_recent_sign_in(context: &RequestContext) -> Result<(), Error> {
    let within = context.backend.config.webauthn.recent_sign_in_seconds;
    let opened_at = sessions::current(context).await?.created_at;
    let is_recent = context.backend.source.now() - opened_at <= TimeDelta::seconds(within.into());
    if is_recent { Ok(()) } else { Err(Error::SignInAgain) }
}

/// Returns the user handle that an authenticator keeps instead of the user id, which others know. Derived, so that
/// nothing needs to be stored.
fn user_handle(context: &RequestContext, user_id: UserId) -> [u8; 16] {
    context.backend.seal.derive(b"passkey handle", user_id.0.as_bytes())
}

async fn begin_ceremony(
    context: &RequestContext,
    kind: CeremonyKind,
    session_id: Option<SessionId>,
    begun: Result<Begun, PasskeyError>,
) -> Result<Offer, Error> {
    let Begun { options, state } = begun.map_err(|error| Error::Internal { cause: error.to_string() })?;
    let (db, source) = (context.backend.store.db(), &context.backend.source);
    let (id, now) = (CeremonyId(source.uuid()), source.now());
    let expires_at = now + TimeDelta::minutes(CEREMONY_MINUTES);
    // Each new ceremony deletes expired ones, so that they cannot pile up.
    store::passkey_ceremonies::delete_expired(db, now).await?;
    store::passkey_ceremonies::insert(db, Ceremony { id, kind, session_id, state, expires_at }).await?;
    Ok(Offer { id, options })
}

/// Consumes a ceremony and returns its state. Even a mismatch consumes it.
async fn consume(
    context: &RequestContext,
    id: CeremonyId,
    kind: CeremonyKind,
    session_id: Option<SessionId>,
) -> Result<Option<Value>, Error> {
    let now = context.backend.source.now();
    let ceremony = store::passkey_ceremonies::delete(context.backend.store.db(), id).await?;
    let is_meant = |found: &Ceremony| found.kind == kind && found.session_id == session_id && now < found.expires_at;
    Ok(ceremony.filter(is_meant).map(|ceremony| ceremony.state))
}

/// Reports a possible copy of the authenticator to the owner. Returns the error for the client.
async fn report_regression(context: &RequestContext, passkey: &Passkey) -> Result<Error, Error> {
    tracing::warn!(user.id = %passkey.user_id, passkey.id = %passkey.id, "a passkey's counter did not increase");
    let entry = context.entry(passkey.user_id, AuditAction::PasskeyCounterRegressed, &passkey.id);
    store::audit_logs::insert_many(context.backend.store.db(), [entry]).await?;
    Ok(Error::InvalidCredentials)
}

fn to_error(error: PasskeyError) -> Error {
    match error {
        PasskeyError::Failed(cause) => Error::Internal { cause },
        PasskeyError::Refused(_) | PasskeyError::CounterRegressed => Error::InvalidCredentials,
    }
}

fn to_conflict(error: store::Error) -> Error {
    match error {
        store::Error::Taken(Unique::CredentialId) => {
            Error::Conflict { field: "input.credential", reason: "is already registered" }
        }
        other => other.into(),
    }
}
