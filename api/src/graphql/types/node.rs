//! Objects by their global ids.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{Context, ContextSelectionSet, ID, Interface, Object, OutputType, Positioned, ServerResult, Value};

use crate::domain::{self, AdminUserId, NodeId, UserId};
use crate::graphql::error::Result;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::scalars::parse_id;
use crate::graphql::types::admin::AdminUser;
use crate::graphql::types::audit::AuditLog;
use crate::graphql::types::conversation::Conversation;
use crate::graphql::types::message::Message;
use crate::graphql::types::metric::PerformanceMetric;
use crate::graphql::types::passkey::Passkey;
use crate::graphql::types::session::Session;
use crate::graphql::types::user::User;
use crate::service::{self, conversations::ConversationRef};

/// An object with a global id.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Global id, which never changes. Opaque, although it names the type."))]
pub(crate) enum Node {
    User(User),
    Session(Session),
    Conversation(Conversation),
    Message(Message),
    Passkey(Passkey),
    AuditLog(AuditLog),
    AdminUser(AdminUser),
    PerformanceMetric(PerformanceMetric),
}

macro_rules! identified {
    ($($object:ident: $id:expr;)+) => {
        $(
            impl $object {
                /// Returns the global id, as the interface requires.
                pub(crate) async fn id(&self, _: &Context<'_>) -> async_graphql::Result<ID> {
                    Ok($id(&self.value).to_string().into())
                }
            }
        )+
    };
}

identified! {
    User: |it: &domain::User| it.id;
    Session: |it: &domain::Session| it.id;
    Conversation: |it: &ConversationRef| it.id;
    Message: |it: &domain::Message| it.id;
    Passkey: |it: &domain::Passkey| it.id;
    AuditLog: |it: &domain::AuditLog| it.id;
    AdminUser: |it: &domain::AdminUser| AdminUserId(it.user_id.0);
    PerformanceMetric: |it: &domain::PerformanceMetric| it.id;
}

/// A node as fields return it. If no fragment fits its type it is `{}`, for which the library would return null.
pub(crate) struct AnyNode(Node);

impl OutputType for AnyNode {
    fn type_name() -> Cow<'static, str> {
        Node::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Node::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        match &self.0 {
            Node::User(object) => object.resolve(ctx, field).await,
            Node::Session(object) => object.resolve(ctx, field).await,
            Node::Conversation(object) => object.resolve(ctx, field).await,
            Node::Message(object) => object.resolve(ctx, field).await,
            Node::Passkey(object) => object.resolve(ctx, field).await,
            Node::AuditLog(object) => object.resolve(ctx, field).await,
            Node::AdminUser(object) => object.resolve(ctx, field).await,
            Node::PerformanceMetric(object) => object.resolve(ctx, field).await,
        }
    }
}

impl Node {
    /// Finds the object with this id. `None` if it does not exist or the caller may not see it.
    pub(crate) async fn find(scope: &RequestScope, field: &str, id: &ID) -> Result<Option<AnyNode>> {
        scope.request().viewer()?;
        let scope = scope.clone();
        let loader = scope.loader();
        let node = match parse_id::<NodeId>(field, id)? {
            NodeId::User(id) => loader.load_one(id).await?.map(|user| Self::User(User::new(&scope, user))),
            NodeId::Session(id) => {
                let session = service::sessions::find(scope.request(), id).await?;
                session.map(|session| Self::Session(Session::new(&scope, session)))
            }
            NodeId::Conversation(id) => {
                let conversation = loader.load_one(id).await?;
                conversation.map(|conversation| Self::Conversation(Conversation::new(&scope, conversation.into())))
            }
            NodeId::Message(id) => {
                let message = loader.load_one(id).await?;
                message.map(|message| Self::Message(Message::new(&scope, message)))
            }
            NodeId::Passkey(id) => {
                let passkey = service::passkeys::find(scope.request(), id).await?;
                passkey.map(|passkey| Self::Passkey(Passkey::new(&scope, passkey)))
            }
            NodeId::AuditLog(id) => {
                let entry = service::audit::find(scope.request(), id).await?;
                entry.map(|entry| Self::AuditLog(AuditLog::new(&scope, entry)))
            }
            NodeId::AdminUser(AdminUserId(id)) => {
                // For other callers the object does not exist.
                let Ok(admin) = scope.request().admin() else { return Ok(None) };
                let account = service::admin::find(admin, UserId(id)).await?;
                account.map(|account| Self::AdminUser(AdminUser::new(&scope, account)))
            }
            NodeId::Metric(id) => {
                let Ok(admin) = scope.request().admin() else { return Ok(None) };
                let metric = service::metrics::find(admin, id).await?;
                metric.map(|metric| Self::PerformanceMetric(PerformanceMetric::new(&scope, metric)))
            }
        };
        Ok(node.map(AnyNode))
    }
}

/// Queries for objects by their global ids.
#[derive(Default)]
pub struct NodeQuery;

/// Queries for objects by their global ids.
#[Object]
impl NodeQuery {
    /// The object with this id. Null if it does not exist or the caller may not see it.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` if `id` is not an id of an object
    /// - `UNAUTHENTICATED` without a session
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of an object of any type.")] id: ID,
    ) -> Result<Option<AnyNode>> {
        Box::pin(Node::find(RequestScope::of(ctx), "id", &id)).await
    }

    /// The objects with these ids, in the order of the ids. An entry is null where `node` would be null.
    ///
    /// A failure makes all of `data` null.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` for a malformed id, or for more ids than `serviceConfig.maxPageSize`
    /// - `UNAUTHENTICATED` without a session
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global ids, at most `serviceConfig.maxPageSize`.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<AnyNode>>> {
        let scope = RequestScope::of(ctx);
        let max = scope.request().backend.config.graphql.max_page_size;
        if ids.len() > max {
            let reason = format!("must have at most {max} IDs, but has {}", ids.len());
            return Err(service::Error::invalid("ids", reason).into());
        }
        futures_util::future::try_join_all(ids.iter().map(|id| Node::find(scope, "ids", id))).await
    }
}
