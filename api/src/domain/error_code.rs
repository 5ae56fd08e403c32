//! The codes that clients program against; every error carries one as `extensions.code`.

use crate::domain::text_enum::text_enum;

text_enum! {
    /// The kind of an error, in `extensions.code` of every error.
    #[derive(Hash)]
    pub enum ErrorCode {
        /// The document is not GraphQL.
        GraphqlParseFailed = "GRAPHQL_PARSE_FAILED",
        /// The document does not fit the schema.
        GraphqlValidationFailed = "GRAPHQL_VALIDATION_FAILED",
        /// The operation to run cannot be told from the request.
        OperationResolutionFailure = "OPERATION_RESOLUTION_FAILURE",
        /// The document is over one of the limits.
        TooComplex = "TOO_COMPLEX",
        /// The persisted query is not known here: send it with its text.
        PersistedQueryNotFound = "PERSISTED_QUERY_NOT_FOUND",
        /// Persisted queries are not offered.
        PersistedQueryNotSupported = "PERSISTED_QUERY_NOT_SUPPORTED",
        /// The request is malformed.
        BadRequest = "BAD_REQUEST",
        /// An argument is not acceptable; `extensions.field` names it.
        BadUserInput = "BAD_USER_INPUT",
        /// No valid session came with the request; `extensions.reason` says why.
        Unauthenticated = "UNAUTHENTICATED",
        /// The login and the password do not belong together.
        InvalidCredentials = "INVALID_CREDENTIALS",
        /// The caller may not do that.
        Forbidden = "FORBIDDEN",
        /// There is no such thing, or the caller may not see it.
        NotFound = "NOT_FOUND",
        /// It contradicts what is stored.
        Conflict = "CONFLICT",
        /// The cursor is of before a restore of the database; go on without one.
        CursorExpired = "CURSOR_EXPIRED",
        /// Too many of these for now; see `extensions.retryAfterSeconds`.
        RateLimited = "RATE_LIMITED",
        /// It took longer than a request may.
        DeadlineExceeded = "DEADLINE_EXCEEDED",
        /// A part that is needed does not answer; see `extensions.retryAfterSeconds`.
        Unavailable = "UNAVAILABLE",
        /// A fault of the server; its log knows more under `extensions.requestId`.
        InternalServerError = "INTERNAL_SERVER_ERROR",
    }
}

text_enum! {
    /// Why a request counts as not signed in; `extensions.reason` of UNAUTHENTICATED.
    pub enum AuthenticationReason {
        /// No access token was sent where one is needed.
        Missing = "MISSING",
        /// The access token has expired: refresh the session.
        Expired = "EXPIRED",
        /// The session has ended: sign in again.
        Revoked = "REVOKED",
        /// The access token is not one of ours.
        Invalid = "INVALID",
    }
}
