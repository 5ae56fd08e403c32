//! Accounts: registering, signing in, and what an owner sees of the own account.

use secrecy::{ExposeSecret, SecretString};

use super::{
    Error, Operation, limits,
    sessions::{self, Grant},
};
use crate::{
    crypto::password,
    domain::{Account, Email, Role, UserId, Username},
    store::{self, Unique, accounts::NewAccount, audit_logs::NewEntry},
};

/// What a new user says.
pub struct Registration {
    /// The name to be known by.
    pub username: String,
    /// Where mail goes.
    pub email: String,
    /// The secret to sign in with.
    pub password: SecretString,
    /// What the device calls itself.
    pub device_info: Option<String>,
}

/// What a returning user says.
pub struct Login {
    /// The name or the address.
    pub login: String,
    /// The secret.
    pub password: SecretString,
    /// What the device calls itself.
    pub device_info: Option<String>,
}

/// Makes an account and signs its owner in.
pub async fn register(op: &Operation, registration: Registration) -> Result<Grant, Error> {
    let invalid = |field: &'static str| move |reason: &'static str| Error::invalid(field, reason);
    let username: Username = registration.username.parse().map_err(invalid("input.username"))?;
    let email: Email = registration.email.parse().map_err(invalid("input.email"))?;
    let device_info = sessions::check_device_info(registration.device_info)?;
    limits::spend_registration(op).await?;
    check_new_password(op, &registration.password, [username.as_str(), email.as_str()]).await?;
    let password_hash = op.backend.passwords.hash(registration.password).await?;

    let (store, source) = (&op.backend.store, &op.backend.source);
    let (id, now) = (UserId(source.uuid()), source.now());
    let account = NewAccount { id, username: &username, email: &email, password_hash, created_at: now };
    let entry = NewEntry {
        id: source.uuid(),
        user_id: Some(id),
        action: "user.registered",
        resource: Some(id.to_string()),
        client: &op.client,
        created_at: now,
    };
    let tx = store.begin().await?;
    store::accounts::insert(tx.db(), account).await.map_err(taken)?;
    store::mailboxes::insert(tx.db(), id).await?;
    store::audit_logs::insert_many(tx.db(), [entry]).await?;
    let grant = sessions::open(op, &tx, (id, Role::User), device_info).await?;
    tx.commit().await?;
    Ok(grant)
}

/// Signs a user in; whoever does not exist is refused in the same words and the same time.
pub async fn login(op: &Operation, login: Login) -> Result<Grant, Error> {
    let device_info = sessions::check_device_info(login.device_info)?;
    limits::spend_login(op, &login.login).await?;
    let (store, now) = (&op.backend.store, op.backend.source.now());
    let credentials = match (login.login.parse::<Email>(), login.login.parse::<Username>()) {
        (Ok(email), _) => store::accounts::find_by_email(store.db(), &email).await?,
        (_, Ok(username)) => store::accounts::find_by_username(store.db(), &username).await?,
        (Err(_), Err(_)) => None,
    };
    let hash = credentials.as_ref().map(|credentials| credentials.password_hash.clone());
    let is_right = op.backend.passwords.verify(login.password, hash).await?;
    let Some(credentials) = credentials.filter(|credentials| is_right && credentials.is_active) else {
        return Err(Error::InvalidCredentials);
    };

    let tx = store.begin().await?;
    store::accounts::update_last_login(tx.db(), credentials.user_id, now).await?;
    let grant = sessions::open(op, &tx, (credentials.user_id, credentials.role), device_info).await?;
    tx.commit().await?;
    Ok(grant)
}

/// What the caller may see of the own account.
pub async fn own(op: &Operation) -> Result<Account, Error> {
    let account = store::accounts::find(op.backend.store.db(), op.viewer()?.user_id).await?;
    account.ok_or(Error::NotFound("user"))
}

async fn check_new_password(op: &Operation, password: &SecretString, context: [&str; 2]) -> Result<(), Error> {
    let (password, context) = (password.clone(), context.map(str::to_owned));
    let min_length = usize::from(op.backend.config.accounts.password_min_length);
    // The estimate takes up to a millisecond of computing.
    let weakness = tokio::task::spawn_blocking(move || {
        password::weakness(password.expose_secret(), min_length, &context.each_ref().map(String::as_str))
    });
    match weakness.await.map_err(|error| Error::Internal { cause: error.to_string() })? {
        Some(reason) => Err(Error::invalid("input.password", reason)),
        None => Ok(()),
    }
}

fn taken(error: store::Error) -> Error {
    match error {
        store::Error::Taken(Unique::Username) => Error::Conflict { field: "input.username", reason: "is taken" },
        store::Error::Taken(Unique::Email) => Error::Conflict { field: "input.email", reason: "is taken" },
        other => other.into(),
    }
}
