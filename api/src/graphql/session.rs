//! Sessions: signed-in devices.

use async_graphql::{ID, Object};

use super::scope::Scope;
use crate::domain::{self, Timestamp};

/// A signed-in device.
pub(super) struct Session {
    pub(super) scope: Scope,
    pub(super) session: domain::Session,
}

/// A signed-in device.
#[Object]
impl Session {
    /// Global and stable, however often the tokens change.
    pub(super) async fn id(&self) -> ID {
        self.session.id.to_string().into()
    }

    /// What the client called itself at sign-in; null if it did not say.
    async fn device_info(&self) -> Option<&str> {
        self.session.device_info.as_deref()
    }

    /// Where it signed in from; null if the server could not tell.
    async fn ip_address(&self) -> Option<&str> {
        self.session.ip_address.as_deref()
    }

    /// When it signed in.
    async fn created_at(&self) -> Timestamp {
        self.session.created_at
    }

    /// When it last signed in or refreshed.
    async fn last_used_at(&self) -> Timestamp {
        self.session.last_used_at
    }

    /// When it ends unless it is refreshed before.
    async fn expires_at(&self) -> Timestamp {
        self.session.expires_at
    }

    /// Whether this request runs in it.
    async fn is_current(&self) -> bool {
        self.scope.op.caller().is_some_and(|viewer| viewer.session_id == self.session.id)
    }
}
