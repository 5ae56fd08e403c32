//! What a client must know to stay inside the limits.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::{Deprecation, MetaEnumValue, MetaType, MetaTypeId, Registry};
use async_graphql::{Context, ContextSelectionSet, Name, Object, OutputType, Positioned, ServerResult, Value};

use crate::config::Config;
use crate::domain::{self, message::MESSAGE_MAX_BYTES};
use crate::graphql::request_scope::RequestScope;

/// The limits and terms of this server.
pub(crate) struct ServiceConfig<'a>(pub(crate) &'a Config);

/// The kind of an error. The schema's enum is built from the codes.
struct ErrorCode(domain::ErrorCode);

impl OutputType for ErrorCode {
    fn type_name() -> Cow<'static, str> {
        "ErrorCode".into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        let value = |code: domain::ErrorCode| MetaEnumValue {
            name: code.as_str().to_owned(),
            description: Some(code.description().to_owned()),
            deprecation: Deprecation::NoDeprecated,
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            directive_invocations: Vec::new(),
        };
        registry.create_output_type::<Self, _>(MetaTypeId::Enum, |_| MetaType::Enum {
            name: Self::type_name().into_owned(),
            description: Some("The kind of an error, in `extensions.code` of every error.".to_owned()),
            enum_values: domain::ErrorCode::ALL
                .map(|code| (code.as_str().to_owned(), value(code)))
                .into_iter()
                .collect(),
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            rust_typename: Some(std::any::type_name::<Self>()),
            directive_invocations: Vec::new(),
            requires_scopes: Vec::new(),
        })
    }

    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        Ok(Value::Enum(Name::new(self.0.as_str())))
    }
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
        domain::ErrorCode::ALL.map(ErrorCode).into()
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
