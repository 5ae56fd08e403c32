//! The subscription to changes of the caller's sessions.

use async_graphql::{Context, Enum, ID, Object, Subscription};
use futures_util::{Stream, StreamExt};

use crate::graphql::{error::Result, request_scope::RequestScope, types::session::Session};
use crate::service;
use crate::service::sessions::{Change, ChangeKind};

/// A change to a session of the caller.
pub(crate) struct SessionEvent {
    scope: RequestScope,
    change: Change,
}

/// Kind of a change to a session.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "ChangeKind")]
pub(crate) enum SessionEventKind {
    /// A device signed in and opened the session.
    Created,
    /// The device refreshed its tokens.
    Refreshed,
    /// The session ended, for example by logout, revocation, expiry or reuse of a spent refresh token.
    Revoked,
}

/// A change to a session of the caller.
#[Object]
impl SessionEvent {
    /// Kind of the change.
    async fn kind(&self) -> SessionEventKind {
        self.change.kind.into()
    }

    /// Id of the session.
    async fn session_id(&self) -> ID {
        self.change.session_id.to_string().into()
    }

    /// The session after the change. Null if it has ended.
    async fn session(&self) -> Option<Session> {
        let session = self.change.session.clone()?;
        Some(Session::new(&self.scope, session))
    }
}

/// Subscription to changes of the caller's sessions.
#[derive(Default)]
pub struct SessionSubscription;

/// Subscription to changes of the caller's sessions.
#[Subscription]
impl SessionSubscription {
    /// Changes to the caller's sessions from now on, on any device.
    ///
    /// Several changes of a session in a short time may arrive as one.
    ///
    /// Fails with:
    /// - `UNAUTHENTICATED` without a session
    async fn session_changed(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = Result<SessionEvent>> + use<>> {
        let scope = RequestScope::of(ctx).clone();
        let changes = service::sessions::follow(scope.request().clone()).await?;
        Ok(changes.map(move |change| {
            let change = change?;
            Ok(SessionEvent { scope: scope.clone(), change })
        }))
    }
}
