//! State of the model: one value in the database, in Redis and on the nodes.

use std::collections::VecDeque;

use super::{Bounds, Rule};

/// `invalidation::LEASE` in ticks: two, so that something can happen within a lease.
pub(super) const LEASE: u8 = 2;

/// State of one value, whose versions count up from 0.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The version in the database.
    pub(super) stored: u8,
    /// The latest version whose change has returned.
    pub(super) answered: u8,
    pub(super) begun: u8,
    pub(super) slot: Slot,
    /// Ticks since Redis was emptied, at most a lease. The list of leases is no older.
    pub(super) age: u8,
    pub(super) nodes: Vec<Node>,
    pub(super) changes: Vec<Change>,
}

/// The value's key in Redis.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Slot {
    Empty,
    Mark(usize),
    Value(u8),
}

#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Node {
    /// Ticks until the lease ends, on the node and (`listed`) in Redis.
    pub(super) lease: u8,
    pub(super) listed: u8,
    pub(super) cache: Option<u8>,
    pub(super) read: Option<Read>,
    /// Messages that Redis has sent and the node has not handled. `None` without a connection.
    pub(super) link: Option<VecDeque<Event>>,
    /// Whether the node has dropped its entries since it subscribed.
    pub(super) is_reset: bool,
    /// A pending renewal: ticks until its lease would end, and whether Redis has granted it.
    pub(super) renewal: Option<(u8, bool)>,
    /// Versions to confirm.
    pub(super) confirms: Vec<u8>,
}

/// Value that a read carries into the caches.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Read {
    pub(super) version: Option<u8>,
    /// Whether the value may still go into the local cache.
    pub(super) is_current: bool,
    pub(super) reservation: Reservation,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reservation {
    None,
    Late,
    Set,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Event {
    Invalidate(u8),
    Renewed,
}

/// Change between its commit and its return.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Change {
    pub(super) version: u8,
    pub(super) stage: Stage,
    /// Nodes as bits: those that held a lease, and (`confirmed`) those that have confirmed.
    pub(super) holders: u8,
    pub(super) confirmed: u8,
    /// Ticks until the list is complete, and (`left`) until all earlier leases have ended.
    pub(super) rest: u8,
    pub(super) left: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// A scan deletes the keys of a group before the invalidation is published.
    Scan,
    TellGroup,
    Tell,
    Wait,
}

impl State {
    /// Returns nodes that have a lease and the value. Later steps can remove both.
    pub(super) fn new(bounds: &Bounds) -> Self {
        let (link, node) = (Some(VecDeque::new()), Node { lease: LEASE, listed: LEASE, ..Node::default() });
        let nodes = vec![Node { cache: Some(0), link, is_reset: true, ..node }; bounds.readers];
        Self { stored: 0, answered: 0, begun: 0, slot: Slot::Empty, age: LEASE, nodes, changes: Vec::new() }
    }

    /// Whether every read that begins now finds at least the latest version whose change has returned.
    pub(super) fn holds(&self) -> bool {
        let local = self.nodes.iter().filter(|node| node.lease > 0).filter_map(|node| node.cache);
        local.chain(self.slot.version()).all(|version| version >= self.answered)
    }

    /// Whether an old version is left, or a change is still to come.
    pub(super) fn is_open(&self, bounds: &Bounds) -> bool {
        let known = self.nodes.iter().flat_map(|node| [node.cache, node.read.and_then(|read| read.version)]);
        let mut known = known.flatten().chain(self.slot.version());
        self.begun < bounds.changes || !self.changes.is_empty() || known.any(|version| version < self.stored)
    }

    /// Clears details that no longer make a difference, so that equivalent states are equal.
    pub(super) fn normalize(&mut self, bounds: &Bounds) {
        for change in self.changes.iter_mut().filter(|change| change.stage == Stage::Wait) {
            change.holders &= if change.left == 0 { 0 } else { !change.confirmed };
            change.confirmed = 0;
        }
        let is_told = self.begun == bounds.changes && self.changes.iter().all(|change| change.stage == Stage::Wait);
        self.age = if is_told { 0 } else { self.age };
        for (n, node) in self.nodes.iter_mut().enumerate() {
            node.listed = if is_told { 0 } else { node.listed };
            // A new request can do all that an expired one can.
            node.renewal = node.renewal.filter(|renewal| *renewal != (0, false));
            node.confirms.retain(|version| self.changes.iter().any(|change| change.version == *version));
            if let Some(read) = node.read.as_mut().filter(|read| read.reservation == Reservation::Set)
                && bounds.follow(Rule::ReplaceOwnMarkOnly)
                && self.slot != Slot::Mark(n)
            {
                read.reservation = Reservation::None;
            }
            let may_remember = |read: &Read| read.is_current || !bounds.follow(Rule::DropReadsOfBefore);
            node.read = node.read.filter(|read| may_remember(read) || read.reservation != Reservation::None);
            // An abandoned mark only keeps other nodes from reserving, until the mark expires.
            if self.slot == Slot::Mark(n) && node.read.is_none_or(|read| read.reservation != Reservation::Set) {
                self.slot = Slot::Empty;
            }
        }
    }

    pub(super) fn pass_time(&mut self) {
        let of_node = |node: &'_ mut Node| {
            node.lease = node.lease.saturating_sub(1);
            node.listed = node.listed.saturating_sub(1);
            node.renewal = node.renewal.map(|(left, is_given)| (left.saturating_sub(1), is_given));
        };
        self.nodes.iter_mut().for_each(of_node);
        for change in &mut self.changes {
            (change.rest, change.left) = (change.rest.saturating_sub(1), change.left.saturating_sub(1));
        }
        self.age = LEASE.min(self.age + 1);
    }

    /// Returns the nodes that Redis lists, as bits.
    pub(super) fn holders(&self) -> u8 {
        self.nodes.iter().rev().fold(0, |bits, node| bits << 1 | u8::from(node.listed > 0))
    }

    /// Drops the changer's own entry, as `RedisCache::broadcast` does.
    pub(super) fn drop_own(&mut self, bounds: &Bounds) {
        self.nodes.get_mut(bounds.changer).into_iter().for_each(Node::invalidate);
    }

    pub(super) fn commit(&mut self, stage: Stage, bounds: &Bounds) {
        self.begun += 1;
        if bounds.follow(Rule::CommitFirst) {
            self.stored = self.begun;
        }
        if !bounds.follow(Rule::DropOwnEntryLast) {
            self.drop_own(bounds);
        }
        let holders = self.holders();
        self.changes.push(Change { version: self.begun, stage, holders, confirmed: 0, rest: 0, left: 0 });
    }

    /// Models the script `INVALIDATE`, and how `Invalidations::invalidate` uses its result.
    pub(super) fn tell(&mut self, place: usize, bounds: &Bounds) {
        let (now, change) = (self.holders(), &mut self.changes[place]);
        if change.stage == Stage::Tell {
            self.slot = Slot::Empty;
        }
        if bounds.follow(Rule::ListHoldersWithDeletion) {
            change.holders = now;
        }
        // A changer that is not a reader counts as listed, since it may have renewed its lease just now.
        let is_listed =
            change.holders == 0 || bounds.changer == bounds.readers || change.holders >> bounds.changer & 1 == 1;
        let age = if bounds.follow(Rule::DistrustNewList) { self.age } else { LEASE };
        change.rest = if is_listed { LEASE - age } else { LEASE };
        change.left = if bounds.follow(Rule::WaitOneLease) { LEASE } else { LEASE - 1 };
        change.stage = Stage::Wait;
        let message = Event::Invalidate(change.version);
        for (_, node) in self.nodes.iter_mut().enumerate().filter(|(n, _)| *n != bounds.changer) {
            // Two equal messages in a row have the effect of one.
            if let Some(link) = node.link.as_mut().filter(|link| link.back() != Some(&message)) {
                link.push_back(message);
            }
        }
    }
}

impl Slot {
    pub(super) fn version(self) -> Option<u8> {
        if let Self::Value(version) = self { Some(version) } else { None }
    }
}

impl Node {
    /// Models `Invalidations::reset`.
    pub(super) fn reset(&mut self) {
        self.lease = 0;
        self.invalidate();
    }

    /// Models `LocalCache::invalidate`.
    pub(super) fn invalidate(&mut self) {
        self.cache = None;
        self.read = self.read.map(|read| Read { is_current: false, ..read });
    }

    pub(super) fn pop(&mut self, place: usize) {
        if let Some(link) = &mut self.link {
            link.remove(place);
        }
    }
}
