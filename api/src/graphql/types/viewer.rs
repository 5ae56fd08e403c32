//! What is the caller's own.

use async_graphql::{Context, Enum, ID, Object};

use crate::domain::{self, Account, Timestamp};
use crate::engine::SingleField;
use crate::graphql::error::Result;
use crate::graphql::loaders::Own;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::scalars::{Base64, parse_id};
use crate::graphql::types::connection::{Connection, arguments};
use crate::graphql::types::conversation::Conversation;
use crate::graphql::types::feed::MessageFeedPage;
use crate::graphql::types::passkey::Passkey;
use crate::graphql::types::session::Session;
use crate::graphql::types::user::User;
use crate::service::{self, Error, conversations::ConversationRef, users::Lookup};

/// The signed-in caller, and what only the caller may see.
pub(crate) struct Viewer {
    pub(crate) scope: RequestScope,
}

/// What an account may do.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::Role")]
pub(crate) enum Role {
    /// Uses the messenger.
    User,
    /// Operates it.
    Admin,
}

/// The signed-in caller, and what only the caller may see.
//
// What reads from the database does so in a box: the futures of all fields share one room, which is moved for each of
// them. Guarded by the benchmark `front`.
#[Object]
impl Viewer {
    /// The caller as others see it.
    async fn user(&self) -> Result<User> {
        // Alone in its request, so there is nothing to wait for with others.
        let user =
            service::users::find(self.scope.request(), Lookup::Id(self.scope.request().viewer()?.user_id)).await?;
        Ok(User::new(&self.scope, user.ok_or(Error::NotFound("user"))?))
    }

    /// The address that mail goes to.
    async fn email(&self) -> Result<String> {
        Ok(self.account().await?.email)
    }

    /// Whether the address has been confirmed.
    async fn is_email_verified(&self) -> Result<bool> {
        Ok(self.account().await?.is_email_verified)
    }

    /// What the account may do.
    async fn role(&self) -> Result<Role> {
        Ok(self.scope.request().viewer()?.role.into())
    }

    /// The latest sign-in with a password or passkey; null before the first.
    async fn last_login_at(&self) -> Result<Option<Timestamp>> {
        Ok(self.account().await?.last_login_at)
    }

    /// The session that this request runs in.
    async fn session(&self) -> Result<Session> {
        let session = Box::pin(service::sessions::current(self.scope.request())).await?;
        Ok(Session::new(&self.scope, session))
    }

    /// The passkeys of the account, oldest first, at most 20.
    async fn passkeys(&self) -> Result<Vec<Passkey>> {
        let passkeys = Box::pin(service::passkeys::own(self.scope.request())).await?;
        Ok(passkeys.into_iter().map(|passkey| Passkey::new(&self.scope, passkey)).collect())
    }

    /// The caller's sessions that have not ended, newest first.
    async fn sessions(
        &self,
        #[graphql(desc = "How many from the start.")] first: Option<i32>,
        #[graphql(desc = "Only what stands behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what stands before this cursor.")] before: Option<String>,
    ) -> Result<Connection<domain::Session>> {
        let sessions =
            Box::pin(service::sessions::list(self.scope.request(), &arguments(first, after, last, before))).await?;
        Ok(Connection::new(&self.scope, sessions))
    }

    /// What happened to the caller's account, newest first; also what operators did to it.
    async fn audit_logs(
        &self,
        #[graphql(desc = "How many from the start.")] first: Option<i32>,
        #[graphql(desc = "Only what stands behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what stands before this cursor.")] before: Option<String>,
    ) -> Result<Connection<domain::AuditLog>> {
        let entries =
            Box::pin(service::audit::own(self.scope.request(), &arguments(first, after, last, before))).await?;
        Ok(Connection::new(&self.scope, entries))
    }

    /// The private keys, wrapped on the device and opaque here; null until some are stored.
    async fn key_vault(&self) -> Result<Option<Base64>> {
        Ok(self.account().await?.key_vault.map(Base64))
    }

    /// The caller's conversations, the one with the latest message first.
    async fn conversations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the latest on.")] first: Option<i32>,
        #[graphql(desc = "Only what stands behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what stands before this cursor.")] before: Option<String>,
    ) -> Result<Connection<ConversationRef>> {
        let page = arguments(first, after, last, before);
        let asked = ctx.look_ahead();
        let items = [asked.field("nodes"), asked.field("edges").field("node")];
        let with_messages = items.iter().any(|item| item.field("lastMessage").exists());
        let conversations = Box::pin(service::conversations::list(self.scope.request(), &page, with_messages)).await?;
        Ok(Connection::new(&self.scope, conversations))
    }

    /// The conversation with another user, or with oneself; null before its first message.
    async fn conversation(&self, #[graphql(desc = "The other user's id.")] with: ID) -> Result<Option<Conversation>> {
        let known =
            Box::pin(service::conversations::known_with(self.scope.request(), parse_id("with", &with)?)).await?;
        Ok(known.map(|conversation| Conversation::new(&self.scope, conversation)))
    }

    /// Messages to the caller that are not marked read, in all conversations together.
    async fn unread_count(&self) -> Result<i64> {
        Ok(Box::pin(service::conversations::count_unread(self.scope.request())).await?)
    }

    /// The events of the subscription `messageFeed`, by the page; the cursors of either are good for both.
    async fn message_feed(
        &self,
        #[graphql(desc = "The cursor of the last event that was seen.")] after: Option<String>,
        #[graphql(desc = "How many at most.")] first: Option<i32>,
    ) -> Result<MessageFeedPage> {
        let page = Box::pin(service::feed::page(self.scope.request(), after.as_deref(), first)).await?;
        Ok(MessageFeedPage::new(&self.scope, page))
    }
}

impl Viewer {
    /// Loaded once, however many of its fields are asked for.
    async fn account(&self) -> Result<Account> {
        Ok(self.scope.loader().load_one(Own).await?.ok_or(Error::NotFound("user"))?)
    }
}

/// What is the caller's own.
#[derive(Default)]
pub struct ViewerQuery;

/// What is the caller's own.
#[Object]
impl ViewerQuery {
    /// The signed-in caller; null when no access token was sent.
    async fn viewer(&self, ctx: &Context<'_>) -> Option<SingleField<Viewer>> {
        let scope = RequestScope::of(ctx).clone();
        scope.request().caller().is_some().then_some(SingleField(Viewer { scope }))
    }
}
