//! Refreshing sessions and ending them.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use secrecy::SecretString;

use crate::graphql::{error::Result, mutations::account::AuthPayload, request_scope::RequestScope, scalars::parse_id};
use crate::service;

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
        let scope = RequestScope::of(ctx);
        let tokens = service::sessions::refresh(scope.request(), SecretString::from(input.refresh_token)).await?;
        Ok(Some(AuthPayload::new(scope, tokens)))
    }

    /// Ends the session that the request runs in; null only when it fails.
    async fn logout(&self, ctx: &Context<'_>) -> Result<Option<LogoutPayload>> {
        let id = service::sessions::logout(RequestScope::of(ctx).request()).await?;
        Ok(Some(LogoutPayload { revoked_session_id: id.to_string().into() }))
    }

    /// Ends one of the caller's own sessions; null only when it fails.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: RevokeSessionInput,
    ) -> Result<Option<RevokeSessionPayload>> {
        let id = service::sessions::revoke(RequestScope::of(ctx).request(), parse_id("input.id", &input.id)?).await?;
        Ok(Some(RevokeSessionPayload { revoked_session_id: id.to_string().into() }))
    }

    /// Ends all of the caller's sessions but the one that the request runs in; null only when it fails.
    async fn revoke_other_sessions(&self, ctx: &Context<'_>) -> Result<Option<RevokeOtherSessionsPayload>> {
        let ids = service::sessions::revoke_others(RequestScope::of(ctx).request()).await?;
        let revoked_session_ids = ids.iter().map(|id| id.to_string().into()).collect();
        Ok(Some(RevokeOtherSessionsPayload { revoked_session_ids }))
    }
}
