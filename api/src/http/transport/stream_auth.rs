//! For how long a stream may go on: until its token expires, its session is revoked or its role is lost.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, select};
use tokio::time::{Instant, sleep};

use crate::domain::{Timestamp, Viewer};
use crate::http::AppState;
use crate::service::sessions;

/// How long an answer of `still_valid` is relied upon.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// The right of a stream to its viewer's items.
pub struct StreamAuth {
    state: Arc<AppState>,
    viewer: Option<Viewer>,
    over: BoxFuture<'static, ()>,
    checked_at: Option<Instant>,
}

impl StreamAuth {
    /// Creates the permission for as long as the viewer's token and session last. Without a viewer it never ends.
    pub fn new(state: &Arc<AppState>, viewer: Option<Viewer>) -> Self {
        let over = viewer.map_or_else(|| pending().boxed(), |viewer| over(state, viewer));
        Self { state: Arc::clone(state), viewer, over, checked_at: None }
    }

    /// On whose behalf.
    pub const fn viewer(&self) -> Option<Viewer> {
        self.viewer
    }

    /// Goes on with a newer token, if it is one of the same user and session, and of no lesser role: what runs already
    /// would keep the greater.
    pub fn renew(&mut self, viewer: Viewer) -> Option<Timestamp> {
        let own = self.viewer.is_some_and(|own| {
            (own.user_id, own.session_id) == (viewer.user_id, viewer.session_id) && own.role <= viewer.role
        });
        own.then(|| {
            *self = Self::new(&self.state, Some(viewer));
            viewer.expires_at
        })
    }

    /// Waits for the end. May be dropped and called again.
    pub async fn over(&mut self) {
        (&mut self.over).await;
    }

    /// Whether the next item may be sent: asked before each, answered from memory but once a second.
    pub async fn admits(&mut self) -> bool {
        let Some(viewer) = self.viewer else {
            return true;
        };
        if self.state.deps.source.now() >= viewer.expires_at {
            return false;
        }
        if self.checked_at.is_some_and(|at| at.elapsed() < TRUSTED_FOR) {
            return true;
        }
        self.checked_at = Some(Instant::now());
        sessions::still_valid(&self.state.deps.backend, &viewer).await
    }
}

fn over(state: &Arc<AppState>, viewer: Viewer) -> BoxFuture<'static, ()> {
    let revoked = sessions::watch(&state.deps.backend, &viewer).boxed();
    let left = (viewer.expires_at - state.deps.source.now()).to_std().unwrap_or_default();
    select(revoked, Box::pin(sleep(left))).map(drop).boxed()
}
