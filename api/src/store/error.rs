//! What can go wrong with a statement, as far as callers tell it apart.

use sea_orm::{DbErr, RuntimeErr};

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot serve for now; trying again may help.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A value that must be unique is there already.
    #[error("{0:?} is taken")]
    Taken(Unique),
    /// A fault of ours.
    #[error("{0}")]
    Fault(DbErr),
}

/// The unique values that a caller may collide with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unique {
    /// A user's name.
    Username,
    /// A user's address.
    Email,
    /// What an authenticator calls a passkey.
    CredentialId,
    /// What a sender calls a message.
    ClientMessageId,
}

/// The constraint's name in PostgreSQL, and how SQLite names its columns.
const CONSTRAINTS: [(Unique, &str, &str); 4] = [
    (Unique::Username, "idx_users_username", "users.username"),
    (Unique::Email, "idx_users_email", "users.email"),
    (Unique::CredentialId, "idx_webauthn_credential_id", "webauthn_credentials.credential_id"),
    (Unique::ClientMessageId, "idx_messages_sender", "messages.sender_id, messages.client_message_id"),
];

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Unavailable(error.to_string()),
            DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => {
                match cause.as_ref() {
                    sqlx::Error::Database(cause) => classify(cause.as_ref()).unwrap_or(Self::Fault(error)),
                    sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
                    _ => Self::Fault(error),
                }
            }
            _ => Self::Fault(error),
        }
    }
}

fn classify(error: &dyn sqlx::error::DatabaseError) -> Option<Error> {
    if error.is_unique_violation() {
        let unique = CONSTRAINTS.iter().find(|(_, name, columns)| match error.constraint() {
            Some(constraint) => constraint == *name,
            None => error.message().contains(columns),
        });
        return unique.map(|(unique, ..)| Error::Taken(*unique));
    }
    let code = error.code().unwrap_or_default();
    // PostgreSQL (appendix A): class 08 connection, 53 resources, 57 operator and time-out, 58 system,
    // 40 rolled back, 25006 read-only. SQLite: 5 busy, 6 locked, 8 read-only, 10 I/O, 13 full.
    let is_passing = ["08", "53", "57", "58", "40"].iter().any(|class| code.len() == 5 && code.starts_with(class))
        || code == "25006"
        || code.parse().is_ok_and(|code: u32| code.to_string().len() < 5 && [5, 6, 8, 10, 13].contains(&(code & 0xff)));
    is_passing.then(|| Error::Unavailable(error.to_string()))
}
