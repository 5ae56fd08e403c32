//! Group commit: sends that arrive together share one statement and one commit.
//!
//! A sender that finds no write in progress writes at once, alone. Senders that arrive meanwhile wait in a queue. A
//! finished turn passes to the first in the queue, which also writes for those after it. More turns start only if more
//! senders wait than one round holds, or if one waits for too long.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::timeout;

use crate::store::Error;
use crate::store::send::delivery::{Delivery, Outcome};

/// Maximum number of messages in one round.
const ROUND_MAX: usize = 32;
/// Time that a sender waits for the current round before it starts another.
const ROUND_SLOW: Duration = Duration::from_millis(25);

/// The queue of deliveries, and the number of turns taken.
pub(in crate::store) struct Queue {
    state: Mutex<State>,
    turns: usize,
    /// Permits for single deliveries, which wait for a mailbox's lock and occupy a connection meanwhile.
    singles: Semaphore,
    patience: Duration,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    taken: usize,
}

struct Waiting {
    delivery: Arc<Delivery>,
    reply: oneshot::Sender<Reply>,
}

enum Reply {
    Outcome(Outcome),
    Lead(TurnGuard),
}

/// A turn. Dropping it passes the turn to the next in the queue.
struct TurnGuard(Arc<Queue>);

/// The result of entering the queue.
pub(super) enum Turn {
    /// Another sender's round has handled the delivery.
    Over(Outcome),
    /// The caller has to write this delivery, together with others.
    Ours(Round),
}

/// The caller's own delivery, and the turn to write it.
pub(super) struct Round {
    own: Arc<Delivery>,
    lead: TurnGuard,
}

impl Queue {
    /// Creates a queue with a number of turns, and as many permits for single deliveries. Waits last little longer than
    /// `patience`.
    pub(in crate::store) fn new(turns: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), turns, singles: Semaphore::new(turns), patience })
    }

    /// Waits for a turn, or until another sender's round has written this delivery.
    pub(super) async fn enter(self: &Arc<Self>, delivery: Arc<Delivery>) -> Result<Turn, Error> {
        let (reply, mut replied) = oneshot::channel();
        self.state.lock().waiting.push_back(Waiting { delivery: Arc::clone(&delivery), reply });
        self.start_turn_if(|state| state.taken == 0 || state.waiting.len() > ROUND_MAX);
        let mut received = timeout(ROUND_SLOW, &mut replied).await;
        if received.is_err() {
            self.start_turn_if(|state| state.position(&delivery).is_some());
            received = timeout(self.patience, &mut replied).await;
        }
        let received = match received {
            Ok(received) => received,
            Err(_) if self.state.lock().withdraw(&delivery) => {
                return Err(unavailable("timed out waiting for other sends"));
            }
            // A round is writing this delivery.
            Err(_) => replied.await,
        };
        match received {
            Ok(Reply::Outcome(outcome)) => Ok(Turn::Over(outcome)),
            Ok(Reply::Lead(lead)) => Ok(Turn::Ours(Round { own: delivery, lead })),
            Err(_) => Err(unavailable("a send was dropped")),
        }
    }

    /// Returns a permit to write a single delivery, if one is free. Deliveries that wait for one mailbox must not
    /// occupy every connection.
    pub(super) fn try_single(&self) -> Option<SemaphorePermit<'_>> {
        self.singles.try_acquire().ok()
    }

    /// Returns the time limit of a wait in this queue.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Starts one more turn for the first in the queue, if a turn is free and the condition holds.
    fn start_turn_if(self: &Arc<Self>, should: impl FnOnce(&State) -> bool) {
        let mut state = self.state.lock();
        if state.taken < self.turns && should(&state) {
            state.taken += 1;
            drop(state);
            drop(TurnGuard(Arc::clone(self)));
        }
    }
}

impl State {
    /// Returns the position of a delivery in the queue.
    fn position(&self, delivery: &Arc<Delivery>) -> Option<usize> {
        self.waiting.iter().position(|waiting| Arc::ptr_eq(&waiting.delivery, delivery))
    }

    /// Removes a delivery from the queue. Returns whether it was there.
    fn withdraw(&mut self, delivery: &Arc<Delivery>) -> bool {
        self.position(delivery).is_some_and(|place| self.waiting.remove(place).is_some())
    }
}

impl Round {
    /// Writes this delivery together with those in the queue. Returns its outcome and sends the others theirs.
    pub(super) async fn run<F: Future<Output = Vec<Outcome>>>(
        self,
        write: impl FnOnce(Vec<Arc<Delivery>>) -> F,
    ) -> Outcome {
        let others: Vec<_> = {
            let mut state = self.lead.0.state.lock();
            let count = state.waiting.len().min(ROUND_MAX - 1);
            state.waiting.drain(..count).collect()
        };
        let theirs = others.iter().map(|waiting| Arc::clone(&waiting.delivery));
        let mut outcomes = write([self.own].into_iter().chain(theirs).collect()).await.into_iter();
        let own = outcomes.next();
        for (waiting, outcome) in others.into_iter().zip(outcomes) {
            // A sender that has left meanwhile retries, and then learns that its message was written.
            waiting.reply.send(Reply::Outcome(outcome)).ok();
        }
        own.unwrap_or(Outcome::Single)
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.state.lock();
            let next = state.waiting.pop_front();
            state.taken -= usize::from(next.is_none());
            next
        };
        // If the receiver has left, `send` returns the turn. Dropping it passes the turn to the next in the queue.
        let _ = next.map(|next| next.reply.send(Reply::Lead(Self(Arc::clone(&self.0)))));
    }
}

pub(super) fn unavailable(reason: &str) -> Error {
    Error::Unavailable(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{Outcome, Queue, Turn};
    use crate::domain::{ConversationId, MessageId, SessionId, Source, UserId};
    use crate::store::Error;
    use crate::store::send::Delivery;

    fn delivery(id: &str) -> Arc<Delivery> {
        let source = Source::default();
        let delivery = Delivery {
            id: MessageId(source.uuid()),
            new_conversation_id: ConversationId(source.uuid()),
            sender_id: UserId(source.uuid()),
            session_id: SessionId(source.uuid()),
            recipient_id: UserId(source.uuid()),
            client_message_id: id.to_owned(),
            encrypted_content: Vec::new(),
            iv: Vec::new(),
            created_at: source.now(),
        };
        delivery.into()
    }

    /// Writes nothing. Gives each delivery an error that lists all deliveries of the round.
    async fn nothing(deliveries: Vec<Arc<Delivery>>) -> Vec<Outcome> {
        let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.client_message_id.as_str()).collect();
        let ids = ids.join(" ");
        deliveries.iter().map(|_| Outcome::Settled(Err(Error::Unavailable(ids.clone())))).collect()
    }

    fn reason(outcome: Outcome) -> String {
        let Outcome::Settled(Err(error)) = outcome else { panic!("nothing is written here") };
        error.to_string()
    }

    #[tokio::test]
    async fn who_waits_is_written_with_the_next_round_and_nobody_waits_for_a_stuck_one() {
        let queue = Queue::new(2, Duration::from_millis(50));
        let Ok(Turn::Ours(stuck)) = queue.enter(delivery("first")).await else { panic!("nobody writes yet") };
        let Ok(Turn::Ours(second)) = queue.enter(delivery("second")).await else { panic!("the first one is stuck") };
        // Both turns stay taken for longer than a sender waits.
        let refused = queue.enter(delivery("third")).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))));

        let waiting: Vec<_> = ["fourth", "fifth"]
            .into_iter()
            .map(|id| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    match queue.enter(delivery(id)).await {
                        Ok(Turn::Over(outcome)) => outcome,
                        Ok(Turn::Ours(round)) => round.run(nothing).await,
                        Err(error) => Outcome::Settled(Err(error)),
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(reason(second.run(nothing).await).ends_with("second fourth fifth"));
        for waiting in waiting {
            assert!(reason(waiting.await.expect("no panic")).ends_with("second fourth fifth"));
        }
        drop(stuck);
        let Ok(Turn::Ours(_)) = queue.enter(delivery("sixth")).await else { panic!("nobody writes any more") };
    }

    #[tokio::test]
    async fn a_turn_is_handed_on_past_those_who_have_left() {
        let queue = Queue::new(1, Duration::from_secs(5));
        let Ok(Turn::Ours(first)) = queue.enter(delivery("first")).await else { panic!("nobody writes yet") };
        let (one, other) = (queue.clone(), queue.clone());
        let leaves = tokio::spawn(async move { one.enter(delivery("leaves")).await.is_ok() });
        tokio::task::yield_now().await;
        let stays = tokio::spawn(async move { matches!(other.enter(delivery("stays")).await, Ok(Turn::Ours(_))) });
        tokio::task::yield_now().await;
        leaves.abort();
        tokio::task::yield_now().await;
        drop(first);
        assert!(stays.await.expect("no panic"));
        let Ok(Turn::Ours(_)) = queue.enter(delivery("last")).await else { panic!("nobody writes any more") };
    }
}
