//! The root fields. They are nullable, so that one that fails does not take its siblings' data away.

use async_graphql::{Context, ID, Object, Subscription};
use futures_util::{Stream, StreamExt};

use super::{
    account::{AuthPayload, LoginInput, RegisterInput},
    connection::{Connection, arguments},
    conversation::Conversation,
    error::{Error, Result},
    feed::{LastEventId, MessageFeedEvent},
    message::{Message, SendMessageInput, SendMessagePayload},
    node::Node,
    scope::Scope,
    service_config::ServiceConfig,
    user::{User, UserBy},
    viewer::Viewer,
};
use crate::service;

/// Reads.
pub struct Query;

/// Changes: each takes one input and returns what it changed.
pub struct Mutation;

/// Events.
pub struct Subscription;

/// Reads.
#[Object]
impl Query {
    /// The signed-in caller; null when no access token was sent.
    async fn viewer(&self, ctx: &Context<'_>) -> Option<Viewer> {
        let scope = Scope::of(ctx).clone();
        scope.op.caller().is_some().then_some(Viewer { scope })
    }

    /// An object by its id; null when it does not exist or the caller may not see it.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "Any global id.")] id: ID) -> Result<Option<Node>> {
        Node::find(Scope::of(ctx), "id", &id).await
    }

    /// Objects by their ids, in the order of the ids, null where `node` would be.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global ids, as many as a page may hold.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        let scope = Scope::of(ctx);
        let max = scope.op.backend.config.graphql.max_page_size;
        if ids.len() > max {
            let reason = format!("must have at most {max} ids, and has {}", ids.len());
            return Err(service::Error::invalid("ids", reason).into());
        }
        futures_util::future::try_join_all(ids.iter().map(|id| Node::find(scope, "ids", id))).await
    }

    /// A user; null when nobody is found.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How to look the user up.")] by: UserBy,
    ) -> Result<Option<User>> {
        let scope = Scope::of(ctx);
        let user = service::users::find(&scope.op, by.lookup()?).await?;
        Ok(user.map(|user| User { scope: scope.clone(), user }))
    }

    /// Active users by name; null only when it fails.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How the name begins, in upper or lower case.")] search: Option<String>,
        #[graphql(desc = "How many from the start.")] first: Option<i32>,
        #[graphql(desc = "Only what stands behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what stands before this cursor.")] before: Option<String>,
    ) -> Result<Option<Connection<User>>> {
        let scope = Scope::of(ctx);
        let page = arguments(first, after, last, before);
        let users = service::users::list(&scope.op, search.as_deref(), &page).await?;
        Ok(Some(Connection::of(users, |user| User { scope: scope.clone(), user })))
    }

    /// The limits and terms of this server.
    async fn service_config<'a>(&self, ctx: &Context<'a>) -> ServiceConfig<'a> {
        ServiceConfig(&Scope::of(ctx).op.backend.config)
    }
}

/// Changes: each takes one input and returns what it changed.
#[Object]
impl Mutation {
    /// Makes an account and signs its owner in; null only when it fails.
    async fn register(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account.")] input: RegisterInput,
    ) -> Result<Option<AuthPayload>> {
        let scope = Scope::of(ctx);
        let grant = service::accounts::register(&scope.op, input.into()).await?;
        Ok(Some(AuthPayload::new(scope, grant)))
    }

    /// Signs a user in; null only when it fails.
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and the proof.")] input: LoginInput,
    ) -> Result<Option<AuthPayload>> {
        let scope = Scope::of(ctx);
        let grant = service::accounts::login(&scope.op, input.into()).await?;
        Ok(Some(AuthPayload::new(scope, grant)))
    }

    /// Sends a message; sending the same one again returns the first; null only when it fails.
    async fn send_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message.")] input: SendMessageInput,
    ) -> Result<Option<SendMessagePayload>> {
        let scope = Scope::of(ctx);
        let (message, conversation) = service::messages::send(&scope.op, input.draft()?).await?;
        Ok(Some(SendMessagePayload {
            message: Message { scope: scope.clone(), message },
            conversation: Conversation { scope: scope.clone(), conversation },
        }))
    }
}

/// Events.
#[Subscription]
impl Subscription {
    /// Every event of the caller's mailbox in order, none missed and none twice.
    ///
    /// First those behind `after` (all that are kept, if it is left out), then CAUGHT_UP, then each as it commits.
    async fn message_feed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The cursor of the last event that was seen.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<MessageFeedEvent>> + use<>> {
        let scope = Scope::of(ctx).clone();
        // A browser that reconnects repeats the address it began with, and says in a header how far it has come since.
        let after = ctx.data_opt::<LastEventId>().map(|id| id.0.clone()).or(after);
        let feed = service::feed::follow(scope.op.clone(), after.as_deref())?;
        Ok(feed.map(move |delivery| match delivery {
            Ok(delivery) => Ok(MessageFeedEvent { scope: scope.clone(), delivery }),
            Err(error) => Err(Error::from(error)),
        }))
    }
}
