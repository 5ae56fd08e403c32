//! Everything that a use case can refuse or fail with, and how it is told to the client.

use std::time::Duration;

use serde_json::Value;

use crate::budget::{Exceeded, Exhausted};
use crate::crypto::PasswordError;
use crate::domain::{AuthenticationReason, ErrorCode};
use crate::store;

/// How long a client should wait before it tries an unavailable part again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument is not acceptable.
    #[error("`{field}` {reason}")]
    Invalid {
        /// The argument's path, such as `input.username`.
        field: String,
        /// What is wrong with it, as the rest of a sentence.
        reason: String,
    },
    /// There is no valid session.
    #[error("{}", authentication_message(*.0))]
    Unauthenticated(AuthenticationReason),
    /// What was given does not sign anybody in.
    #[error("The login, the password or the passkey is wrong.")]
    InvalidCredentials,
    /// The caller may not do that.
    #[error("This needs the role ADMIN.")]
    Forbidden,
    /// The caller has to prove once more who it is.
    #[error("This needs a recent sign-in: sign in again, and try it in the new session.")]
    SignInAgain,
    /// There is no such thing, or the caller may not see it.
    #[error("There is no such {0}.")]
    NotFound(&'static str),
    /// It contradicts what is stored.
    #[error("`{field}` {reason}")]
    Conflict {
        /// The argument's path.
        field: &'static str,
        /// What it collides with, as the rest of a sentence.
        reason: &'static str,
    },
    /// The cursor is of before a restore of the database; go on without one.
    #[error("The cursor is of before a restore of the database: go on without one.")]
    CursorExpired,
    /// Too many of these for now.
    #[error("Too many of these for now: wait before the next.")]
    RateLimited {
        /// For how long.
        retry_after: Duration,
    },
    /// The answer is larger than an answer may be.
    #[error("The answer has more than {0} bytes: select fewer fields or smaller pages.")]
    AnswerTooLarge(usize),
    /// A part that is needed does not answer.
    #[error("The service is busy or a part of it is away: try again shortly.")]
    Unavailable {
        /// Why, for the log only.
        cause: String,
    },
    /// A fault of ours.
    #[error("Something went wrong on the server.")]
    Internal {
        /// Why, for the log only.
        cause: String,
    },
}

impl Error {
    /// An argument that is not acceptable.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// The code on the wire.
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
            Self::Unavailable { .. } => ErrorCode::Unavailable,
            Self::Internal { .. } => ErrorCode::InternalServerError,
        }
    }

    /// What stands in `extensions` beside the code.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Invalid { field, .. } => vec![("field", field.as_str().into())],
            Self::Conflict { field, .. } => vec![("field", (*field).into())],
            Self::Unauthenticated(reason) => vec![("reason", reason.as_str().into())],
            Self::RateLimited { retry_after } => vec![("retryAfterSeconds", seconds(*retry_after).into())],
            Self::Unavailable { .. } => vec![("retryAfterSeconds", seconds(RETRY_AFTER).into())],
            _ => Vec::new(),
        }
    }

    /// What the log must say and the client must not hear.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        match self {
            Self::Unavailable { cause } | Self::Internal { cause } => Some(cause),
            _ => None,
        }
    }
}

/// Whole seconds, never sooner than it is worth to come back.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn authentication_message(reason: AuthenticationReason) -> &'static str {
    match reason {
        AuthenticationReason::Missing => "This needs a session: send an access token.",
        AuthenticationReason::Expired => "The access token has expired: refresh the session.",
        AuthenticationReason::Revoked => "The session has ended: sign in again.",
        AuthenticationReason::Invalid => "The access token is not valid.",
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(cause) => Self::Unavailable { cause },
            // Whoever expects a collision maps it at the call.
            store::Error::Taken(_) | store::Error::Fault(_) => Self::Internal { cause: error.to_string() },
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
            (Error::Unavailable { cause: cause() }, "UNAVAILABLE", r#"[["retryAfterSeconds",1]]"#),
            (Error::Internal { cause: cause() }, "INTERNAL_SERVER_ERROR", "[]"),
        ] {
            assert_eq!(error.code().as_str(), code);
            assert_eq!(serde_json::to_string(&error.fields()).unwrap(), fields);
            assert!(!error.to_string().contains("secret"));
        }
    }
}
