//! What a client must know to stay inside the limits.

use async_graphql::{Context, Enum, Object};

use crate::{
    config::Config,
    domain::{self, message::MESSAGE_MAX_BYTES},
    graphql::request_scope::RequestScope,
};

/// The limits and terms of this server.
pub(crate) struct ServiceConfig<'a>(pub(crate) &'a Config);

/// The kind of an error, in `extensions.code` of every error.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::ErrorCode")]
enum ErrorCode {
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
    /// An argument is not acceptable; `extensions.field` names it.
    BadUserInput,
    /// No valid session came with the request; `extensions.reason` says why.
    Unauthenticated,
    /// The login and the password do not belong together.
    InvalidCredentials,
    /// The caller may not do that.
    Forbidden,
    /// There is no such thing, or the caller may not see it.
    NotFound,
    /// It contradicts what is stored.
    Conflict,
    /// The cursor is of before a restore of the database; go on without one.
    CursorExpired,
    /// Too many of these for now; see `extensions.retryAfterSeconds`.
    RateLimited,
    /// It took longer than a request may.
    DeadlineExceeded,
    /// A part that is needed does not answer; see `extensions.retryAfterSeconds`.
    Unavailable,
    /// A fault of the server; its log knows more under `extensions.requestId`.
    InternalServerError,
}

/// The limits and terms of this server.
#[Object]
impl ServiceConfig<'_> {
    /// The server's version (Semantic Versioning).
    async fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Every code that an error can have.
    async fn error_codes(&self) -> Vec<ErrorCode> {
        domain::ErrorCode::ALL.map(ErrorCode::from).into()
    }

    /// The most items of a page.
    async fn max_page_size(&self) -> usize {
        self.0.graphql.max_page_size
    }

    /// The deepest nesting of fields in an operation.
    async fn max_query_depth(&self) -> usize {
        self.0.graphql.max_depth
    }

    /// The highest cost of an operation, in fields.
    async fn max_query_complexity(&self) -> usize {
        self.0.graphql.max_complexity
    }

    /// The largest ciphertext of one message, in bytes.
    async fn max_message_bytes(&self) -> usize {
        MESSAGE_MAX_BYTES
    }

    /// The fewest characters of a password.
    async fn password_min_length(&self) -> u16 {
        self.0.accounts.password_min_length
    }

    /// How long an access token is valid, in seconds.
    async fn access_token_ttl_seconds(&self) -> u32 {
        self.0.accounts.access_token_ttl_seconds
    }

    /// How long a session lives without being refreshed, in seconds.
    async fn refresh_token_ttl_seconds(&self) -> u32 {
        self.0.accounts.refresh_token_ttl_seconds
    }
}

/// What a client must know of the server.
#[derive(Default)]
pub struct ServiceConfigQuery;

/// What a client must know of the server.
#[Object]
impl ServiceConfigQuery {
    /// The limits and terms of this server.
    async fn service_config<'a>(&self, ctx: &Context<'a>) -> ServiceConfig<'a> {
        ServiceConfig(&RequestScope::of(ctx).request().backend.config)
    }
}
