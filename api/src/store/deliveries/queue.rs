//! Sends that arrive together are written together: a commit, and most of what a statement costs, is then shared.
//!
//! A sender who finds nobody writing writes at once, alone. Those who come meanwhile wait, and whoever finishes hands the
//! turn to the first of them, who writes for as many as wait behind it. More turns are taken only when more wait than one
//! round holds, or for too long: a round may itself wait for a mailbox that somebody else holds.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::{Answer, Delivery};
use crate::store::Error;

/// How many are written together at most.
const ROUND_MAX: usize = 32;
/// How long a sender waits for the round under way before it begins another.
const ROUND_SLOW: Duration = Duration::from_millis(25);

/// Who waits, and how many write.
pub(in crate::store) struct Queue {
    state: Mutex<State>,
    turns: usize,
    patience: Duration,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    taken: usize,
}

struct Waiting {
    delivery: Arc<Delivery>,
    tell: oneshot::Sender<Told>,
}

enum Told {
    Answer(Answer),
    Lead(Lead),
}

/// A turn that is taken. Whoever drops it hands it on.
struct Lead(Arc<Queue>);

/// What has become of a delivery that entered.
pub(super) enum Turn {
    /// It has been written with others, or could not be.
    Over(Answer),
    /// It is for the caller to write, with others.
    Ours(Round),
}

/// One's own delivery, and the turn to write it.
pub(super) struct Round {
    own: Arc<Delivery>,
    lead: Lead,
}

impl Queue {
    /// With so many turns; nobody waits for one longer than patience lasts.
    pub(in crate::store) fn new(turns: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), turns, patience })
    }

    /// Waits for a turn, or for somebody else's to write this as well.
    pub(super) async fn enter(self: &Arc<Self>, delivery: Arc<Delivery>) -> Result<Turn, Error> {
        let (tell, mut told) = oneshot::channel();
        if let Some(round) = self.begin_or_wait(&delivery, tell) {
            return Ok(Turn::Ours(round));
        }
        let mut heard = timeout(ROUND_SLOW, &mut told).await;
        if heard.is_err() {
            if let Some(round) = self.begin_another(&delivery) {
                return Ok(Turn::Ours(round));
            }
            heard = timeout(self.patience, &mut told).await;
        }
        let heard = match heard {
            Ok(heard) => heard,
            Err(_) if self.state().withdraw(&delivery) => return Err(unavailable("other sends take too long")),
            // It is being written.
            Err(_) => told.await,
        };
        match heard {
            Ok(Told::Answer(answer)) => Ok(Turn::Over(answer)),
            Ok(Told::Lead(lead)) => Ok(Turn::Ours(Round { own: delivery, lead })),
            Err(_) => Err(unavailable("a send was given up")),
        }
    }

    fn begin_or_wait(self: &Arc<Self>, delivery: &Arc<Delivery>, tell: oneshot::Sender<Told>) -> Option<Round> {
        let mut state = self.state();
        if state.taken == 0 || state.waiting.len() >= ROUND_MAX && state.taken < self.turns {
            return Some(self.begin(&mut state, delivery));
        }
        state.waiting.push_back(Waiting { delivery: Arc::clone(delivery), tell });
        None
    }

    fn begin_another(self: &Arc<Self>, delivery: &Arc<Delivery>) -> Option<Round> {
        let mut state = self.state();
        (state.taken < self.turns && state.withdraw(delivery)).then(|| self.begin(&mut state, delivery))
    }

    fn begin(self: &Arc<Self>, state: &mut State, delivery: &Arc<Delivery>) -> Round {
        state.taken += 1;
        Round { own: Arc::clone(delivery), lead: Lead(Arc::clone(self)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out a delivery, if it waits still.
    fn withdraw(&mut self, delivery: &Arc<Delivery>) -> bool {
        let place = self.waiting.iter().position(|waiting| Arc::ptr_eq(&waiting.delivery, delivery));
        place.is_some_and(|place| self.waiting.remove(place).is_some())
    }
}

impl Round {
    /// Has this written, and as many as wait; returns what is said of one's own, and tells the others theirs.
    pub(super) async fn run<F: Future<Output = Vec<Answer>>>(
        self,
        write: impl FnOnce(Vec<Arc<Delivery>>) -> F,
    ) -> Answer {
        let others: Vec<_> = {
            let mut state = self.lead.0.state();
            let count = state.waiting.len().min(ROUND_MAX - 1);
            state.waiting.drain(..count).collect()
        };
        let theirs = others.iter().map(|waiting| Arc::clone(&waiting.delivery));
        let mut answers = write([self.own].into_iter().chain(theirs).collect()).await.into_iter();
        let own = answers.next();
        for (waiting, answer) in others.into_iter().zip(answers) {
            // Whoever has left in the meantime asks again, and is told that it was written.
            waiting.tell.send(Told::Answer(answer)).ok();
        }
        own.unwrap_or_else(|| Err(unavailable("a send was given up")))
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.state();
            let next = state.waiting.pop_front();
            state.taken -= usize::from(next.is_none());
            next
        };
        // From one who has left the turn comes back, and is dropped here to find the next.
        let _ = next.map(|next| next.tell.send(Told::Lead(Self(Arc::clone(&self.0)))));
    }
}

fn unavailable(reason: &str) -> Error {
    Error::Unavailable(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Answer, Queue, Turn};
    use crate::{
        domain::{ConversationId, MessageId, Source, UserId},
        store::{Error, deliveries::Delivery},
    };

    fn delivery(id: &str) -> std::sync::Arc<Delivery> {
        let source = Source::default();
        let delivery = Delivery {
            id: MessageId(source.uuid()),
            new_conversation_id: ConversationId(source.uuid()),
            sender_id: UserId(source.uuid()),
            recipient_id: UserId(source.uuid()),
            client_message_id: id.to_owned(),
            encrypted_content: Vec::new(),
            iv: Vec::new(),
            created_at: source.now(),
        };
        delivery.into()
    }

    /// Says of each that nothing has come of it, and by whom it was asked for.
    async fn nothing(deliveries: Vec<std::sync::Arc<Delivery>>) -> Vec<Answer> {
        let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.client_message_id.as_str()).collect();
        let ids = ids.join(" ");
        deliveries.iter().map(|_| Err(Error::Unavailable(ids.clone()))).collect()
    }

    fn reason(answer: Answer) -> String {
        answer.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[tokio::test]
    async fn who_waits_is_written_with_the_next_round_and_nobody_waits_for_a_stuck_one() {
        let queue = Queue::new(2, Duration::from_millis(50));
        let Ok(Turn::Ours(stuck)) = queue.enter(delivery("first")).await else { panic!("nobody writes yet") };
        let Ok(Turn::Ours(second)) = queue.enter(delivery("second")).await else { panic!("the first one is stuck") };
        // Both turns are taken for longer than anybody waits.
        let refused = queue.enter(delivery("third")).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))));

        let waiting: Vec<_> = ["fourth", "fifth"]
            .into_iter()
            .map(|id| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    match queue.enter(delivery(id)).await {
                        Ok(Turn::Over(answer)) => answer,
                        Ok(Turn::Ours(round)) => round.run(nothing).await,
                        Err(error) => Err(error),
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
