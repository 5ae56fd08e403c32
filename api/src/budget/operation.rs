//! Memory of one operation: the rows that it loads and the answer that it writes.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::budget::{Budget, Exhausted, FREE_BYTES, Holder, Reservation};

/// Bytes by which a reservation grows, so that a long answer rarely locks the budget.
const STEP: usize = 64 * 1024;

/// An answer exists twice for a moment: in the pieces that objects wrote, and in one text.
const COPIES: usize = 2;

/// Bytes that an operation may load for each byte that it may answer.
const LOADED_PER_ANSWERED: usize = 2;

/// Reason why an operation got no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// The answer is over the limit, in bytes.
    Answer(usize),
    /// The budget is exhausted.
    Budget(Exhausted),
}

/// Behaviour of an operation when the budget is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The operation fails.
    Refuse,
    /// The operation continues, and its memory counts. Mutations are bounded before they run, and streams wait before
    /// they produce the next event.
    Count,
}

/// Memory of one operation, or of one event of a subscription.
#[derive(Debug)]
pub struct OperationMemory {
    budget: Arc<Budget>,
    holder: Holder,
    policy: Policy,
    answer_limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    loaded: usize,
    answered: usize,
    reservation: Option<Reservation>,
    exceeded: Option<Exceeded>,
}

impl OperationMemory {
    /// Creates the memory of an operation of `holder`, whose answer has at most `answer_limit` bytes.
    #[must_use]
    pub fn new(budget: &Arc<Budget>, holder: Holder, policy: Policy, answer_limit: usize) -> Self {
        Self { budget: Arc::clone(budget), holder, policy, answer_limit, state: Mutex::default() }
    }

    /// Counts bytes that were loaded for the answer.
    pub fn load(&self, bytes: usize) -> Result<(), Exceeded> {
        self.change(|state| state.loaded += bytes)
    }

    /// Counts bytes of the answer. A writer calls it before it writes many.
    pub fn write(&self, bytes: usize) -> Result<(), Exceeded> {
        self.change(|state| state.answered += bytes)
    }

    /// Subtracts bytes of the answer that were not written.
    pub fn unwrite(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.answered = state.answered.saturating_sub(bytes);
    }

    /// Returns why the operation got no more memory, if it needed too much.
    #[must_use]
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.state.lock().exceeded
    }

    /// Ends the operation, and returns the reservation of a finished answer. Small answers have none.
    #[must_use]
    pub fn finish(&self, answer_bytes: usize) -> Option<Reservation> {
        let state = std::mem::take(&mut *self.state.lock());
        let mut reservation = state.reservation.filter(|_| answer_bytes > FREE_BYTES)?;
        reservation.shrink_to(answer_bytes);
        Some(reservation)
    }

    fn change(&self, add: impl FnOnce(&mut State)) -> Result<(), Exceeded> {
        let mut state = self.state.lock();
        add(&mut state);
        let result = self.settle(&mut state);
        if let Err(exceeded) = result {
            state.exceeded.get_or_insert(exceeded);
        }
        result
    }

    fn settle(&self, state: &mut State) -> Result<(), Exceeded> {
        if state.answered > self.answer_limit || state.loaded > self.answer_limit * LOADED_PER_ANSWERED {
            return Err(Exceeded::Answer(self.answer_limit));
        }
        let needed = state.loaded + state.answered * COPIES;
        let reserved = state.reservation.as_ref().map_or(0, Reservation::amount);
        if needed <= FREE_BYTES.max(reserved) {
            return Ok(());
        }
        let missing = (needed - reserved).next_multiple_of(STEP.min(needed.next_power_of_two()));
        let reservation = state.reservation.get_or_insert_with(|| self.budget.nothing(self.holder));
        match self.policy {
            Policy::Refuse => reservation.grow(missing).map_err(Exceeded::Budget),
            Policy::Count => {
                reservation.grow_required(missing);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{budget::Limits, domain::UserId};

    const ALICE: Holder = Holder::User(UserId(Uuid::from_u128(1)));

    fn memory(policy: Policy) -> (Arc<Budget>, OperationMemory) {
        let budget = Budget::new(Limits { node: 1 << 20, network: 0, user: 300 << 10, small: 1 << 20 });
        let memory = OperationMemory::new(&budget, ALICE, policy, 200 << 10);
        (budget, memory)
    }

    #[test]
    fn a_small_answer_reserves_nothing() {
        let (budget, memory) = memory(Policy::Refuse);
        memory.write(FREE_BYTES / COPIES).unwrap();
        assert_eq!(budget.used(), 0);
        assert!(memory.finish(FREE_BYTES / COPIES).is_none());
    }

    #[test]
    fn a_finished_answer_keeps_its_own_bytes() {
        let (budget, memory) = memory(Policy::Refuse);
        memory.load(50 << 10).unwrap();
        memory.write(100 << 10).unwrap();
        assert!(budget.used() >= 250 << 10);
        let reservation = memory.finish(90 << 10).unwrap();
        assert_eq!((budget.used(), reservation.amount()), (90 << 10, 90 << 10));
        drop(reservation);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn an_answer_over_the_limit_is_refused_under_both_policies() {
        for policy in [Policy::Refuse, Policy::Count] {
            let (_, memory) = memory(policy);
            assert_eq!(memory.write((200 << 10) + 1), Err(Exceeded::Answer(200 << 10)));
            assert_eq!(memory.exceeded(), Some(Exceeded::Answer(200 << 10)));
        }
    }

    #[test]
    fn an_exhausted_budget_refuses_queries_and_counts_the_rest() {
        let (_, refused) = memory(Policy::Refuse);
        assert_eq!(refused.write(160 << 10), Err(Exceeded::Budget(Exhausted::Holder)));
        let (budget, counted) = memory(Policy::Count);
        counted.write(160 << 10).unwrap();
        assert!(budget.used() >= 320 << 10);
        assert_eq!(counted.exceeded(), None);
    }
}
