//! The rules that a new password must meet.

use secrecy::{ExposeSecret, SecretString};

use crate::crypto::password;
use crate::service::{Error, RequestContext};

/// Fails if a password is too weak. `known` holds words that an attacker would try first.
pub(super) async fn check(
    context: &RequestContext,
    field: &'static str,
    password: &SecretString,
    known: [&str; 2],
) -> Result<(), Error> {
    let (password, known) = (password.clone(), known.map(str::to_owned));
    let min_length = usize::from(context.backend.config.accounts.password_min_length);
    // The strength estimate is CPU-bound.
    let weakness = tokio::task::spawn_blocking(move || {
        password::weakness(password.expose_secret(), min_length, &known.each_ref().map(String::as_str))
    });
    match weakness.await.map_err(|error| Error::Internal { cause: error.to_string() })? {
        Some(reason) => Err(Error::invalid(field, reason)),
        None => Ok(()),
    }
}
