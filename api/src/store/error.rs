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
    is_passing(&error.code().unwrap_or_default()).then(|| Error::Unavailable(error.to_string()))
}

/// Whole classes of PostgreSQL's codes (appendix A of its manual): connection, rolled back, out of resources, operator
/// and time-out, system.
const PASSING_CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
/// Single codes: a server that only reads, an idle and a long transaction that it ended, a row and an object that
/// others hold.
const PASSING: [&str; 5] = ["25006", "25P03", "25P04", "55P03", "55006"];
/// SQLite's primary codes: busy, locked, out of memory, read-only, input or output, full, cannot be opened.
const PASSING_SQLITE: [u32; 7] = [5, 6, 7, 8, 10, 13, 14];

/// Whether trying again may help. PostgreSQL's codes have five characters, SQLite's are numbers with fewer digits.
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
            // Resources, and what others hold.
            "53000", "53100", "53200", "53300", "53400", "55006", "55P03",
            // An operator, a time-out, the system.
            "57000", "57014", "57P01", "57P02", "57P03", "57P04", "57P05", "58000", "58030", "58P01",
            // SQLite: busy, a snapshot that is too old, locked, memory, read-only, reading, syncing, full, opening.
            "5", "517", "6", "7", "8", "10", "266", "1034", "13", "14",
        ] {
            assert!(is_passing(code), "{code}");
        }
        for code in [
            // A text that is no number, a column or a table that is not there, a syntax error, a division by 0.
            "22P02", "42703", "42P01", "42601", "22012",
            // A table's rule, an aborted transaction, a damaged page, a wrong state, a setting, an enumeration.
            "23502", "25P02", "XX001", "55000", "55P02", "55P04",
            // SQLite: an error, damage, a rule, the wrong type, misuse.
            "1", "11", "19", "2067", "20", "21", "",
        ] {
            assert!(!is_passing(code), "{code}");
        }
    }
}
