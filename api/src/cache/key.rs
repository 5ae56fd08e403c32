//! Typed keys: the name of a value together with its type, and the names of all values of one owner.

use std::{fmt, marker::PhantomData};

/// Names a cached `T`.
#[derive(Debug)]
pub struct Key<T> {
    name: String,
    value: PhantomData<fn() -> T>,
}

/// Names all values of a kind that belong to one owner.
#[derive(Debug, Clone)]
pub struct Group(String);

impl Group {
    /// The `kind` of values that `owner` has.
    pub fn new(kind: &str, owner: impl fmt::Display) -> Self {
        Self(format!("{kind}:{owner}:"))
    }

    /// What the names of all its keys begin with, and no other's.
    pub(super) fn prefix(&self) -> &str {
        &self.0
    }
}

impl<T> Key<T> {
    /// The key of the `kind` of value that `id` names.
    pub fn new(kind: &str, id: impl fmt::Display) -> Self {
        Self { name: format!("{kind}:{id}"), value: PhantomData }
    }

    /// The key of what `id` names among the values of one owner.
    pub fn of(group: &Group, id: impl fmt::Display) -> Self {
        Self { name: format!("{}{id}", group.0), value: PhantomData }
    }

    /// The key as text.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), value: PhantomData }
    }
}
