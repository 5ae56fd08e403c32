//! What happens to a user's sessions, for the user's devices to follow.
//!
//! The bus merely says when to look; what has happened is the difference between two looks at the database.

use std::collections::{HashMap, VecDeque};

use futures_util::{Stream, stream};

use crate::bus::Subscription;
use crate::domain::{Session, SessionId, event::Topic};
use crate::service::context::streams::{retry_while_unavailable, spawn_read};
use crate::service::{Error, RequestContext};
use crate::store;

/// Something that happened to a session.
pub struct Change {
    /// What.
    pub kind: ChangeKind,
    /// To which session.
    pub session_id: SessionId,
    /// That session as it is now; absent when it has ended.
    pub session: Option<Session>,
}

/// What can happen to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// A device signed in.
    Created,
    /// A device got new tokens.
    Refreshed,
    /// A session has ended.
    Revoked,
}

/// Each change to the caller's own sessions from now on.
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
