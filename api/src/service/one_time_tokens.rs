//! Password resets and address confirmations, by single-use links in mails.

use std::future::ready;

use secrecy::{ExposeSecret, SecretString};

use crate::crypto::token;
use crate::domain::{AuditAction, Email, TokenPurpose, UserId};
use crate::mail::EmailMessage;
use crate::service::after_commit::{AfterCommit, is_committed};
use crate::service::context::rate_limits::{RateLimit, spend_mail};
use crate::service::{Error, RequestContext, password_policy, sessions, users};
use crate::store::{self, Transaction, accounts::Recipient, one_time_tokens::NewToken};

/// Mails a link that sets a new password, if an account has this address.
///
/// Looks nothing up before the response, so that neither its text nor its timing reveals whether an account exists.
pub async fn request_password_reset(context: &RequestContext, email: &str) -> Result<(), Error> {
    let email: Email = email.parse().map_err(|reason: &'static str| Error::invalid("input.email", reason))?;
    spend_mail(context, RateLimit::RESET_MAIL, email.as_str()).await?;
    let later = context.clone();
    context.backend.outbox.send(async move {
        reset_email(&later, &email).await.unwrap_or_else(|error| {
            // The caller no longer waits for the result, so the error is only logged.
            tracing::error!(%error, cause = error.cause(), "a mail could not be prepared");
            None
        })
    });
    Ok(())
}

/// Mails the caller a link that confirms the caller's address.
pub async fn resend_verification(context: &RequestContext) -> Result<(), Error> {
    let id = context.viewer()?.user_id;
    spend_mail(context, RateLimit::VERIFICATION_MAIL, &id.to_string()).await?;
    let tx = context.backend.store.begin().await?;
    sessions::lock_account(context, &tx).await?;
    let email = replace(context, tx, id, TokenPurpose::EmailVerification).await?.ok_or(Error::NotFound("user"))?;
    context.backend.outbox.send(ready(Some(email)));
    Ok(())
}

/// Sets a new password by a mailed token and ends all sessions of the account.
pub async fn reset_password(
    context: &RequestContext,
    token: &SecretString,
    new: SecretString,
) -> Result<UserId, Error> {
    let (purpose, digest) = (TokenPurpose::PasswordReset, token::digest(token.expose_secret()));
    let (store, source) = (&context.backend.store, &context.backend.source);
    let id =
        store::one_time_tokens::find(store.db(), purpose, &digest, source.now()).await?.ok_or_else(invalid_token)?;
    let user = store::accounts::find_recipient(store.db(), id).await?.ok_or_else(invalid_token)?;
    password_policy::check(context, "input.newPassword", &new, [&user.username, &user.email]).await?;
    let password_hash = context.backend.passwords.hash(new).await?;

    let tx = store.begin().await?;
    let user = consume(context, &tx, id, (purpose, &digest)).await?;
    store::accounts::reset_password(tx.db(), id, password_hash, source.now()).await?;
    store::password_failures::delete(tx.db(), id).await?;
    let entry = context.entry(id, AuditAction::PasswordReset, &id);
    let entry_id = entry.id;
    store::audit_logs::insert_many(tx.db(), [entry]).await?;
    let ended = sessions::end_others(context, &tx, id, None).await?;
    let email = EmailMessage::password_changed(&user.email, &user.username);
    sessions::after_end(id, &ended).mail(email, entry_id).commit(&context.backend, tx).await?;
    Ok(id)
}

/// Confirms an address by a mailed token.
pub async fn verify_email(context: &RequestContext, token: &SecretString) -> Result<UserId, Error> {
    let (purpose, digest) = (TokenPurpose::EmailVerification, token::digest(token.expose_secret()));
    let (store, now) = (&context.backend.store, context.backend.source.now());
    let id = store::one_time_tokens::find(store.db(), purpose, &digest, now).await?.ok_or_else(invalid_token)?;
    let tx = store.begin().await?;
    consume(context, &tx, id, (purpose, &digest)).await?;
    let is_news = store::accounts::verify(tx.db(), id, now).await?;
    store::audit_logs::insert_many(tx.db(), [context.entry(id, AuditAction::EmailVerified, &id)]).await?;
    if is_news {
        store::user_changes::record(tx.db(), id).await?;
    }
    users::after_change(id, AfterCommit::default()).commit(&context.backend, tx).await?;
    Ok(id)
}

/// Creates a token inside a transaction. Returns the mail that carries it, to be sent after the commit.
pub(super) async fn issue(
    context: &RequestContext,
    tx: &Transaction,
    id: UserId,
    [username, email]: [&str; 2],
    purpose: TokenPurpose,
) -> Result<EmailMessage, Error> {
    let (source, now) = (&context.backend.source, context.backend.source.now());
    let token = token::one_time_token(purpose, &source.random);
    let row = NewToken {
        id: source.uuid(),
        user_id: id,
        purpose,
        digest: token::digest(token.expose_secret()),
        created_at: now,
        expires_at: now + context.backend.mail_token_lifetime(),
    };
    store::one_time_tokens::insert(tx.db(), row).await?;
    let (base, token) = (context.backend.config.link_base(), token.expose_secret());
    Ok(match purpose {
        TokenPurpose::PasswordReset => {
            EmailMessage::password_reset(email, username, format!("{base}/reset-password?token={token}"))
        }
        TokenPurpose::EmailVerification => {
            EmailMessage::verification(email, username, format!("{base}/verify-email?token={token}"))
        }
    })
}

async fn reset_email(context: &RequestContext, email: &Email) -> Result<Option<EmailMessage>, Error> {
    let found = store::accounts::find_by_email(context.backend.store.db(), email).await?;
    let Some(credentials) = found else { return Ok(None) };
    let tx = context.backend.store.begin().await?;
    replace(context, tx, credentials.user_id, TokenPurpose::PasswordReset).await
}

/// Replaces older tokens by a new one and commits. Returns its mail, or `None` for a deactivated account.
async fn replace(
    context: &RequestContext,
    tx: Transaction,
    id: UserId,
    purpose: TokenPurpose,
) -> Result<Option<EmailMessage>, Error> {
    // Locks until the commit, so that of two concurrent requests only the later token remains.
    let user = store::accounts::lock_recipient(tx.db(), id).await?;
    let Some(Recipient { username, email }) = user else { return Ok(None) };
    store::one_time_tokens::delete_many(tx.db(), id, purpose).await?;
    let email = issue(context, &tx, id, [&username, &email], purpose).await?;
    let action = match purpose {
        TokenPurpose::PasswordReset => AuditAction::PasswordResetRequested,
        TokenPurpose::EmailVerification => AuditAction::EmailVerificationRequested,
    };
    let entry = context.entry(id, action, &id);
    let entry_id = entry.id;
    store::audit_logs::insert_many(tx.db(), [entry]).await?;
    match tx.commit().await {
        Err(error) if !is_committed(&context.backend, entry_id).await => Err(error.into()),
        _ => Ok(Some(email)),
    }
}

/// Consumes a token.
///
/// Locks the account first, as every change to an account does. A concurrent password change or deactivation then comes
/// entirely before or after. If it comes before, the token is invalid.
async fn consume(
    context: &RequestContext,
    tx: &Transaction,
    id: UserId,
    (purpose, digest): (TokenPurpose, &[u8; 32]),
) -> Result<Recipient, Error> {
    let user = store::accounts::lock_recipient(tx.db(), id).await?.ok_or_else(invalid_token)?;
    if !store::one_time_tokens::consume(tx.db(), purpose, digest, context.backend.source.now()).await? {
        return Err(invalid_token());
    }
    Ok(user)
}

fn invalid_token() -> Error {
    Error::invalid("input.token", "is unknown, used or expired: request another mail")
}
