//! Connections to the database: how they are opened, used, bounded in time and closed.

pub mod anchor;
pub mod autocommit;
pub mod deadline;
pub mod liveness;
pub mod open;
pub mod pinned;
pub mod pool;
pub mod transaction;
