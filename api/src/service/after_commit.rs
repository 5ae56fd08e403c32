//! Steps after a commit: nodes drop cached values, listeners read again, and a mail goes out.
//!
//! The answer to a `COMMIT` can be lost, and then nobody knows whether there was one. All of this follows an error as
//! well: done for nothing it costs a look, and left out it would leave others with the past until they look by themselves.

use std::{future::ready, sync::Arc, time::Duration};

use futures_util::future::join;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    cache::{Group, Name},
    domain::{AuditLogId, UserId, event::Topic},
    mail::EmailMessage,
    service::{Backend, Error, context::streams::spawn, user_changes},
    store::{self, Transaction},
};

/// Commits of unknown outcome that are followed up at once. Beyond them listeners find the news by themselves.
pub(super) const DOUBTS_MAX: usize = 256;
/// Time after an error within which its commit is usually over. The statement's time-out bounds the others.
const USUALLY_OVER: Duration = Duration::from_secs(1);

/// Steps that follow the commit of a transaction. Running them twice changes nothing.
#[derive(Default)]
pub(super) struct AfterCommit {
    names: Vec<Name>,
    group: Option<Group>,
    topics: Vec<Topic>,
    changed_user: Option<UserId>,
    /// A letter, and the entry of the audit trail that the same transaction wrote.
    email: Option<(EmailMessage, Uuid)>,
}

impl AfterCommit {
    /// Has every node forget these values.
    pub(super) fn invalidate(mut self, names: impl IntoIterator<Item = Name>) -> Self {
        self.names.extend(names);
        self
    }

    /// Has every node forget all values of one owner.
    pub(super) fn invalidate_group(mut self, group: Group) -> Self {
        self.group = Some(group);
        self
    }

    /// Tells those who listen to these topics to look.
    pub(super) fn publish(mut self, topics: impl IntoIterator<Item = Topic>) -> Self {
        self.topics.extend(topics);
        self
    }

    /// Tells those who may follow a user that others see something else of it.
    pub(super) fn tell_followers_of(mut self, id: UserId) -> Self {
        self.changed_user = Some(id);
        self
    }

    /// Mails a letter. Where the outcome is unknown, the entry of the audit trail decides.
    pub(super) fn mail(mut self, email: EmailMessage, entry: Uuid) -> Self {
        self.email = Some((email, entry));
        self
    }

    /// Commits a transaction and does what follows, whether or not the answer arrives.
    pub(super) async fn commit(self, backend: &Arc<Backend>, tx: Transaction) -> Result<(), Error> {
        let committed = tx.commit().await;
        self.follow(backend, committed.map_err(Error::from)).await
    }

    /// Does what follows work that has been committed, or that failed and may have been.
    pub(super) async fn follow<T>(mut self, backend: &Arc<Backend>, done: Result<T, Error>) -> Result<T, Error> {
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
            backend.outbox.send(async move { has_happened(&later, entry).await.then_some(email) });
        }
        self.run_again(backend);
        done
    }

    async fn run(&self, backend: &Arc<Backend>) {
        // Whoever hears of an ended session asks the database, and need not wait for the slowest node.
        backend.bus.publish_all(self.topics.iter().copied());
        let names = async {
            if !self.names.is_empty() {
                backend.cache.invalidate(&self.names).await.confirmed_by_all().await;
            }
        };
        let group = async {
            if let Some(group) = self.group {
                backend.cache.invalidate_group(group).await.confirmed_by_all().await;
            }
        };
        join(names, group).await;
        if let Some(id) = self.changed_user {
            user_changes::announce(backend, id).await;
        }
    }

    /// Does it again once the database can no longer be carrying out the commit.
    fn run_again(self, backend: &Arc<Backend>) {
        let Ok(place) = Arc::clone(&backend.doubts).try_acquire_owned() else { return };
        let backend = Arc::clone(backend);
        spawn(async move {
            for pause in pauses(&backend) {
                sleep(pause).await;
                self.run(&backend).await;
            }
            drop(place);
        });
    }
}

/// Whether a transaction of unknown outcome was committed: then the entry that it wrote to the audit trail is there.
pub(super) async fn has_happened(backend: &Backend, entry: Uuid) -> bool {
    for pause in pauses(backend) {
        sleep(pause).await;
        let found = store::audit_logs::find(backend.store.db(), AuditLogId(entry)).await;
        if matches!(found, Ok(Some(_))) {
            return true;
        }
    }
    false
}

fn pauses(backend: &Backend) -> [Duration; 2] {
    [USUALLY_OVER, Duration::from_secs(backend.config.database.statement_timeout_seconds)]
}
