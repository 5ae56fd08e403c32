//! Stream of changes to a user's sessions, for the user's devices.
//!
//! The bus only sends hints to read the database. The changes are the difference between two reads.

use std::collections::{HashMap, VecDeque};

use futures_util::{Stream, stream};

use crate::bus::Subscription;
use crate::domain::{Session, SessionId, event::Topic};
use crate::service::context::streams::{retry_while_unavailable, spawn_read};
use crate::service::{Error, RequestContext};
use crate::store;

/// A change to a session.
pub struct Change {
    /// Kind of the change.
    pub kind: ChangeKind,
    /// Id of the changed session.
    pub session_id: SessionId,
    /// The session after the change. `None` if it has ended.
    pub session: Option<Session>,
}

/// Kinds of changes to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// A device signed in.
    Created,
    /// A device refreshed its tokens.
    Refreshed,
    /// A session has ended.
    Revoked,
}

/// Streams each change to the caller's own sessions from now on.
pub async fn follow(context: RequestContext) -> Result<impl Stream<Item = Result<Change, Error>> + use<>, Error> {
    let news = context.backend.bus.subscribe(Topic::Sessions(context.viewer()?.user_id));
    let known = spawn_read(read_sessions(context.clone())).await?;
    let changes = Changes { context, news, known, ready: VecDeque::new() };
    Ok(stream::try_unfold(changes, |mut changes| async move { Ok(Some((changes.next().await?, changes))) }))
}

struct Changes {
    context: RequestContext,
    news: Subscription,
    known: HashMap<SessionId, Session>,
    ready: VecDeque<Change>,
}

impl Changes {
    async fn next(&mut self) -> Result<Change, Error> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(change);
            }
            let backend = &self.context.backend;
            let now = retry_while_unavailable(backend, "a stream of sessions", || {
                spawn_read(read_sessions(self.context.clone()))
            })
            .await?;
            self.ready = diff(&self.known, &now);
            self.known = now;
            if self.ready.is_empty() {
                let poll = backend.poll_interval();
                tokio::select! {
                    _ = self.news.news() => {}
                    () = tokio::time::sleep(poll) => {}
                }
            }
        }
    }
}

async fn read_sessions(context: RequestContext) -> Result<HashMap<SessionId, Session>, Error> {
    let (user_id, now) = (context.viewer()?.user_id, context.backend.source.now());
    let sessions = store::sessions::find_by_user(context.backend.store.db(), user_id, now).await?;
    Ok(sessions.into_iter().map(|session| (session.id, session)).collect())
}

fn diff(before: &HashMap<SessionId, Session>, now: &HashMap<SessionId, Session>) -> VecDeque<Change> {
    let ended = before.keys().filter(|id| !now.contains_key(id));
    let ended = ended.map(|id| Change { kind: ChangeKind::Revoked, session_id: *id, session: None });
    let changed = now.values().filter_map(|session| {
        let kind = match before.get(&session.id) {
            None => ChangeKind::Created,
            Some(known) if known.last_used_at != session.last_used_at => ChangeKind::Refreshed,
            Some(_) => return None,
        };
        Some(Change { kind, session_id: session.id, session: Some(session.clone()) })
    });
    ended.chain(changed).collect()
}
