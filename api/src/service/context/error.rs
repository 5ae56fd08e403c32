//! Errors of use cases, and the parts of them that clients see.

use std::time::Duration;

use serde_json::Value;

use crate::budget::{Exceeded, Exhausted};
use crate::crypto::PasswordError;
use crate::domain::{AuthenticationReason, ErrorCode};
use crate::store;

/// Time after which a client should retry while a component is unavailable.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Reason why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument is invalid.
    #[error("`{field}` {reason}")]
    Invalid {
        /// Path of the argument, such as `input.username`.
        field: String,
        /// Description of the problem, which completes a sentence that begins with the field.
        reason: String,
    },
    /// There is no valid session.
    #[error("{}", authentication_message(*.0))]
    Unauthenticated(AuthenticationReason),
    /// The credentials are wrong.
    #[error("The login, the password or the passkey is wrong.")]
    InvalidCredentials,
    /// The caller lacks the role ADMIN.
    #[error("The role ADMIN is required.")]
    Forbidden,
    /// The caller must sign in again to prove their identity.
    #[error("A recent sign-in is required: sign in again and retry in the new session.")]
    SignInAgain,
    /// The object does not exist, or the caller may not see it.
    #[error("The {0} was not found.")]
    NotFound(&'static str),
    /// The request conflicts with stored data.
    #[error("`{field}` {reason}")]
    Conflict {
        /// Path of the argument.
        field: &'static str,
        /// Description of the conflict, which completes a sentence that begins with the field.
        reason: &'static str,
    },
    /// The cursor predates a restore of the database. Clients must continue without one.
    #[error("The cursor predates a restore of the database: start without a cursor.")]
    CursorExpired,
    /// The caller has exceeded a rate limit.
    #[error("The rate limit is exceeded: retry after `extensions.retryAfterSeconds`.")]
    RateLimited {
        /// Time to wait before a retry.
        retry_after: Duration,
    },
    /// A quota of the caller's messages is used up.
    #[error("{}", quota_message(.retry_after.is_some()))]
    QuotaExceeded {
        /// Time to wait before a retry. `None` if waiting does not help.
        retry_after: Option<Duration>,
    },
    /// The answer exceeds `graphql.max_answer_bytes`.
    #[error("The answer has more than {0} bytes: select fewer fields or smaller pages.")]
    AnswerTooLarge(usize),
    /// A required component does not respond.
    #[error("The service is busy or temporarily unavailable: retry shortly.")]
    Unavailable {
        /// Cause, for the log only.
        cause: String,
    },
    /// A fault of the server.
    #[error("An internal error occurred.")]
    Internal {
        /// Cause, for the log only.
        cause: String,
    },
}

impl Error {
    /// Creates an error for an invalid argument.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// Returns the error code that clients see.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid { .. } => ErrorCode::BadUserInput,
            Self::Unauthenticated(_) => ErrorCode::Unauthenticated,
            Self::InvalidCredentials => ErrorCode::InvalidCredentials,
            Self::Forbidden | Self::SignInAgain => ErrorCode::Forbidden,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::Conflict { .. } => ErrorCode::Conflict,
            Self::CursorExpired => ErrorCode::CursorExpired,
            Self::AnswerTooLarge(_) => ErrorCode::TooComplex,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::QuotaExceeded { .. } => ErrorCode::QuotaExceeded,
            Self::Unavailable { .. } => ErrorCode::Unavailable,
            Self::Internal { .. } => ErrorCode::InternalServerError,
        }
    }

    /// Returns the fields of `extensions` other than the code.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Invalid { field, .. } => vec![("field", field.as_str().into())],
            Self::Conflict { field, .. } => vec![("field", (*field).into())],
            Self::Unauthenticated(reason) => vec![("reason", reason.as_str().into())],
            Self::RateLimited { retry_after } | Self::QuotaExceeded { retry_after: Some(retry_after) } => {
                vec![("retryAfterSeconds", seconds(*retry_after).into())]
            }
            Self::Unavailable { .. } => vec![("retryAfterSeconds", seconds(RETRY_AFTER).into())],
            _ => Vec::new(),
        }
    }

    /// Returns the cause for the log, which clients must not see.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        match self {
            Self::Unavailable { cause } | Self::Internal { cause } => Some(cause),
            _ => None,
        }
    }
}

/// Returns a duration in seconds, rounded up so that clients do not retry too early.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn quota_message(is_temporary: bool) -> &'static str {
    if is_temporary {
        "The daily quota of sent bytes is used up: send more after midnight UTC."
    } else {
        "The storage quota is used up: delete messages that you sent."
    }
}

fn authentication_message(reason: AuthenticationReason) -> &'static str {
    match reason {
        AuthenticationReason::Missing => "Authentication is required: send an access token.",
        AuthenticationReason::Expired => "The access token has expired: refresh the session.",
        AuthenticationReason::Revoked => "The session has ended: sign in again.",
        AuthenticationReason::Invalid => "The access token is invalid: sign in again.",
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(cause) => Self::Unavailable { cause },
            // Callers that expect a unique violation or a used-up quota handle it before this conversion.
            store::Error::Taken(_) | store::Error::QuotaExceeded(_) | store::Error::Fault(_) => {
                Self::Internal { cause: error.to_string() }
            }
        }
    }
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded {
            Exceeded::Answer(limit) => Self::AnswerTooLarge(limit),
            Exceeded::Budget(exhausted) => exhausted.into(),
        }
    }
}

impl From<Exhausted> for Error {
    fn from(exhausted: Exhausted) -> Self {
        match exhausted {
            Exhausted::Holder => Self::RateLimited { retry_after: RETRY_AFTER },
            Exhausted::Node => Self::Unavailable { cause: exhausted.to_string() },
        }
    }
}

impl From<PasswordError> for Error {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Unavailable { cause: error.to_string() },
            PasswordError::Failed(cause) => Self::Internal { cause },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_code_and_no_message_tells_the_cause() {
        let cause = || "secret".to_owned();
        for (error, code, fields) in [
            (Error::invalid("input.iv", "is short"), "BAD_USER_INPUT", r#"[["field","input.iv"]]"#),
            (Error::Unauthenticated(AuthenticationReason::Expired), "UNAUTHENTICATED", r#"[["reason","EXPIRED"]]"#),
            (Error::InvalidCredentials, "INVALID_CREDENTIALS", "[]"),
            (Error::Forbidden, "FORBIDDEN", "[]"),
            (Error::SignInAgain, "FORBIDDEN", "[]"),
            (Error::NotFound("user"), "NOT_FOUND", "[]"),
            (Error::Conflict { field: "input.email", reason: "is taken" }, "CONFLICT", r#"[["field","input.email"]]"#),
            (Error::CursorExpired, "CURSOR_EXPIRED", "[]"),
            (Error::from(Exceeded::Answer(1)), "TOO_COMPLEX", "[]"),
            (Error::from(Exhausted::Holder), "RATE_LIMITED", r#"[["retryAfterSeconds",1]]"#),
            (Error::from(Exhausted::Node), "UNAVAILABLE", r#"[["retryAfterSeconds",1]]"#),
            (
                Error::RateLimited { retry_after: Duration::from_millis(1001) },
                "RATE_LIMITED",
                r#"[["retryAfterSeconds",2]]"#,
            ),
            (Error::QuotaExceeded { retry_after: None }, "QUOTA_EXCEEDED", "[]"),
            (
                Error::QuotaExceeded { retry_after: Some(Duration::from_mins(1)) },
                "QUOTA_EXCEEDED",
                r#"[["retryAfterSeconds",60]]"#,
            ),
            (Error::Unavailable { cause: cause() }, "UNAVAILABLE", r#"[["retryAfterSeconds",1]]"#),
            (Error::Internal { cause: cause() }, "INTERNAL_SERVER_ERROR", "[]"),
        ] {
            assert_eq!(error.code().as_str(), code);
            assert_eq!(serde_json::to_string(&error.fields()).unwrap(), fields);
            assert!(!error.to_string().contains("secret"));
        }
    }
}
