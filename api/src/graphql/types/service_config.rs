//! Limits and settings that clients need to know.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::{Deprecation, MetaEnumValue, MetaType, MetaTypeId, Registry};
use async_graphql::{Context, ContextSelectionSet, Name, Object, OutputType, Positioned, ServerResult, Value};

use crate::config::Config;
use crate::domain::{self, message::MESSAGE_MAX_BYTES};
use crate::graphql::request_scope::RequestScope;

/// Limits and settings of the server.
pub(crate) struct ServiceConfig<'a>(pub(crate) &'a Config);

/// Code of an error. The enum of the schema is built from the codes of the domain.
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
            description: Some("Code of an error, in `extensions.code` of every error.".to_owned()),
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

/// Limits and settings of the server that clients need to know.
#[Object]
impl ServiceConfig<'_> {
    /// Version of the server (Semantic Versioning).
    async fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// All codes that an error can have.
    async fn error_codes(&self) -> Vec<ErrorCode> {
        domain::ErrorCode::ALL.map(ErrorCode).into()
    }

    /// Maximum number of items in a page.
    async fn max_page_size(&self) -> usize {
        self.0.graphql.max_page_size
    }

    /// Maximum depth of fields in an operation.
    async fn max_query_depth(&self) -> usize {
        self.0.graphql.max_depth
    }

    /// Maximum cost of an operation. The description of the schema says how costs are counted.
    async fn max_query_complexity(&self) -> usize {
        self.0.graphql.max_complexity
    }

    /// Maximum size of a message's ciphertext, in bytes.
    async fn max_message_bytes(&self) -> usize {
        MESSAGE_MAX_BYTES
    }

    /// Minimum length of a password, in characters.
    async fn password_min_length(&self) -> u16 {
        self.0.accounts.password_min_length
    }

    /// Lifetime of an access token, in seconds.
    async fn access_token_ttl_seconds(&self) -> u32 {
        self.0.accounts.access_token_ttl_seconds
    }

    /// Lifetime of a refresh token, in seconds. A session that is not refreshed ends with it.
    async fn refresh_token_ttl_seconds(&self) -> u32 {
        self.0.accounts.refresh_token_ttl_seconds
    }
}

/// Query for the limits and settings of the server.
#[derive(Default)]
pub struct ServiceConfigQuery;

/// Query for the limits and settings of the server.
#[Object]
impl ServiceConfigQuery {
    /// Limits and settings of the server. Needs no session.
    async fn service_config<'a>(&self, ctx: &Context<'a>) -> ServiceConfig<'a> {
        ServiceConfig(&RequestScope::of(ctx).request().backend.config)
    }
}
