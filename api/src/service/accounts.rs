//! Accounts: registration, sign-in, and the owner's view of the account.

use secrecy::SecretString;
use uuid::Uuid;

use crate::domain::{Account, AuditAction, Email, Role, TokenPurpose, UserId, Username};
use crate::service::after_commit::AfterCommit;
use crate::service::context::rate_limits::{RateLimit, spend_account};
use crate::service::sessions::{self, IssuedTokens};
use crate::service::{Error, RequestContext, cache_keys, one_time_tokens, password_policy, users};
use crate::store::accounts::{Credentials, NewAccount};
use crate::store::{self, Transaction, Unique};

/// Password checks per sign-in. A second one follows if a concurrent sign-in has just upgraded the stored hash.
const PROOFS: usize = 2;

/// Registration of a new user.
pub struct Registration {
    /// Username of the account.
    pub username: String,
    /// Email address of the account.
    pub email: String,
    /// Password of the account.
    pub password: SecretString,
    /// Description of the device.
    pub device_info: Option<String>,
}

/// Sign-in of an existing user.
pub struct Login {
    /// Username or email address.
    pub login: String,
    /// Password of the account.
    pub password: SecretString,
    /// Description of the device.
    pub device_info: Option<String>,
}

/// Creates an account and signs its owner in.
pub async fn register(context: &RequestContext, registration: Registration) -> Result<IssuedTokens, Error> {
    let device_info = sessions::check_device_info(registration.device_info.clone())?;
    let names = parse_names(&registration)?;
    RateLimit::REGISTER.spend_by_address(context).await?;
    let password_hash = new_hash(context, &names, registration.password).await?;
    let tx = context.backend.store.begin().await?;
    let (id, entry) = insert(context, &tx, &names, password_hash).await?;
    let recipient = [names.0.as_str(), names.1.as_str()];
    let email = one_time_tokens::issue(context, &tx, id, recipient, TokenPurpose::EmailVerification).await?;
    let tokens = sessions::open(context, &tx, (id, Role::User), device_info).await?;
    sessions::after_opening(&tokens).mail(email, entry).commit(&context.backend, tx).await?;
    Ok(tokens)
}

/// Creates an account for an operator, without signing anyone in.
pub async fn create(context: &RequestContext, registration: Registration) -> Result<UserId, Error> {
    let names = parse_names(&registration)?;
    let password_hash = new_hash(context, &names, registration.password).await?;
    let tx = context.backend.store.begin().await?;
    let (id, _) = insert(context, &tx, &names, password_hash).await?;
    tx.commit().await?;
    Ok(id)
}

/// Signs a user in. An unknown user gets the error of a wrong password, after an equal time.
pub async fn login(context: &RequestContext, login: Login) -> Result<IssuedTokens, Error> {
    let device_info = sessions::check_device_info(login.device_info)?;
    RateLimit::LOGIN.spend_by_address(context).await?;
    let (store, now) = (&context.backend.store, context.backend.source.now());
    let credentials = match (login.login.parse::<Email>(), login.login.parse::<Username>()) {
        (Ok(email), _) => store::accounts::find_by_email(store.db(), &email).await?,
        (_, Ok(username)) => store::accounts::find_by_username(store.db(), &username).await?,
        (Err(_), Err(_)) => None,
    };
    let found = credentials.as_ref().map(|credentials| credentials.user_id);
    spend_account(context, found, &login.login).await?;
    let mut active = credentials.filter(|credentials| credentials.is_active);
    for _ in 0..PROOFS {
        let proven = verify_password(context, active, login.password.clone()).await?;
        let upgrade = if context.backend.passwords.is_current(&proven.password_hash) {
            None
        } else {
            Some(context.backend.passwords.hash(login.password.clone()).await?)
        };

        let tx = store.begin().await?;
        let account = store::accounts::lock(tx.db(), proven.user_id).await?.filter(|account| account.is_active);
        let Some(account) = account.as_ref().filter(|account| account.password_hash == proven.password_hash) else {
            tx.rollback().await?;
            active = account;
            continue;
        };
        store::accounts::update_last_login(tx.db(), account.user_id, now).await?;
        if let Some(password_hash) = upgrade {
            store::accounts::update_password(tx.db(), account, password_hash).await?;
        }
        let tokens = sessions::open(context, &tx, (account.user_id, account.role), device_info).await?;
        sessions::after_opening(&tokens).commit(&context.backend, tx).await?;
        return Ok(tokens);
    }
    Err(Error::InvalidCredentials)
}

/// Returns the caller's own account, cached only in this process. Email addresses are cached nowhere else.
pub async fn own(context: &RequestContext) -> Result<Account, Error> {
    let (cache, id) = (&context.backend.cache, context.viewer()?.user_id);
    let key = cache_keys::account(id);
    if let Some(account) = cache.get_local(&key) {
        return Ok(account);
    }
    let reservation = cache.reserve_local();
    let account = store::accounts::find(context.backend.store.db(), id).await?.ok_or(Error::NotFound("user"))?;
    let bytes = account.email.len() + account.key_vault.as_ref().map_or(0, Vec::len);
    cache.set_local(&key, &account, bytes, context.backend.user_cache_lifetime(), &reservation);
    Ok(account)
}

/// Sets a new password for the caller's account and ends its other sessions.
pub async fn change_password(context: &RequestContext, current: SecretString, new: SecretString) -> Result<(), Error> {
    let viewer = context.viewer()?;
    let credentials = verify_viewer(context, current).await?;
    let user =
        users::find_many(context, &[viewer.user_id]).await?.remove(&viewer.user_id).ok_or(Error::NotFound("user"))?;
    let email = own(context).await?.email;
    password_policy::check(context, "input.newPassword", &new, [&user.username, &email]).await?;
    let password_hash = context.backend.passwords.hash(new).await?;

    let tx = context.backend.store.begin().await?;
    sessions::lock_account(context, &tx).await?;
    // The second of two concurrent changes no longer finds the password that it began with.
    if !store::accounts::update_password(tx.db(), &credentials, password_hash).await? {
        return Err(Error::InvalidCredentials);
    }
    // A reader of the mailbox must not undo the change with an earlier link.
    store::one_time_tokens::delete_many(tx.db(), viewer.user_id, TokenPurpose::PasswordReset).await?;
    let entry = context.entry(viewer.user_id, AuditAction::PasswordChanged, &viewer.user_id);
    store::audit_logs::insert_many(tx.db(), [entry]).await?;
    let ended = sessions::end_others(context, &tx, viewer.user_id, Some(viewer.session_id)).await?;
    sessions::after_end(viewer.user_id, &ended).commit(&context.backend, tx).await
}

/// Deactivates the caller's account. It becomes hidden and loses its sessions, but peers keep its messages.
pub async fn deactivate(context: &RequestContext, password: SecretString) -> Result<(), Error> {
    let proven = verify_viewer(context, password).await?;
    let tx = context.backend.store.begin().await?;
    let account = sessions::lock_account(context, &tx).await?;
    if account.password_hash != proven.password_hash {
        return Err(Error::InvalidCredentials);
    }
    deactivate_within(context, tx, account.user_id).await
}

/// Deactivates an account for an operator.
pub async fn deactivate_user(context: &RequestContext, id: UserId) -> Result<(), Error> {
    let tx = context.backend.store.begin().await?;
    store::accounts::lock(tx.db(), id).await?;
    deactivate_within(context, tx, id).await
}

/// Deactivates an account in a transaction that has locked it, and commits the transaction.
async fn deactivate_within(context: &RequestContext, tx: Transaction, id: UserId) -> Result<(), Error> {
    let was_active = store::accounts::deactivate(tx.db(), id).await?;
    store::audit_logs::insert_many(tx.db(), [context.entry(id, AuditAction::UserDeactivated, &id)]).await?;
    let ended = sessions::end_others(context, &tx, id, None).await?;
    if was_active {
        store::user_changes::record(tx.db(), id).await?;
    }
    users::after_change(id, sessions::after_end(id, &ended)).commit(&context.backend, tx).await
}

/// Gives an account the role ADMIN, at an operator's request.
pub async fn promote(context: &RequestContext, id: UserId) -> Result<(), Error> {
    let tx = context.backend.store.begin().await?;
    store::accounts::update_role(tx.db(), id, Role::Admin).await?;
    store::audit_logs::insert_many(tx.db(), [context.entry(id, AuditAction::UserPromoted, &id)]).await?;
    after_change(id).invalidate_group(cache_keys::sessions_of(id)).commit(&context.backend, tx).await
}

/// Returns the steps after a change that only the owner sees: every node drops the cached account.
pub(super) fn after_change(id: UserId) -> AfterCommit {
    AfterCommit::default().invalidate([cache_keys::account(id).name()])
}

/// Finds the account of a username, for an operator.
pub async fn find_id(context: &RequestContext, username: &str) -> Result<UserId, Error> {
    let username: Username = username.parse().map_err(|reason| Error::invalid("username", reason))?;
    let found = store::users::find_by_username(context.backend.store.db(), &username).await?;
    found.ok_or(Error::NotFound("user"))
}

fn parse_names(registration: &Registration) -> Result<(Username, Email), Error> {
    let invalid = |field: &'static str| move |reason: &'static str| Error::invalid(field, reason);
    let username = registration.username.parse().map_err(invalid("input.username"))?;
    Ok((username, registration.email.parse().map_err(invalid("input.email"))?))
}

async fn new_hash(
    context: &RequestContext,
    (username, email): &(Username, Email),
    new: SecretString,
) -> Result<String, Error> {
    password_policy::check(context, "input.password", &new, [username.as_str(), email.as_str()]).await?;
    Ok(context.backend.passwords.hash(new).await?)
}

/// Inserts an account. Returns its id and the id of its first audit entry.
async fn insert(
    context: &RequestContext,
    tx: &Transaction,
    (username, email): &(Username, Email),
    password_hash: String,
) -> Result<(UserId, Uuid), Error> {
    let (id, created_at) = (UserId(context.backend.source.uuid()), context.backend.source.now());
    let account = NewAccount { id, username, email, password_hash, created_at };
    store::accounts::insert(tx.db(), account).await.map_err(to_conflict)?;
    store::mailboxes::insert(tx.db(), id).await?;
    let entry = context.entry(id, AuditAction::UserRegistered, &id);
    let entry_id = entry.id;
    store::audit_logs::insert_many(tx.db(), [entry]).await?;
    Ok((id, entry_id))
}

/// Returns the caller's credentials after checking the password. An access token alone is not enough.
async fn verify_viewer(context: &RequestContext, password: SecretString) -> Result<Credentials, Error> {
    let id = context.viewer()?.user_id;
    RateLimit::PROOF.spend(context, &id).await?;
    let credentials = store::accounts::find_by_id(context.backend.store.db(), id).await?;
    verify_password(context, credentials, password).await
}

/// Returns the credentials if the password matches them. After too many failures, every password fails until a reset.
/// Open sessions and passkeys keep working.
///
/// Neither the error nor the timing reveals whether credentials exist: one statement and one hash run in both cases.
async fn verify_password(
    context: &RequestContext,
    credentials: Option<Credentials>,
    password: SecretString,
) -> Result<Credentials, Error> {
    let store = &context.backend.store;
    let tx = store.begin().await?;
    let user_id = credentials.as_ref().map(|credentials| credentials.user_id);
    let failures = store::password_failures::increment(tx.db(), user_id).await?;
    tx.commit().await?;
    let credentials = credentials.filter(|_| failures <= context.backend.config.accounts.max_password_failures.into());
    let hash = credentials.as_ref().map(|credentials| credentials.password_hash.clone());
    let is_right = context.backend.passwords.verify(password, hash).await?;
    let credentials = credentials.filter(|_| is_right).ok_or(Error::InvalidCredentials)?;
    store::password_failures::delete(store.db(), credentials.user_id).await?;
    Ok(credentials)
}

fn to_conflict(error: store::Error) -> Error {
    match error {
        store::Error::Taken(Unique::Username) => Error::Conflict { field: "input.username", reason: "is taken" },
        store::Error::Taken(Unique::Email) => Error::Conflict { field: "input.email", reason: "is taken" },
        other => other.into(),
    }
}
