//! Codes of errors, on which clients rely. Every error has one in `extensions.code`.

use crate::domain::text_enum::text_enum;

text_enum! {
    /// Code of an error, in `extensions.code` of every error.
    #[derive(Hash)]
    pub enum ErrorCode {
        /// The document is not syntactically valid GraphQL.
        GraphqlParseFailed = "GRAPHQL_PARSE_FAILED",
        /// The document does not match the schema.
        GraphqlValidationFailed = "GRAPHQL_VALIDATION_FAILED",
        /// The request does not determine which operation to run.
        OperationResolutionFailure = "OPERATION_RESOLUTION_FAILURE",
        /// The operation exceeds a limit, such as its size, depth, cost or the size of its answer.
        TooComplex = "TOO_COMPLEX",
        /// The server does not know the persisted query. Retry with its text, if the server runs any document.
        PersistedQueryNotFound = "PERSISTED_QUERY_NOT_FOUND",
        /// The server does not support this version of persisted queries.
        PersistedQueryNotSupported = "PERSISTED_QUERY_NOT_SUPPORTED",
        /// The request is malformed.
        BadRequest = "BAD_REQUEST",
        /// An argument is not acceptable. `extensions.field` names it.
        BadUserInput = "BAD_USER_INPUT",
        /// The request has no valid session. `extensions.reason` is MISSING, EXPIRED, REVOKED or INVALID.
        Unauthenticated = "UNAUTHENTICATED",
        /// The login, the password or the passkey is wrong.
        InvalidCredentials = "INVALID_CREDENTIALS",
        /// The caller lacks the role ADMIN, or did not sign in recently enough.
        Forbidden = "FORBIDDEN",
        /// The object does not exist, or the caller may not see it.
        NotFound = "NOT_FOUND",
        /// The input conflicts with stored data. `extensions.field` names it.
        Conflict = "CONFLICT",
        /// The cursor is from before a restore of the database. Continue without a cursor.
        CursorExpired = "CURSOR_EXPIRED",
        /// The caller exceeds a rate limit, or its share of memory. Retry after `extensions.retryAfterSeconds`.
        RateLimited = "RATE_LIMITED",
        /// A quota of the account is used up. `extensions.retryAfterSeconds` is set if waiting helps.
        QuotaExceeded = "QUOTA_EXCEEDED",
        /// The operation took too long. A mutation still runs to its end.
        DeadlineExceeded = "DEADLINE_EXCEEDED",
        /// A required component is unavailable or busy. Retry after `extensions.retryAfterSeconds`.
        Unavailable = "UNAVAILABLE",
        /// The server failed. Its log has the cause under `extensions.requestId`.
        InternalServerError = "INTERNAL_SERVER_ERROR",
    }
}

text_enum! {
    /// Reason of the error UNAUTHENTICATED, in `extensions.reason`.
    pub enum AuthenticationReason {
        /// The request has no access token.
        Missing = "MISSING",
        /// The token has expired: refresh the session, or sign in again.
        Expired = "EXPIRED",
        /// The session has ended: sign in again.
        Revoked = "REVOKED",
        /// The token is not from this server.
        Invalid = "INVALID",
    }
}
