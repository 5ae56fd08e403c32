//! Accepts connections, and enforces their limits and deadlines.

pub mod accept;
pub mod deadline;
mod stream;
