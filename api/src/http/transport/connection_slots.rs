//! Slots for sockets and event streams, counted per user.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::domain::UserId;

/// Number of sockets and event streams that each user holds on this node.
#[derive(Default)]
pub struct ConnectionSlots(Mutex<HashMap<UserId, usize>>);

/// Slot of a user's socket or event stream, released when dropped.
pub struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    user_id: UserId,
}

impl ConnectionSlots {
    /// Reserves a slot if the user holds fewer than `limit`.
    pub fn take(self: &Arc<Self>, user_id: UserId, limit: usize) -> Option<ConnectionSlot> {
        let mut taken = self.0.lock();
        let count = taken.entry(user_id).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(ConnectionSlot { slots: Arc::clone(self), user_id })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock();
        if let Some(count) = taken.get_mut(&self.user_id) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn seats_are_counted_by_user_and_given_back() {
        let slots = Arc::new(ConnectionSlots::default());
        let (alice, bob) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let first = slots.take(alice, 1).unwrap();
        assert!(slots.take(alice, 1).is_none());
        assert!(slots.take(bob, 1).is_some());
        drop(first);
        assert!(slots.0.lock().is_empty());
        assert!(slots.take(alice, 1).is_some());
    }
}
