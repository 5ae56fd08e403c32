//! Deliveries: writes a message together with its mailbox events and inbox entries.
//!
//! A delivery locks the mailboxes of both members of each message, in the order of user ids. It holds the locks from
//! its first write to its commit. All other rows are written under these locks, so deliveries cannot deadlock.
//!
//! The sender's mailbox also counts the bytes that the sender stores and sends. Only the sender is charged: both members
//! share one row of ciphertext.

mod delivery;
mod group_commit;
mod postgres;
mod sqlite;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DbBackend};
use tokio::time::sleep;

pub use self::delivery::Delivery;
pub(in crate::store) use self::group_commit::Queue;
use crate::config::Quotas;
use crate::domain::{Conversation, Message};
use crate::store::send::delivery::{Answer, Outcome};
use crate::store::{Error, Store, Unique, send::group_commit::Turn};

/// Writes a message, its events in both mailboxes and the members' inbox entries.
///
/// Returns `None` and writes nothing for an inactive recipient, an ended session, or a used client message id. Fails
/// with [`Error::QuotaExceeded`] and writes nothing if the sender may not store or send as many bytes.
pub async fn deliver(
    store: &Store,
    quotas: &Quotas,
    delivery: &Arc<Delivery>,
) -> Result<Option<(Message, Conversation)>, Error> {
    let (began, queue) = (Instant::now(), &store.deliveries);
    let answer = loop {
        let outcome = match queue.enter(Arc::clone(delivery)).await? {
            Turn::Over(outcome) => outcome,
            Turn::Ours(round) => round.run(|deliveries| write_together(store, quotas, deliveries)).await,
        };
        match outcome {
            Outcome::Settled(answer) => break answer,
            // Most mailboxes are locked only briefly. A single delivery would meanwhile lock mailboxes that the next
            // round needs.
            Outcome::Retry if began.elapsed() < RETRY_WITHIN => {}
            Outcome::Retry | Outcome::Single => match queue.try_single() {
                Some(_turn) => break write_single(store, quotas, delivery).await,
                // Others wait for a mailbox, perhaps for a different one.
                None if began.elapsed() < queue.patience() => sleep(RETRY_WITHIN).await,
                None => break Err(group_commit::unavailable("timed out waiting for a mailbox")),
            },
        }
    };
    Ok(answer?.map(|placed| placed.into_message(delivery)))
}

/// Time in which a message that could not be written is retried in the next rounds.
const RETRY_WITHIN: Duration = Duration::from_millis(25);

/// Writes all deliveries in one transaction, in their order.
async fn write_together(store: &Store, quotas: &Quotas, deliveries: Vec<Arc<Delivery>>) -> Vec<Outcome> {
    let written = match store.db().get_database_backend() {
        DbBackend::Postgres => postgres::write_free(store.db(), quotas, &deliveries).await.map(|rows| {
            let row = |delivery: &Arc<Delivery>| rows.iter().find(|row| row.is_of(delivery));
            let outcome = |delivery| match row(delivery).map(postgres::Row::answer) {
                Some(None) if deliveries.len() > 1 => Outcome::Retry,
                Some(None) => Outcome::Single,
                answer => Outcome::Settled(answer.flatten().unwrap_or(Ok(None))),
            };
            deliveries.iter().map(outcome).collect()
        }),
        _ => sqlite::write(store, quotas, &deliveries)
            .await
            .map(|answers| answers.into_iter().map(Outcome::Settled).collect()),
    };
    written.unwrap_or_else(|error| {
        deliveries
            .iter()
            .map(|_| match &error {
                Error::Unavailable(reason) => Outcome::Settled(Err(Error::Unavailable(reason.clone()))),
                _ => Outcome::Single,
            })
            .collect()
    })
}

async fn write_single(store: &Store, quotas: &Quotas, delivery: &Arc<Delivery>) -> Answer {
    let answer = match store.db().get_database_backend() {
        DbBackend::Postgres => {
            postgres::write(store.db(), quotas, delivery).await.map(|rows| rows.first().and_then(postgres::Row::answer))
        }
        _ => {
            sqlite::write(store, quotas, std::slice::from_ref(delivery)).await.map(|answers| answers.into_iter().next())
        }
    };
    match answer.and_then(|answer| answer.unwrap_or(Ok(None))) {
        // Two requests with one client message id passed the check together, and the other committed first.
        Err(Error::Taken(Unique::ClientMessageId)) => Ok(None),
        answer => answer,
    }
}
