//! What the model knows: one value in all places where it can be, and the nodes that have it.

use std::collections::VecDeque;

use super::{Bounds, Rule};

/// `invalidation::LEASE` in ticks: two, so that something can happen within it.
pub(super) const LEASE: u8 = 2;

/// One value, whose versions count up from 0, in all places where it can be.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The version in the database.
    pub(super) stored: u8,
    /// The latest version whose change was answered.
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
    /// Ticks until the lease ends, here and in Redis's list.
    pub(super) lease: u8,
    pub(super) listed: u8,
    pub(super) cache: Option<u8>,
    pub(super) read: Option<Read>,
    /// What Redis has sent over the connection that listens.
    pub(super) link: Option<VecDeque<Event>>,
    /// Whether the node has dropped its entries since it subscribed.
    pub(super) is_reset: bool,
    /// A renewal under way: when its lease would end, and whether Redis has given it.
    pub(super) renewal: Option<(u8, bool)>,
    /// Versions to confirm.
    pub(super) confirms: Vec<u8>,
}

/// A value on its way into the caches.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Read {
    pub(super) version: Option<u8>,
    /// Whether it may still go into the local cache.
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

/// A change between its commit and its answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Change {
    pub(super) version: u8,
    pub(super) stage: Stage,
    /// Nodes as bits: those that held a lease, and those that have confirmed.
    pub(super) holders: u8,
    pub(super) confirmed: u8,
    /// Ticks until the list is complete, and until no lease of before is left.
    pub(super) rest: u8,
    pub(super) left: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// A scan deletes the keys of a group before nodes are told.
    Scan,
    TellGroup,
    Tell,
    Wait,
}

impl State {
    /// Nodes that have a lease and the value. From here they can lose all of it.
    pub(super) fn new(bounds: &Bounds) -> Self {
        let (link, node) = (Some(VecDeque::new()), Node { lease: LEASE, listed: LEASE, ..Node::default() });
        let nodes = vec![Node { cache: Some(0), link, is_reset: true, ..node }; bounds.readers];
        Self { stored: 0, answered: 0, begun: 0, slot: Slot::Empty, age: LEASE, nodes, changes: Vec::new() }
    }

    /// Whether no read that begins now finds a version older than one whose change was answered.
    pub(super) fn holds(&self) -> bool {
        let local = self.nodes.iter().filter(|node| node.lease > 0).filter_map(|node| node.cache);
        local.chain(self.slot.version()).all(|version| version >= self.answered)
    }

    /// Whether something old is left, or comes.
    pub(super) fn is_open(&self, bounds: &Bounds) -> bool {
        let known = self.nodes.iter().flat_map(|node| [node.cache, node.read.and_then(|read| read.version)]);
        let mut known = known.flatten().chain(self.slot.version());
        self.begun < bounds.changes || !self.changes.is_empty() || known.any(|version| version < self.stored)
    }

    /// Clears what makes no difference any more.
    pub(super) fn normalize(&mut self, bounds: &Bounds) {
        for change in self.changes.iter_mut().filter(|change| change.stage == Stage::Wait) {
            change.holders &= if change.left == 0 { 0 } else { !change.confirmed };
            change.confirmed = 0;
        }
        let is_told = self.begun == bounds.changes && self.changes.iter().all(|change| change.stage == Stage::Wait);
        self.age = if is_told { 0 } else { self.age };
        for (n, node) in self.nodes.iter_mut().enumerate() {
            node.listed = if is_told { 0 } else { node.listed };
            // To ask anew does no less.
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
            // A mark that is left only keeps others from reserving, until it ends.
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

    /// The nodes that Redis lists.
    pub(super) fn holders(&self) -> u8 {
        self.nodes.iter().rev().fold(0, |bits, node| bits << 1 | u8::from(node.listed > 0))
    }

    /// Drops the changer's own entry, in `RedisCache::broadcast`.
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

    /// The script `INVALIDATE`, and what its answer means to `Invalidations::invalidate`.
    pub(super) fn tell(&mut self, place: usize, bounds: &Bounds) {
        let (now, change) = (self.holders(), &mut self.changes[place]);
        if change.stage == Stage::Tell {
            self.slot = Slot::Empty;
        }
        if bounds.follow(Rule::ListHoldersWithDeletion) {
            change.holders = now;
        }
        // A changer that reads nothing may have renewed its lease just now.
        let is_listed =
            change.holders == 0 || bounds.changer == bounds.readers || change.holders >> bounds.changer & 1 == 1;
        let age = if bounds.follow(Rule::DistrustNewList) { self.age } else { LEASE };
        change.rest = if is_listed { LEASE - age } else { LEASE };
        change.left = if bounds.follow(Rule::WaitOneLease) { LEASE } else { LEASE - 1 };
        change.stage = Stage::Wait;
        let message = Event::Invalidate(change.version);
        for (_, node) in self.nodes.iter_mut().enumerate().filter(|(n, _)| *n != bounds.changer) {
            // One that comes twice in a row does what one does.
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
    /// `Invalidations::reset`.
    pub(super) fn reset(&mut self) {
        self.lease = 0;
        self.invalidate();
    }

    /// `LocalCache::invalidate`.
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
