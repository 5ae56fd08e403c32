//! What nodes tell each other over the bus: where there is news, never the news itself.

use std::fmt;

use crate::domain::{SessionId, UserId};

/// A subject that somebody may listen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The user's mailbox has new events.
    Mailbox(UserId),
    /// The session has ended.
    Session(SessionId),
    /// The list of the user's sessions has changed.
    Sessions(UserId),
    /// Others see something else of the user.
    User(UserId),
    /// The same of somebody whom the user has a conversation with.
    Contacts(UserId),
    /// Metrics were recorded.
    Metrics,
    /// Other keys sign access tokens, or fewer are accepted.
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
