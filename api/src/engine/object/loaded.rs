//! Keys and values that fields of an object load.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use foldhash::fast::RandomState;

use crate::engine::{Context, FieldError};

/// Key of a value that objects of a context load. The schema declares each kind once.
pub trait Key<C: Context>: Clone + Hash + Eq + Send + Sync + 'static {
    /// Type of the value.
    type Value: Clone + Send + Sync + 'static;

    /// Returns the values of this kind that were loaded.
    fn loaded(loaded: &C::Loaded) -> &LoadedValues<Self, Self::Value>;

    /// Returns the keys of this kind that are missing.
    fn missing(missing: &mut C::Missing) -> &mut HashSet<Self, RandomState>;

    /// Returns the error of a non-null field whose value does not exist.
    fn not_found() -> FieldError;
}

/// Loaded values by key, or the errors that loading failed with.
pub type LoadedValues<K, V> = HashMap<K, Result<Option<V>, FieldError>, RandomState>;
