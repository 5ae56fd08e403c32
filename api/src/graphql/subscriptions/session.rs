//! The subscription to changes of the caller's sessions.

use async_graphql::{Context, Enum, ID, Object, Subscription};
use futures_util::{Stream, StreamExt};

use crate::graphql::{error::Result, request_scope::RequestScope, types::session::Session};
use crate::service;
use crate::service::sessions::{Change, ChangeKind};

/// Something that happened to one of the caller's sessions.
pub(crate) struct SessionEvent {
    scope: RequestScope,
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

/// Changes to the caller's sessions.
#[derive(Default)]
pub struct SessionSubscription;

/// Changes to the caller's sessions.
#[Subscription]
impl SessionSubscription {
    /// Each change to the caller's own sessions from now on, on whichever device.
    async fn session_changed(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = Result<SessionEvent>> + use<>> {
        let scope = RequestScope::of(ctx).clone();
        let changes = service::sessions::follow(scope.request().clone()).await?;
        Ok(changes.map(move |change| {
            let change = change?;
            Ok(SessionEvent { scope: scope.clone(), change })
        }))
    }
}
