//! Database connections: opening, use, deadlines and closing.

pub mod anchor;
pub mod autocommit;
pub mod deadline;
pub mod liveness;
pub mod open;
pub mod pinned;
pub mod pool;
pub mod transaction;
