//! Authorization of a stream, until its token expires, its session is revoked or its role is lost.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, select};
use tokio::time::{Instant, sleep};

use crate::domain::{Timestamp, Viewer};
use crate::http::AppState;
use crate::service::sessions;

/// Time for which a result of `still_valid` is reused.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Authorization of a stream to send items to its viewer.
pub struct StreamAuth {
    state: Arc<AppState>,
    viewer: Option<Viewer>,
    over: BoxFuture<'static, ()>,
    checked_at: Option<Instant>,
}

impl StreamAuth {
    /// Creates an authorization that lasts as long as the viewer's token and session. Without a viewer it never ends.
    pub fn new(state: &Arc<AppState>, viewer: Option<Viewer>) -> Self {
        let over = viewer.map_or_else(|| pending().boxed(), |viewer| over(state, viewer));
        Self { state: Arc::clone(state), viewer, over, checked_at: None }
    }

    /// Returns the signed-in user, if any.
    pub const fn viewer(&self) -> Option<Viewer> {
        self.viewer
    }

    /// Continues with a newer token and returns its expiry. Returns `None` if user or session differ. Also returns
    /// `None` if the role is lower: running operations would keep the higher role.
    pub fn renew(&mut self, viewer: Viewer) -> Option<Timestamp> {
        let own = self.viewer.is_some_and(|own| {
            (own.user_id, own.session_id) == (viewer.user_id, viewer.session_id) && own.role <= viewer.role
        });
        own.then(|| {
            *self = Self::new(&self.state, Some(viewer));
            viewer.expires_at
        })
    }

    /// Waits until the authorization ends. Cancel safe.
    pub async fn over(&mut self) {
        (&mut self.over).await;
    }

    /// Whether the next item may be sent. Called before each item, but checks the session only once a second.
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
