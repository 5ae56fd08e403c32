//! Objects that are written as JSON text, without a future and a value for each of their fields.
//!
//! The library boxes a future for each field and builds a map for each object, which is most of what a page of messages
//! costs. Here a type lists its fields in a table, and an object is written by plain calls. A value that must be loaded
//! first is noted while writing. Then all of these are loaded together and the object is written again, once for each
//! level of values to load. Guarded by the benchmark `workloads W2`.

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
