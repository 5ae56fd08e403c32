//! Typed keys of cached values, and groups of all values that belong to one owner.

use std::hash::{Hash, Hasher};
use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::domain::text_enum;

text_enum! {
    /// Kinds of cached values.
    #[derive(Hash)]
    pub enum Kind {
        /// Whether a session is active.
        Session = "session",
        /// A user as other users see it.
        User = "user",
        /// An account as its owner sees it.
        Account = "account",
        /// The conversation of two users, which exists permanently once created.
        Conversation = "conversation",
    }
}

/// Type of cached values. The process keeps them as they are, Redis as JSON.
pub trait Value: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static> Value for T {}

/// Key of a cached `T`. Contains no text, because every request creates and compares keys.
#[derive(Debug)]
pub struct Key<T> {
    name: Name,
    value: PhantomData<fn() -> T>,
}

/// Key of a value without its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    kind: Kind,
    owner: Uuid,
    /// Id among the owner's values, where an owner can have several.
    id: Option<Uuid>,
}

/// Key of all values of a kind that belong to one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    kind: Kind,
    owner: Uuid,
}

/// Invalidation that nodes send each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalidated {
    /// One value.
    One(Name),
    /// All values of a group.
    All(Group),
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // A page looks up a hundred names, and ids alone distinguish nearly all of them.
        state.write_u128(self.id.unwrap_or_default().as_u128().rotate_left(1) ^ self.owner.as_u128());
    }
}

impl Group {
    /// Creates the group of the `kind` of values that `owner` has.
    #[must_use]
    pub fn new(kind: Kind, owner: Uuid) -> Self {
        Self { kind, owner }
    }

    /// Whether a value with this name belongs to the group.
    pub(super) fn contains(&self, name: &Name) -> bool {
        (name.kind, name.owner) == (self.kind, self.owner) && name.id.is_some()
    }
}

impl<T> Key<T> {
    /// Returns the key of the `kind` of value with this `id`.
    #[must_use]
    pub fn new(kind: Kind, id: Uuid) -> Self {
        Self { name: Name { kind, owner: id, id: None }, value: PhantomData }
    }

    /// Returns the key of the value with this `id` in a group.
    #[must_use]
    pub fn of(group: Group, id: Uuid) -> Self {
        Self { name: Name { kind: group.kind, owner: group.owner, id: Some(id) }, value: PhantomData }
    }

    /// Returns the key without its type.
    #[must_use]
    pub fn name(&self) -> Name {
        self.name
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            None => write!(f, "{}:{}", self.kind.as_str(), self.owner),
            Some(id) => write!(f, "{}:{}:{id}", self.kind.as_str(), self.owner),
        }
    }
}

/// Writes the common prefix of the group's names.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.kind.as_str(), self.owner)
    }
}

impl fmt::Display for Invalidated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => name.fmt(f),
            Self::All(group) => write!(f, "{group}*"),
        }
    }
}

impl FromStr for Invalidated {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, ':');
        let kind = parts.next().and_then(Kind::parse).ok_or(())?;
        let owner = parts.next().ok_or(())?.parse().map_err(drop)?;
        Ok(match parts.next() {
            None => Self::One(Name { kind, owner, id: None }),
            Some("*") => Self::All(Group { kind, owner }),
            Some(id) => Self::One(Name { kind, owner, id: Some(id.parse().map_err(drop)?) }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_forgotten_is_read_as_it_was_written() {
        let group = Group::new(Kind::Session, Uuid::from_u128(1));
        let names = [Key::<u32>::of(group, Uuid::from_u128(2)).name(), Key::<u32>::new(Kind::User, Uuid::nil()).name()];
        for invalidated in [Invalidated::One(names[0]), Invalidated::One(names[1]), Invalidated::All(group)] {
            assert_eq!(invalidated.to_string().parse(), Ok(invalidated));
        }
        for text in ["", "session", "session:", "session:1", "planet:00000000-0000-0000-0000-000000000000"] {
            assert_eq!(text.parse::<Invalidated>(), Err(()), "{text}");
        }
    }
}
