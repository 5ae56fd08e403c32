//! Steps after a commit: nodes drop cached values, listeners read again, and a mail is sent.
//!
//! The response to a `COMMIT` can be lost, and then its outcome is unknown. So the steps also run after an error.
//! Running them needlessly costs listeners a read. Skipping them would leave others with stale data until they poll.

use std::{future::ready, sync::Arc, time::Duration};

use futures_util::future::join;
use tokio::time::sleep;
use uuid::Uuid;

use crate::cache::{Group, Name};
use crate::domain::{AuditLogId, UserId, event::Topic};
use crate::mail::EmailMessage;
use crate::service::{Backend, Error, context::streams::spawn, user_changes};
use crate::store::{self, Transaction};

/// Maximum concurrent retries after commits of unknown outcome. Beyond it, listeners find the changes by polling.
pub(super) const UNCERTAIN_COMMITS_MAX: usize = 256;
/// Time after an error within which a commit has usually finished. The statement timeout bounds the others.
const USUALLY_OVER: Duration = Duration::from_secs(1);

/// Steps that follow the commit of a transaction. Running them twice changes nothing.
#[derive(Default)]
pub(super) struct AfterCommit {
    names: Vec<Name>,
    group: Option<Group>,
    topics: Vec<Topic>,
    changed_user: Option<UserId>,
    /// A mail, and the id of the audit entry that its transaction writes.
    email: Option<(EmailMessage, Uuid)>,
}

impl AfterCommit {
    /// Invalidates these cached values on every node.
    pub(super) fn invalidate(mut self, names: impl IntoIterator<Item = Name>) -> Self {
        self.names.extend(names);
        self
    }

    /// Invalidates all cached values of one owner on every node.
    pub(super) fn invalidate_group(mut self, group: Group) -> Self {
        self.group = Some(group);
        self
    }

    /// Publishes hints on these topics.
    pub(super) fn publish(mut self, topics: impl IntoIterator<Item = Topic>) -> Self {
        self.topics.extend(topics);
        self
    }

    /// Notifies the followers of a user whose public data changed.
    pub(super) fn notify_followers(mut self, id: UserId) -> Self {
        self.changed_user = Some(id);
        self
    }

    /// Sends a mail. If the outcome of the commit is unknown, sends it only if the audit entry exists.
    pub(super) fn mail(mut self, email: EmailMessage, entry: Uuid) -> Self {
        self.email = Some((email, entry));
        self
    }

    /// Commits a transaction and runs the steps, even if the response to the commit is lost.
    pub(super) async fn commit(self, backend: &Arc<Backend>, tx: Transaction) -> Result<(), Error> {
        let committed = tx.commit().await;
        self.finish(backend, committed.map_err(Error::from)).await
    }

    /// Runs the steps after work that was committed, or that failed and may have been committed.
    pub(super) async fn finish<T>(mut self, backend: &Arc<Backend>, done: Result<T, Error>) -> Result<T, Error> {
        let email = self.email.take();
        self.run(backend).await;
        if done.is_ok() {
            if let Some((email, _)) = email {
                backend.outbox.send(ready(Some(email)));
            }
            return done;
        }
        if let Some((email, entry)) = email {
            let later = Arc::clone(backend);
            backend.outbox.send(async move { is_committed(&later, entry).await.then_some(email) });
        }
        self.retry(backend);
        done
    }

    async fn run(&self, backend: &Arc<Backend>) {
        // Publishes first, because listeners read the database and not the cache.
        backend.bus.publish_all(self.topics.iter().copied());
        let names = async {
            if !self.names.is_empty() {
                backend.cache.invalidate(&self.names).await.wait_for_all().await;
            }
        };
        let group = async {
            if let Some(group) = self.group {
                backend.cache.invalidate_group(group).await.wait_for_all().await;
            }
        };
        join(names, group).await;
        if let Some(id) = self.changed_user {
            user_changes::publish_change(backend, id).await;
        }
    }

    /// Repeats the steps once the database can no longer be executing the commit.
    fn retry(self, backend: &Arc<Backend>) {
        let Ok(permit) = Arc::clone(&backend.uncertain_commits).try_acquire_owned() else { return };
        let backend = Arc::clone(backend);
        spawn(async move {
            for pause in retry_delays(&backend) {
                sleep(pause).await;
                self.run(&backend).await;
            }
            drop(permit);
        });
    }
}

/// Returns whether a transaction of unknown outcome was committed. Its audit entry proves that.
pub(super) async fn is_committed(backend: &Backend, entry: Uuid) -> bool {
    for pause in retry_delays(backend) {
        sleep(pause).await;
        let found = store::audit_logs::find(backend.store.db(), AuditLogId(entry)).await;
        if matches!(found, Ok(Some(_))) {
            return true;
        }
    }
    false
}

fn retry_delays(backend: &Backend) -> [Duration; 2] {
    [USUALLY_OVER, Duration::from_secs(backend.config.database.statement_timeout_seconds)]
}
