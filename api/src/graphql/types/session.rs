//! Sessions: signed-in devices.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};
use secrecy::SecretString;

use crate::{
    domain::{self, Timestamp},
    engine::object::{Field, JsonObject, Scoped, Writer, leaf},
    graphql::{
        error::{Error, Result},
        mutations::account::AuthPayload,
        request_scope::Scope,
        scalars::parse_id,
    },
    service::{
        self,
        sessions::{Change, ChangeKind},
    },
};

/// A signed-in device.
pub(crate) type Session = Scoped<domain::Session>;

/// A session to go on with.
#[derive(InputObject)]
pub(crate) struct RefreshSessionInput {
    /// The latest refresh token; it is good once.
    refresh_token: String,
}

/// A session to end.
#[derive(InputObject)]
pub(crate) struct RevokeSessionInput {
    /// The session's id.
    id: ID,
}

/// The session that has ended.
#[derive(SimpleObject)]
pub(crate) struct LogoutPayload {
    /// The id of the session that the request ran in.
    revoked_session_id: ID,
}

/// The session that has ended.
#[derive(SimpleObject)]
pub(crate) struct RevokeSessionPayload {
    /// Its id.
    revoked_session_id: ID,
}

/// The sessions that have ended.
#[derive(SimpleObject)]
pub(crate) struct RevokeOtherSessionsPayload {
    /// Their ids, in no order.
    revoked_session_ids: Vec<ID>,
}

/// Something that happened to one of the caller's sessions.
pub(crate) struct SessionEvent {
    scope: Scope,
    change: Change,
}

/// What can happen to a session.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "ChangeKind")]
pub(crate) enum SessionEventKind {
    /// A device signed in.
    Created,
    /// A device got new tokens.
    Refreshed,
    /// A session has ended: by its owner, by time, or because a spent token was used again.
    Revoked,
}

/// Something that happened to one of the caller's sessions.
#[Object]
impl SessionEvent {
    /// What happened.
    async fn kind(&self) -> SessionEventKind {
        self.change.kind.into()
    }

    /// To which session.
    async fn session_id(&self) -> ID {
        self.change.session_id.to_string().into()
    }

    /// The session as it is now; null when it has ended.
    async fn session(&self) -> Option<Session> {
        let session = self.change.session.clone()?;
        Some(Session::new(&self.scope, session))
    }
}

impl JsonObject for domain::Session {
    const NAME: &'static str = "Session";
    const DESCRIPTION: &'static str = "A signed-in device.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global and stable, however often the tokens change.", |it, out| out.plain(it.id)),
        leaf::<_, Option<String>>(
            "deviceInfo",
            "What the client called itself at sign-in; null if it did not say.",
            |it, out| out.or_null(it.device_info.as_deref(), Writer::text),
        ),
        leaf::<_, Option<String>>(
            "ipAddress",
            "Where it signed in from; null if the server could not tell.",
            |it, out| out.or_null(it.ip_address.as_deref(), Writer::text),
        ),
        leaf::<_, Timestamp>("createdAt", "When it signed in.", |it, out| out.time(it.created_at)),
        leaf::<_, Timestamp>("lastUsedAt", "When it last signed in or refreshed.", |it, out| out.time(it.last_used_at)),
        leaf::<_, Timestamp>("expiresAt", "When it ends unless it is refreshed before.", |it, out| {
            out.time(it.expires_at);
        }),
        leaf::<_, bool>("isCurrent", "Whether this request runs in it.", |it, out| {
            out.json(&out.scope.context.caller().is_some_and(|viewer| viewer.session_id == it.id));
        }),
    ];
}

/// Going on with sessions and ending them.
#[derive(Default)]
pub struct SessionMutation;

/// Going on with sessions and ending them.
#[Object]
impl SessionMutation {
    /// Exchanges a refresh token for the session's next tokens; null only when it fails.
    ///
    /// Each refresh token is good once. A client that has lost the answer may repeat within half a minute; any other
    /// use of a spent token ends the session.
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token.")] input: RefreshSessionInput,
    ) -> Result<Option<AuthPayload>> {
        let scope = Scope::of(ctx);
        let tokens = service::sessions::refresh(&scope.context, SecretString::from(input.refresh_token)).await?;
        Ok(Some(AuthPayload::new(scope, tokens)))
    }

    /// Ends the session that the request runs in; null only when it fails.
    async fn logout(&self, ctx: &Context<'_>) -> Result<Option<LogoutPayload>> {
        let id = service::sessions::logout(&Scope::of(ctx).context).await?;
        Ok(Some(LogoutPayload { revoked_session_id: id.to_string().into() }))
    }

    /// Ends one of the caller's own sessions; null only when it fails.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: RevokeSessionInput,
    ) -> Result<Option<RevokeSessionPayload>> {
        let id = service::sessions::revoke(&Scope::of(ctx).context, parse_id("input.id", &input.id)?).await?;
        Ok(Some(RevokeSessionPayload { revoked_session_id: id.to_string().into() }))
    }

    /// Ends all of the caller's sessions but the one that the request runs in; null only when it fails.
    async fn revoke_other_sessions(&self, ctx: &Context<'_>) -> Result<Option<RevokeOtherSessionsPayload>> {
        let ids = service::sessions::revoke_others(&Scope::of(ctx).context).await?;
        let revoked_session_ids = ids.iter().map(|id| id.to_string().into()).collect();
        Ok(Some(RevokeOtherSessionsPayload { revoked_session_ids }))
    }
}

/// Changes to the caller's sessions.
#[derive(Default)]
pub struct SessionSubscription;

/// Changes to the caller's sessions.
#[Subscription]
impl SessionSubscription {
    /// Each change to the caller's own sessions from now on, on whichever device.
    async fn session_changed(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = Result<SessionEvent>> + use<>> {
        let scope = Scope::of(ctx).clone();
        let changes = service::sessions::follow(scope.context.clone()).await?;
        Ok(changes.map(move |change| match change {
            Ok(change) => Ok(SessionEvent { scope: scope.clone(), change }),
            Err(error) => Err(Error::from(error)),
        }))
    }
}
