//! Model of the protocol in docs/invalidation.md, explored in every order of its steps and faults.
//!
//! A frozen node takes no step while time passes, and a late message stays in its queue. Neither needs a step.

mod state;
mod steps;

use std::collections::{HashSet, VecDeque};
use std::iter::successors;

use self::state::{Stage, State};
use self::steps::{Step, Steps};

/// Rules of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// A change publishes its invalidation after its commit.
    CommitFirst,
    /// The changer drops its own entry after Redis has dropped the value.
    DropOwnEntryLast,
    /// A failed scan is repeated before the invalidation is published.
    RetryScan,
    /// The step that deletes and publishes also reads which nodes hold a lease.
    ListHoldersWithDeletion,
    /// A list of leases is complete only if it is older than a lease.
    DistrustNewList,
    /// A change returns only after every listed node has confirmed.
    WaitForConfirmations,
    /// A confirmation counts for the change that it names.
    MatchConfirmations,
    /// A change waits for a full lease if a confirmation is missing.
    WaitOneLease,
    /// A node drops the entry before it confirms.
    DropBeforeConfirming,
    /// A node receives a renewal after the messages that were published before it.
    RenewInOrder,
    /// A lease is counted from its request, not from the reply.
    CountLeaseFromRequest,
    /// Redis lists a lease at least as long as its holder uses it.
    ListLeaseToItsEnd,
    /// A new connection begins with an empty local cache.
    ResetOnNewConnection,
    /// A value read before a deletion does not go into the local cache after that deletion.
    DropReadsOfBefore,
    /// A reservation is void if Redis has not confirmed it before the read.
    ReserveBeforeReading,
    /// A value is stored in Redis only over its reader's own mark.
    ReplaceOwnMarkOnly,
}

/// Bounds of an exploration.
#[derive(Clone, Copy)]
struct Bounds {
    /// Nodes that read.
    readers: usize,
    /// The node that changes the value: a reader, or an additional node.
    changer: usize,
    changes: u8,
    /// The number of states after which the exploration ends.
    states: usize,
    broken: Option<Rule>,
}

/// Bounds with one reader and one change by another node, which have few enough states to explore all.
const BOUNDS: Bounds = Bounds { readers: 1, changer: 1, changes: 1, states: usize::MAX, broken: None };

const RULES: [Rule; 16] = [
    Rule::CommitFirst,
    Rule::DropOwnEntryLast,
    Rule::RetryScan,
    Rule::ListHoldersWithDeletion,
    Rule::DistrustNewList,
    Rule::WaitForConfirmations,
    Rule::MatchConfirmations,
    Rule::WaitOneLease,
    Rule::DropBeforeConfirming,
    Rule::RenewInOrder,
    Rule::CountLeaseFromRequest,
    Rule::ListLeaseToItsEnd,
    Rule::ResetOnNewConnection,
    Rule::DropReadsOfBefore,
    Rule::ReserveBeforeReading,
    Rule::ReplaceOwnMarkOnly,
];

impl Bounds {
    fn follow(&self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }
}

/// Explores all steps from all states, breadth first. Returns the number of states, or the shortest path to a state
/// that breaks the invariant.
fn explore(bounds: Bounds, first: State) -> Result<usize, Vec<Step>> {
    let (mut ways, mut known) = (vec![((0, ""), 0)], HashSet::from([first.clone()]));
    let mut queue = VecDeque::from([(0, first)]);
    while let Some((from, state)) = queue.pop_front().filter(|_| known.len() < bounds.states) {
        for (step, next) in Steps::all(bounds, &state) {
            if known.contains(&next) {
                continue;
            }
            ways.push((step, from));
            if !next.holds() {
                let way = successors(ways.len().checked_sub(1), |at| Some(ways[*at].1)).take_while(|at| *at > 0);
                let mut way: Vec<_> = way.map(|at| ways[at].0).collect();
                way.reverse();
                return Err(way);
            }
            if next.is_open(&bounds) {
                queue.push_back((ways.len() - 1, next.clone()));
            }
            known.insert(next);
        }
    }
    Ok(known.len())
}

#[test]
fn no_order_of_steps_breaks_the_invariant() {
    for changer in [1, 0] {
        let bounds = Bounds { changer, ..BOUNDS };
        assert_eq!(explore(bounds, State::new(&bounds)).err(), None);
    }
}

#[test]
fn nothing_near_breaks_the_invariant_of_three_nodes() {
    for changer in [2, 0] {
        let bounds = Bounds { readers: 2, changer, states: 40_000, ..BOUNDS };
        assert_eq!(explore(bounds, State::new(&bounds)).err(), None);
    }
}

#[test]
fn nothing_near_breaks_the_invariant_of_two_changes() {
    let bounds = Bounds { changes: 2, states: 60_000, ..BOUNDS };
    assert_eq!(explore(bounds, first_told(&bounds)).err(), None);
}

#[test]
fn every_rule_is_needed() {
    for broken in RULES {
        let bounds = Bounds { broken: Some(broken), ..BOUNDS };
        let (bounds, first) = match broken {
            Rule::MatchConfirmations => (Bounds { changes: 2, ..bounds }, first_told(&bounds)),
            Rule::DropOwnEntryLast => (Bounds { changer: 0, ..bounds }, State::new(&bounds)),
            _ => (bounds, State::new(&bounds)),
        };
        assert!(explore(bounds, first).is_err(), "{broken:?}");
    }
}

/// Returns the state in which the first of several changes waits for its confirmation.
fn first_told(bounds: &Bounds) -> State {
    let mut state = State::new(bounds);
    state.commit(Stage::Tell, bounds);
    state.tell(0, bounds);
    state
}
