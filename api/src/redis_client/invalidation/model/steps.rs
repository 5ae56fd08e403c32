//! Steps of the protocol and its faults, each with the code that it models.

use std::collections::VecDeque;

use super::state::{Change, Event, LEASE, Read, Reservation, Slot, Stage, State};
use super::{Bounds, Rule};

/// Node and name of a step.
pub(super) type Step = (usize, &'static str);

/// All steps from one state.
pub(super) struct Steps<'a> {
    bounds: Bounds,
    from: &'a State,
    found: Vec<(Step, State)>,
}

impl Steps<'_> {
    pub(super) fn all(bounds: Bounds, from: &State) -> Vec<(Step, State)> {
        let mut steps = Steps { bounds, from, found: Vec::new() };
        steps.add(0, "time passes", State::pass_time);
        // Models a restart, or `FLUSHALL`, which keeps connections open.
        steps.add(0, "Redis is emptied", |to| {
            (to.slot, to.age) = (Slot::Empty, 0);
            to.nodes.iter_mut().for_each(|node| node.listed = 0);
        });
        for n in 0..bounds.readers {
            steps.read(n);
            steps.listen(n);
        }
        if from.begun < bounds.changes {
            steps.add(bounds.changer, "commits", |to| to.commit(Stage::Tell, &bounds));
            steps.add(bounds.changer, "commits, for a group", |to| to.commit(Stage::Scan, &bounds));
        }
        (0..from.changes.len()).for_each(|place| steps.change(place));
        steps.found
    }

    fn add(&mut self, node: usize, name: &'static str, take: impl FnOnce(&mut State)) {
        let mut state = self.from.clone();
        take(&mut state);
        state.normalize(&self.bounds);
        self.found.push(((node, name), state));
    }

    /// Adds the steps of a read, in `service::sessions::load_state` or `RedisCache::get_many`.
    fn read(&mut self, n: usize) {
        let Some(read) = self.from.nodes[n].read else { return self.begin_read(n) };
        let Some(version) = read.version else {
            let found = Some(Read { version: Some(self.from.stored), ..read });
            return self.add(n, "reads from the database", |to| to.nodes[n].read = found);
        };
        // Needs no lease, because the node may have frozen since it checked its lease.
        if read.is_current || !self.bounds.follow(Rule::DropReadsOfBefore) {
            self.add(n, "remembers", |to| {
                to.nodes[n].cache = Some(version);
                to.nodes[n].read = Some(Read { is_current: false, ..read });
            });
        }
        if read.reservation == Reservation::Late && self.from.slot == Slot::Empty {
            self.add(n, "has its reservation reach Redis", |to| {
                to.slot = Slot::Mark(n);
                to.nodes[n].read = Some(Read { reservation: Reservation::Set, ..read });
            });
        }
        let stores = read.reservation == Reservation::Set;
        self.add(n, if stores { "stores in Redis" } else { "ends its read" }, |to| {
            to.slot = if stores { Slot::Value(version) } else { to.slot };
            to.nodes[n].read = None;
        });
    }

    fn begin_read(&mut self, n: usize) {
        let begun = |version, reservation| Some(Read { version, is_current: true, reservation });
        if let Slot::Value(version) = self.from.slot {
            self.add(n, "reads from Redis", |to| to.nodes[n].read = begun(Some(version), Reservation::None));
        }
        if self.from.slot == Slot::Empty {
            self.add(n, "reserves", |to| {
                to.slot = Slot::Mark(n);
                to.nodes[n].read = begun(None, Reservation::Set);
            });
        }
        let is_given_up = self.bounds.follow(Rule::ReserveBeforeReading);
        let reservation = if is_given_up { Reservation::None } else { Reservation::Late };
        self.add(n, "reserves in vain", |to| to.nodes[n].read = begun(None, reservation));
    }

    /// Adds the steps of `bus::Subscriber` and `bus::Publisher`.
    fn listen(&mut self, n: usize) {
        let (bounds, node) = (self.bounds, &self.from.nodes[n]);
        for version in node.confirms.iter().copied() {
            // A late confirmation delays the change, and a lost one equals no confirmation.
            self.add(n, "confirms", |to| {
                to.nodes[n].confirms.retain(|confirmed| *confirmed != version);
                let is_meant =
                    |change: &&mut Change| change.version == version || !bounds.follow(Rule::MatchConfirmations);
                to.changes.iter_mut().filter(is_meant).for_each(|change| change.confirmed |= 1 << n);
            });
        }
        let Some(link) = &node.link else {
            return self.add(n, "subscribes", |to| to.nodes[n].link = Some(VecDeque::new()));
        };
        // The node also resets at this point. The model omits that, as a renewal just received may complete afterwards.
        self.add(n, "loses its connection", |to| {
            (to.nodes[n].link, to.nodes[n].renewal, to.nodes[n].is_reset) = (None, None, false);
        });
        match node.renewal {
            _ if !node.is_reset => self.add(n, "resets", |to| {
                to.nodes[n].is_reset = true;
                if bounds.follow(Rule::ResetOnNewConnection) {
                    to.nodes[n].reset();
                }
            }),
            None => self.add(n, "asks for a lease", |to| to.nodes[n].renewal = Some((LEASE, false))),
            Some((left, false)) => self.add(n, "is listed", |to| {
                let node = &mut to.nodes[n];
                node.listed = if bounds.follow(Rule::ListLeaseToItsEnd) { LEASE } else { LEASE - 1 };
                node.renewal = Some((left, true));
                node.link.iter_mut().for_each(|link| link.push_back(Event::Renewed));
            }),
            Some(_) => {}
        }
        let renewed = link.iter().position(|event| *event == Event::Renewed);
        let next = renewed.filter(|_| !bounds.follow(Rule::RenewInOrder)).unwrap_or(0);
        match (link.get(next), node.renewal) {
            (Some(Event::Renewed), Some((left, _))) => self.add(n, "has a lease", |to| {
                to.nodes[n].pop(next);
                to.nodes[n].lease = if bounds.follow(Rule::CountLeaseFromRequest) { left } else { LEASE };
                to.nodes[n].renewal = None;
            }),
            (Some(Event::Invalidate(version)), _) => {
                let is_new = !node.confirms.contains(version);
                if is_new && !bounds.follow(Rule::DropBeforeConfirming) {
                    self.add(n, "is about to confirm", |to| to.nodes[n].confirms.push(*version));
                }
                self.add(n, "drops the value", |to| {
                    to.nodes[n].pop(next);
                    to.nodes[n].invalidate();
                    to.nodes[n].confirms.extend(is_new.then_some(*version));
                });
            }
            _ => {}
        }
    }

    /// Adds the steps of `AfterCommit::run`, through `RedisCache::invalidate` or `RedisCache::invalidate_group`.
    fn change(&mut self, place: usize) {
        let (bounds, node, change) = (self.bounds, self.bounds.changer, self.from.changes[place]);
        if change.stage != Stage::Wait {
            // The exception in the invariant: the change returns and guarantees nothing.
            self.add(node, "gives up on Redis", |to| {
                to.changes.remove(place);
                to.drop_own(&bounds);
            });
        }
        match change.stage {
            Stage::Scan => {
                self.add(node, "deletes by a scan", |to| {
                    to.slot = Slot::Empty;
                    to.changes[place].stage = Stage::TellGroup;
                });
                if !bounds.follow(Rule::RetryScan) {
                    self.add(node, "scans, unanswered", |to| to.changes[place].stage = Stage::TellGroup);
                }
            }
            Stage::Tell | Stage::TellGroup => {
                self.add(node, "tells all nodes", |to| {
                    to.tell(place, &bounds);
                    if bounds.follow(Rule::DropOwnEntryLast) {
                        to.drop_own(&bounds);
                    }
                });
                self.add(node, "tells all nodes, unanswered", |to| {
                    to.tell(place, &bounds);
                    to.changes[place] = change;
                });
            }
            Stage::Wait => {
                let missing = change.holders & !change.confirmed & !(1 << node);
                let is_confirmed = missing == 0 && change.rest == 0;
                if is_confirmed || change.left == 0 || !bounds.follow(Rule::WaitForConfirmations) {
                    self.add(node, "answers", |to| {
                        to.stored = to.stored.max(change.version);
                        to.answered = to.answered.max(change.version);
                        to.changes.remove(place);
                    });
                }
            }
        }
    }
}
