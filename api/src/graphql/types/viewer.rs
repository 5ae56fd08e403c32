//! Data of the signed-in caller.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};

use crate::domain::{self, Account, MessageCounts, PageArguments, Timestamp};
use crate::engine::SingleField;
use crate::graphql::error::Result;
use crate::graphql::loaders::{Own, OwnCounts};
use crate::graphql::request_scope::RequestScope;
use crate::graphql::scalars::{Base64, parse_id};
use crate::graphql::types::connection::Connection;
use crate::graphql::types::conversation::Conversation;
use crate::graphql::types::feed::MessageFeedPage;
use crate::graphql::types::passkey::Passkey;
use crate::graphql::types::session::Session;
use crate::graphql::types::user::User;
use crate::service::{self, Error, conversations::ConversationRef, users::Lookup};

/// The signed-in caller.
pub(crate) struct Viewer {
    pub(crate) scope: RequestScope,
}

/// Role of an account.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::Role")]
pub(crate) enum Role {
    /// Can send and receive messages.
    User,
    /// Can also read `admin`: accounts, the audit trail, metrics and health.
    Admin,
}

/// A quota of storage, in bytes of ciphertext. The sender of a message is charged until the sender deletes it.
#[derive(SimpleObject)]
pub(crate) struct StorageUsage {
    /// Bytes of the messages that the caller has sent and not deleted. A whole number.
    used_bytes: f64,
    /// Maximum of `usedBytes`; beyond it, sending fails with `QUOTA_EXCEEDED`. A whole number.
    limit_bytes: f64,
}

/// The signed-in caller, with data that only the caller can read.
//
// Fields that read from the database are boxed. Otherwise the future of every field would have the size of the largest.
// Guarded by the benchmark `front`.
#[Object]
impl Viewer {
    /// Public profile of the caller.
    async fn user(&self) -> Result<User> {
        // Usually the only user of the request, so a batch would save nothing.
        let user =
            service::users::find(self.scope.request(), Lookup::Id(self.scope.request().viewer()?.user_id)).await?;
        Ok(User::new(&self.scope, user.ok_or(Error::NotFound("user"))?))
    }

    /// E-mail address of the account.
    async fn email(&self) -> Result<String> {
        Ok(self.account().await?.email)
    }

    /// Whether the e-mail address is confirmed.
    async fn is_email_verified(&self) -> Result<bool> {
        Ok(self.account().await?.is_email_verified)
    }

    /// Role of the account.
    async fn role(&self) -> Result<Role> {
        Ok(self.scope.request().viewer()?.role.into())
    }

    /// Time of the latest sign-in with a password or a passkey. Null before the first.
    async fn last_login_at(&self) -> Result<Option<Timestamp>> {
        Ok(self.account().await?.last_login_at)
    }

    /// Session that this request runs in.
    async fn session(&self) -> Result<Session> {
        let session = Box::pin(service::sessions::current(self.scope.request())).await?;
        Ok(Session::new(&self.scope, session))
    }

    /// Passkeys of the account, oldest first. An account has at most 20.
    async fn passkeys(&self) -> Result<Vec<Passkey>> {
        let passkeys = Box::pin(service::passkeys::own(self.scope.request())).await?;
        Ok(passkeys.into_iter().map(|passkey| Passkey::new(&self.scope, passkey)).collect())
    }

    /// Active sessions of the caller, newest first.
    async fn sessions(
        &self,
        #[graphql(desc = "Number of items from the start.")] first: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> Result<Connection<domain::Session>> {
        let sessions =
            Box::pin(service::sessions::list(self.scope.request(), &PageArguments { first, after, last, before }))
                .await?;
        Ok(Connection::new(&self.scope, sessions))
    }

    /// Audit trail of the caller's account, newest first. Includes actions of operators.
    async fn audit_logs(
        &self,
        #[graphql(desc = "Number of items from the start.")] first: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> Result<Connection<domain::AuditLog>> {
        let entries =
            Box::pin(service::audit::own(self.scope.request(), &PageArguments { first, after, last, before })).await?;
        Ok(Connection::new(&self.scope, entries))
    }

    /// Private keys, encrypted on the device and opaque to the server. Null until they are stored.
    async fn key_vault(&self) -> Result<Option<Base64>> {
        Ok(self.account().await?.key_vault.map(Base64))
    }

    /// Conversations of the caller. The conversation with the latest message comes first.
    async fn conversations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start.")] first: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> Result<Connection<ConversationRef>> {
        let page = PageArguments { first, after, last, before };
        let asked = ctx.look_ahead();
        let items = [asked.field("nodes"), asked.field("edges").field("node")];
        let with_messages = items.iter().any(|item| item.field("lastMessage").exists());
        let conversations = Box::pin(service::conversations::list(self.scope.request(), &page, with_messages)).await?;
        Ok(Connection::new(&self.scope, conversations))
    }

    /// Conversation with a user. Null before the first message.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` if `with` is not the id of a user
    async fn conversation(
        &self,
        #[graphql(desc = "Id of the other user, or of the caller.")] with: ID,
    ) -> Result<Option<Conversation>> {
        let known =
            Box::pin(service::conversations::known_with(self.scope.request(), parse_id("with", &with)?)).await?;
        Ok(known.map(|conversation| Conversation::new(&self.scope, conversation)))
    }

    /// Number of messages to the caller that are not marked read, in all conversations.
    async fn unread_count(&self) -> Result<i64> {
        Ok(Box::pin(self.counts()).await?.unread)
    }

    /// Storage that messages sent by the caller take up.
    async fn storage(&self) -> Result<StorageUsage> {
        let used_bytes = float(Box::pin(self.counts()).await?.stored_bytes);
        let limit_bytes = float(self.scope.request().backend.config.quotas.stored_bytes_per_user);
        Ok(StorageUsage { used_bytes, limit_bytes })
    }

    /// A page of the events that the subscription `messageFeed` delivers.
    ///
    /// Cursors of this field and of the subscription are interchangeable. A page ends early at 1 MiB of ciphertext.
    ///
    /// Fails with:
    /// - `CURSOR_EXPIRED` if the cursor is from before a restore of the database
    /// - `BAD_USER_INPUT` if `after` is not a cursor of this feed
    async fn message_feed(
        &self,
        #[graphql(desc = "Maximum number of events.")] first: Option<i32>,
        #[graphql(desc = "Only events after this cursor. All kept events if omitted.")] after: Option<String>,
    ) -> Result<MessageFeedPage> {
        let page = Box::pin(service::feed::page(self.scope.request(), after.as_deref(), first)).await?;
        Ok(MessageFeedPage::new(&self.scope, page))
    }
}

impl Viewer {
    /// Returns the account, which an operation loads only once.
    async fn account(&self) -> Result<Account> {
        Ok(self.scope.loader().load_one(Own).await?.ok_or(Error::NotFound("user"))?)
    }

    /// Loaded once for all fields that need it.
    async fn counts(&self) -> Result<MessageCounts> {
        Ok(self.scope.loader().load_one(OwnCounts).await?.ok_or(Error::NotFound("user"))?)
    }
}

#[expect(clippy::cast_precision_loss, reason = "settings bound byte counts by 2^53, which a Float holds exactly")]
const fn float(bytes: i64) -> f64 {
    bytes as f64
}

/// Query for the signed-in caller.
#[derive(Default)]
pub struct ViewerQuery;

/// Query for the signed-in caller.
#[Object]
impl ViewerQuery {
    /// The signed-in caller. Null if the request has no access token.
    async fn viewer(&self, ctx: &Context<'_>) -> Option<SingleField<Viewer>> {
        let scope = RequestScope::of(ctx).clone();
        scope.request().caller().is_some().then_some(SingleField(Viewer { scope }))
    }
}
