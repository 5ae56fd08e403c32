//! Errors of SQL statements, as far as callers distinguish them.

use sea_orm::{DbErr, RuntimeErr};

use crate::domain::Quota;

/// Error of an SQL statement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is temporarily unavailable. A retry may succeed.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A value that must be unique already exists.
    #[error("{0:?} is taken")]
    Taken(Unique),
    /// A quota of the sender is used up.
    #[error("the quota {0:?} is used up")]
    QuotaExceeded(Quota),
    /// Any other error, which is a fault of the server.
    #[error("{0}")]
    Fault(DbErr),
}

/// Unique values that may already be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unique {
    /// Username.
    Username,
    /// Email address.
    Email,
    /// Credential id, which an authenticator assigns to a passkey.
    CredentialId,
    /// Client message id, the idempotency key that a sender assigns to a message.
    ClientMessageId,
}

/// The constraint's name in PostgreSQL, and its columns as SQLite's message lists them.
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
    is_passing(&error.code().unwrap_or_default()).then(|| Error::Unavailable(error.to_string()))
}

/// Classes of PostgreSQL error codes that are transient (appendix A of its manual). They are connection exception,
/// transaction rollback, insufficient resources, operator intervention and system error.
const PASSING_CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
/// Single transient codes: read-only transaction, idle-in-transaction timeout, transaction timeout, lock not available,
/// object in use.
const PASSING: [&str; 5] = ["25006", "25P03", "25P04", "55P03", "55006"];
/// SQLite's primary codes of transient errors: busy, locked, out of memory, read-only, I/O error, disk full, cannot
/// open.
const PASSING_SQLITE: [u32; 7] = [5, 6, 7, 8, 10, 13, 14];

/// Whether a retry may succeed. PostgreSQL's codes have five characters; SQLite's are numbers with fewer digits.
fn is_passing(code: &str) -> bool {
    if code.len() == 5 {
        return PASSING.contains(&code) || PASSING_CLASSES.iter().any(|class| code.starts_with(class));
    }
    code.parse().is_ok_and(|code: u32| PASSING_SQLITE.contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_is_a_fault() {
        for code in [
            // PostgreSQL: the connection.
            "08000", "08003", "08006", "08001", "08004", "08P01", // A transaction that it ended.
            "25006", "25P03", "25P04", "40000", "40001", "40002", "40003", "40P01",
            // Resources, and locks held by others.
            "53000", "53100", "53200", "53300", "53400", "55006", "55P03",
            // Operator intervention, timeouts, system errors.
            "57000", "57014", "57P01", "57P02", "57P03", "57P04", "57P05", "58000", "58030", "58P01",
            // SQLite: busy, stale snapshot, locked, out of memory, read-only, I/O error, failed read, failed fsync,
            // disk full, cannot open.
            "5", "517", "6", "7", "8", "10", "266", "1034", "13", "14",
        ] {
            assert!(is_passing(code), "{code}");
        }
        for code in [
            // Invalid number, missing column, missing table, syntax error, division by zero.
            "22P02", "42703", "42P01", "42601", "22012",
            // Constraint violation, aborted transaction, corrupt data, wrong object state, fixed setting, unsafe enum
            // value.
            "23502", "25P02", "XX001", "55000", "55P02", "55P04",
            // SQLite: generic error, corruption, constraint violations, type mismatch, misuse.
            "1", "11", "19", "2067", "20", "21", "",
        ] {
            assert!(!is_passing(code), "{code}");
        }
    }
}
