//! Budgets: how many bytes and connections the node, an address and a user may hold.
//!
//! A part reserves before it allocates. Dropping the reservation releases it.

mod operation;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

pub use self::operation::{Exceeded, OperationMemory, Policy};
use crate::domain::UserId;

/// Bytes that every connection may use without a reservation. Most answers and messages are smaller.
pub const FREE_BYTES: usize = 4 * 1024;

/// Interval at which a waiting part checks for free budget.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Number of maps that holders are spread over, so that reservations rarely wait for each other.
const SHARDS: usize = 16;

/// Owner of the share that a reservation counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A client without a session, by its network: an IPv4 address or an IPv6 /64.
    Network(IpAddr),
    /// A signed-in user.
    User(UserId),
    /// The trusted proxies. Only the node's limit applies to them.
    Proxy,
}

/// Reason why a reservation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// The holder has used up its share.
    #[error("the client holds too much already")]
    Holder,
    /// The node has used up its budget.
    #[error("the server holds too much already")]
    Node,
}

/// Maximum amounts of a budget.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum of the node.
    pub node: usize,
    /// Maximum of one network.
    pub network: usize,
    /// Maximum of one user.
    pub user: usize,
    /// Amount up to which a holder may also use the last quarter of the node's budget.
    pub small: usize,
}

/// An amount that the node, networks and users share.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    used: AtomicUsize,
    refused: AtomicU64,
    holders: [Mutex<HashMap<Holder, usize>>; SHARDS],
}

/// A reserved amount.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    holder: Holder,
    amount: usize,
}

impl Limits {
    /// Creates limits that apply to the node alone.
    #[must_use]
    pub fn unlimited(node: usize) -> Self {
        Self { node, network: node, user: node, small: node }
    }
}

impl Holder {
    /// Returns the holder of requests from an address.
    #[must_use]
    pub fn network(address: Option<IpAddr>) -> Self {
        Self::Network(network(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))))
    }

    fn limit(self, limits: &Limits) -> usize {
        match self {
            Self::Network(_) => limits.network,
            Self::User(_) => limits.user,
            Self::Proxy => limits.node,
        }
    }

    fn shard(self) -> usize {
        let bits = match self {
            Self::Network(IpAddr::V4(ip)) => u128::from(ip.to_bits()),
            Self::Network(IpAddr::V6(ip)) => ip.to_bits() >> 64,
            Self::User(id) => id.0.as_u128(),
            Self::Proxy => 0,
        };
        // The remainder is below the number of shards.
        usize::try_from(bits % SHARDS as u128).unwrap_or_default()
    }
}

/// Returns the network that an address counts as: an IPv6 client can choose any address of its /64.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

impl Budget {
    /// Creates a budget of which nothing is reserved.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            used: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            holders: std::array::from_fn(|_| Mutex::default()),
        })
    }

    /// Reserves an amount for a holder.
    pub fn reserve(self: &Arc<Self>, holder: Holder, amount: usize) -> Result<Reservation, Exhausted> {
        let mut reservation = self.nothing(holder);
        reservation.grow(amount)?;
        Ok(reservation)
    }

    /// Returns a reservation of nothing, which can grow.
    #[must_use]
    pub fn nothing(self: &Arc<Self>, holder: Holder) -> Reservation {
        Reservation { budget: Arc::clone(self), holder, amount: 0 }
    }

    /// Whether a small reservation of the holder would succeed.
    #[must_use]
    pub fn has_room(&self, holder: Holder) -> bool {
        let share = self.holders[holder.shard()].lock().get(&holder).copied().unwrap_or_default();
        self.check(holder, share.saturating_add(1), self.used()).is_ok()
    }

    /// Waits until a small reservation of the holder would succeed.
    pub async fn until_room(&self, holder: Holder) {
        while !self.has_room(holder) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns the reserved amount.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns the maximum of the node.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limits.node
    }

    /// Returns the number of reservations that failed.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Adds an amount if `is_allowed` accepts the holder's new share and the node's new total.
    fn add<E>(
        &self,
        holder: Holder,
        amount: usize,
        is_allowed: impl FnOnce(usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut held = self.holders[holder.shard()].lock();
        let share = held.get(&holder).copied().unwrap_or_default().saturating_add(amount);
        is_allowed(share, self.used().saturating_add(amount))?;
        held.insert(holder, share);
        self.used.fetch_add(amount, Ordering::Relaxed);
        Ok(())
    }

    /// Checks a holder's share and the node's total against the limits.
    fn check(&self, holder: Holder, share: usize, used: usize) -> Result<(), Exhausted> {
        let is_small = share <= self.limits.small || holder == Holder::Proxy;
        let limit = if is_small { self.limits.node } else { self.limits.node / 4 * 3 };
        if share > holder.limit(&self.limits) {
            return Err(Exhausted::Holder);
        }
        if used > limit { Err(Exhausted::Node) } else { Ok(()) }
    }

    fn release(&self, holder: Holder, amount: usize) {
        if amount == 0 {
            return;
        }
        self.used.fetch_sub(amount, Ordering::Relaxed);
        let mut held = self.holders[holder.shard()].lock();
        if let Some(share) = held.get_mut(&holder) {
            *share = share.saturating_sub(amount);
            if *share == 0 {
                held.remove(&holder);
            }
        }
    }
}

impl Reservation {
    /// Reserves more.
    pub fn grow(&mut self, amount: usize) -> Result<(), Exhausted> {
        let (budget, holder) = (&self.budget, self.holder);
        let added = budget.add(holder, amount, |share, used| budget.check(holder, share, used));
        if added.is_err() {
            budget.refused.fetch_add(1, Ordering::Relaxed);
        }
        self.amount += added.map(|()| amount)?;
        Ok(())
    }

    /// Counts more, even beyond the limits. For memory that is already in use: later reservations fail sooner.
    pub fn grow_required(&mut self, amount: usize) {
        let Ok(()) = self.budget.add(self.holder, amount, |_, _| Ok::<_, Infallible>(()));
        self.amount += amount;
    }

    /// Whether a small addition would succeed.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.budget.has_room(self.holder)
    }

    /// Releases all but an amount.
    pub fn shrink_to(&mut self, amount: usize) {
        let excess = self.amount.saturating_sub(amount);
        self.budget.release(self.holder, excess);
        self.amount -= excess;
    }

    /// Returns the reserved amount.
    #[must_use]
    pub fn amount(&self) -> usize {
        self.amount
    }
}

/// Bytes with their reservation.
struct Reserved {
    bytes: Bytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Reserved {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Keeps a reservation until the last copy of the bytes is dropped.
#[must_use]
pub fn attach(bytes: Bytes, reservation: Reservation) -> Bytes {
    Bytes::from_owner(Reserved { bytes, _reservation: reservation })
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.release(self.holder, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ALICE: Holder = Holder::User(UserId(Uuid::from_u128(1)));
    const BOB: Holder = Holder::User(UserId(Uuid::from_u128(17)));

    fn budget() -> Arc<Budget> {
        Budget::new(Limits { node: 100, network: 30, user: 60, small: 10 })
    }

    #[test]
    fn a_holder_has_a_share_and_gets_it_back() {
        let budget = budget();
        let first = budget.reserve(ALICE, 60).unwrap();
        assert_eq!(budget.reserve(ALICE, 1).unwrap_err(), Exhausted::Holder);
        let second = budget.reserve(BOB, 10).unwrap();
        drop(first);
        assert_eq!(budget.used(), 10);
        assert!(budget.reserve(ALICE, 60).is_ok());
        drop(second);
        assert_eq!((budget.used(), budget.refused()), (0, 1));
        assert!(budget.holders.iter().all(|held| held.lock().is_empty()), "no holder stays behind");
    }

    #[test]
    fn the_last_quarter_is_for_small_holders() {
        let budget = budget();
        let _held = budget.reserve(ALICE, 60).unwrap();
        assert_eq!(budget.reserve(BOB, 20).unwrap_err(), Exhausted::Node);
        let others: Vec<_> =
            (0..4).map(|n| budget.reserve(Holder::User(UserId(Uuid::from_u128(n + 100))), 10).unwrap()).collect();
        assert_eq!(budget.reserve(BOB, 1).unwrap_err(), Exhausted::Node);
        drop(others);
        assert!(budget.reserve(BOB, 10).is_ok());
    }

    #[test]
    fn a_reservation_grows_and_shrinks() {
        let budget = budget();
        let mut held = budget.reserve(ALICE, 0).unwrap();
        held.grow(50).unwrap();
        assert!(held.grow(11).is_err());
        held.shrink_to(20);
        assert_eq!((held.amount(), budget.used()), (20, 20));
        held.grow_required(200);
        assert!(budget.reserve(BOB, 1).is_err());
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn addresses_of_one_network_are_one_holder() {
        let of = |ip: &str| Holder::network(Some(ip.parse().unwrap()));
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
