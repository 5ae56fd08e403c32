//! Sends that arrive together are written together: a commit, and most of what a statement costs, is then shared.
//!
//! A sender who finds a turn free writes at once, alone. Those who come while all turns are taken wait, and whoever
//! finishes hands the turn to the first of them, who writes for as many as wait behind it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::{Answer, Delivery};
use crate::store::Error;

/// How many are written together at most.
const ROUND_MAX: usize = 16;

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
        let own = Arc::clone(&delivery);
        {
            let mut state = self.state();
            if state.taken < self.turns {
                state.taken += 1;
                return Ok(Turn::Ours(Round { own, lead: Lead(Arc::clone(self)) }));
            }
            state.waiting.push_back(Waiting { delivery, tell });
        }
        let heard = match timeout(self.patience, &mut told).await {
            Ok(heard) => heard,
            Err(_) if self.withdraw(&own) => return Err(unavailable("other sends take too long")),
            // It is being written.
            Err(_) => told.await,
        };
        match heard {
            Ok(Told::Answer(answer)) => Ok(Turn::Over(answer)),
            Ok(Told::Lead(lead)) => Ok(Turn::Ours(Round { own, lead })),
            Err(_) => Err(unavailable("a send was given up")),
        }
    }

    /// Whether a delivery waited still, and now does not.
    fn withdraw(&self, delivery: &Arc<Delivery>) -> bool {
        let mut state = self.state();
        let before = state.waiting.len();
        state.waiting.retain(|waiting| !Arc::ptr_eq(&waiting.delivery, delivery));
        state.waiting.len() < before
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let others_deliveries = others.iter().map(|waiting| Arc::clone(&waiting.delivery));
        let mut answers = write([self.own].into_iter().chain(others_deliveries).collect()).await.into_iter();
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
