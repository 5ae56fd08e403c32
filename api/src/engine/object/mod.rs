//! Objects that are written as JSON text, without a future and a value for each of their fields.
//!
//! async-graphql boxes a future for each field and builds a map for each object. These are most of the cost of a page
//! of messages. Here a type lists its fields in a table, and plain calls write an object. The writer records the keys
//! of values that must be loaded first. All these values are loaded together and the object is written again, once per
//! level of loads. Guarded by the benchmark `workloads W2`.

mod field;
mod json_writer;
mod loaded;
mod registry;
mod scoped;
mod selected;
mod selection;
mod write_object;

pub use self::field::{CachedJson, Field, JsonObject, leaf, lookup, object};
pub use self::json_writer::{Outcome, Writer};
pub use self::loaded::{Key, LoadedValues};
pub use self::scoped::Scoped;
pub use self::selected::{SelectedField, SelectedFields};
