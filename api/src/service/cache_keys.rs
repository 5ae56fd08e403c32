//! Keys of the values that the service caches.

use serde::{Deserialize, Serialize};

use crate::cache::{Group, Key, Kind};
use crate::domain::{Account, ConversationId, Role, SessionId, User, UserId};

/// Cached state of an active session.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SessionState {
    pub(super) role: Role,
    pub(super) unconfirmed: Option<Vec<u8>>,
}

/// Returns the key of an account as its owner sees it.
pub(super) fn account(id: UserId) -> Key<Account> {
    Key::new(Kind::Account, id.0)
}

/// Returns the key of a user as others see them.
pub(super) fn user(id: UserId) -> Key<User> {
    Key::new(Kind::User, id.0)
}

/// Returns the key of one session.
pub(super) fn session(user_id: UserId, id: SessionId) -> Key<SessionState> {
    Key::of(sessions_of(user_id), id.0)
}

/// Returns the group of all cached sessions of a user.
pub(super) fn sessions_of(user_id: UserId) -> Group {
    Group::new(Kind::Session, user_id.0)
}

/// Returns the key of a user's conversation with a peer.
pub(super) fn conversation(user_id: UserId, peer_id: UserId) -> Key<ConversationId> {
    Key::of(Group::new(Kind::Conversation, user_id.0), peer_id.0)
}
