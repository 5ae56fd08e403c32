//! Topics of the bus between nodes. A message names a topic with changes, never the changes themselves.

use std::fmt;

use crate::domain::{SessionId, UserId};

/// A topic that a node may subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The user's mailbox has new events.
    Mailbox(UserId),
    /// The session has ended.
    Session(SessionId),
    /// The list of the user's sessions has changed.
    Sessions(UserId),
    /// The public profile of the user has changed.
    User(UserId),
    /// The public profile of someone with whom the user has a conversation has changed.
    Contacts(UserId),
    /// Metrics were recorded.
    Metrics,
    /// The keys that sign access tokens have changed, or fewer are accepted.
    SigningKeys,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(id) => write!(f, "mailbox:{id}"),
            Self::Session(id) => write!(f, "session:{id}"),
            Self::Sessions(id) => write!(f, "sessions:{id}"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Contacts(id) => write!(f, "contacts:{id}"),
            Self::Metrics => f.write_str("metrics"),
            Self::SigningKeys => f.write_str("signing-keys"),
        }
    }
}
