//! Mutations of sessions: refresh, logout, revocation.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use secrecy::SecretString;

use crate::graphql::{error::Result, mutations::account::AuthPayload, request_scope::RequestScope, scalars::parse_id};
use crate::service;

/// Input of `refreshSession`.
#[derive(InputObject)]
pub(crate) struct RefreshSessionInput {
    /// Latest refresh token of the session.
    refresh_token: String,
}

/// Input of `revokeSession`.
#[derive(InputObject)]
pub(crate) struct RevokeSessionInput {
    /// Id of a session of the caller.
    id: ID,
}

/// Payload of `logout`.
#[derive(SimpleObject)]
pub(crate) struct LogoutPayload {
    /// Id of the session that ended, in which the request ran.
    revoked_session_id: ID,
}

/// Payload of `revokeSession`.
#[derive(SimpleObject)]
pub(crate) struct RevokeSessionPayload {
    /// Id of the session that ended.
    revoked_session_id: ID,
}

/// Payload of `revokeOtherSessions`.
#[derive(SimpleObject)]
pub(crate) struct RevokeOtherSessionsPayload {
    /// Ids of the sessions that ended, in no particular order.
    revoked_session_ids: Vec<ID>,
}

/// Mutations of sessions.
#[derive(Default)]
pub struct SessionMutation;

/// Mutations of sessions.
#[Object]
impl SessionMutation {
    /// Exchanges a refresh token for new tokens of the session.
    ///
    /// Each refresh token works once. A client that lost the response may retry before it uses a new token, within 30
    /// seconds by default. Any other reuse of a token ends the session.
    ///
    /// Fails with:
    /// - `UNAUTHENTICATED` if the token is invalid or expired, or if the session has ended
    /// - `RATE_LIMITED` after too many refreshes
    ///
    /// Null if the mutation failed; see `errors`.
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Refresh token.")] input: RefreshSessionInput,
    ) -> Result<Option<AuthPayload>> {
        let scope = RequestScope::of(ctx);
        let tokens = service::sessions::refresh(scope.request(), SecretString::from(input.refresh_token)).await?;
        Ok(Some(AuthPayload::new(scope, tokens)))
    }

    /// Ends the session that the request runs in.
    ///
    /// Fails with:
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn logout(&self, ctx: &Context<'_>) -> Result<Option<LogoutPayload>> {
        let id = service::sessions::logout(RequestScope::of(ctx).request()).await?;
        Ok(Some(LogoutPayload { revoked_session_id: id.to_string().into() }))
    }

    /// Ends a session of the caller.
    ///
    /// Fails with:
    /// - `NOT_FOUND` if the caller has no such session
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Session to end.")] input: RevokeSessionInput,
    ) -> Result<Option<RevokeSessionPayload>> {
        let id = service::sessions::revoke(RequestScope::of(ctx).request(), parse_id("input.id", &input.id)?).await?;
        Ok(Some(RevokeSessionPayload { revoked_session_id: id.to_string().into() }))
    }

    /// Ends all sessions of the caller except the one that the request runs in.
    ///
    /// Fails with:
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn revoke_other_sessions(&self, ctx: &Context<'_>) -> Result<Option<RevokeOtherSessionsPayload>> {
        let ids = service::sessions::revoke_others(RequestScope::of(ctx).request()).await?;
        let revoked_session_ids = ids.iter().map(|id| id.to_string().into()).collect();
        Ok(Some(RevokeOtherSessionsPayload { revoked_session_ids }))
    }
}
