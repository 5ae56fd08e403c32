//! The codes that clients program against; every error carries one as `extensions.code`.

/// The machine-readable kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The document is not GraphQL.
    GraphqlParseFailed,
    /// The document does not fit the schema.
    GraphqlValidationFailed,
    /// The operation to run cannot be told from the request.
    OperationResolutionFailure,
    /// The document is over one of the limits.
    TooComplex,
    /// The persisted query is not known here: send it with its text.
    PersistedQueryNotFound,
    /// Persisted queries are not offered.
    PersistedQueryNotSupported,
    /// The request is malformed.
    BadRequest,
    /// An argument is not acceptable.
    BadUserInput,
    /// No valid session came with the request.
    Unauthenticated,
    /// The login and the password do not belong together.
    InvalidCredentials,
    /// The caller may not do that.
    Forbidden,
    /// There is no such thing, or the caller may not see it.
    NotFound,
    /// It stands in contradiction to what is stored.
    Conflict,
    /// The cursor is of before a restore of the database.
    CursorExpired,
    /// Too many of these for now.
    RateLimited,
    /// It took longer than a request may.
    DeadlineExceeded,
    /// A part that is needed does not answer: try again.
    Unavailable,
    /// A fault of the server.
    InternalServerError,
}

impl ErrorCode {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 18] = [
        Self::GraphqlParseFailed,
        Self::GraphqlValidationFailed,
        Self::OperationResolutionFailure,
        Self::TooComplex,
        Self::PersistedQueryNotFound,
        Self::PersistedQueryNotSupported,
        Self::BadRequest,
        Self::BadUserInput,
        Self::Unauthenticated,
        Self::InvalidCredentials,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::CursorExpired,
        Self::RateLimited,
        Self::DeadlineExceeded,
        Self::Unavailable,
        Self::InternalServerError,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GraphqlParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::GraphqlValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::OperationResolutionFailure => "OPERATION_RESOLUTION_FAILURE",
            Self::TooComplex => "TOO_COMPLEX",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::PersistedQueryNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
            Self::BadRequest => "BAD_REQUEST",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::InvalidCredentials => "INVALID_CREDENTIALS",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::CursorExpired => "CURSOR_EXPIRED",
            Self::RateLimited => "RATE_LIMITED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Unavailable => "UNAVAILABLE",
            Self::InternalServerError => "INTERNAL_SERVER_ERROR",
        }
    }
}

/// Why a request counts as not signed in; `extensions.reason` of UNAUTHENTICATED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationReason {
    /// No access token was sent where one is needed.
    Missing,
    /// The access token's time is over: refresh the session.
    Expired,
    /// The session has ended: sign in again.
    Revoked,
    /// The access token is not one of ours.
    Invalid,
}

impl AuthenticationReason {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::Expired => "EXPIRED",
            Self::Revoked => "REVOKED",
            Self::Invalid => "INVALID",
        }
    }
}
