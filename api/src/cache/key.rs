//! Typed keys: the name of a value together with its type.

use std::{fmt, marker::PhantomData};

/// Names a cached `T`.
#[derive(Debug)]
pub struct Key<T> {
    name: String,
    value: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The key of the `kind` of value that `id` names.
    pub fn new(kind: &str, id: impl fmt::Display) -> Self {
        Self { name: format!("{kind}:{id}"), value: PhantomData }
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
