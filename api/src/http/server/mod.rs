//! Connections: accepting them, their limits and their deadlines.

pub mod accept;
pub mod deadline;
