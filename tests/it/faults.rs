//! Concurrency and failures: races, wrong clocks, and whatever breaks.

mod clock_skew;
mod consistency;
mod contention;
mod races;
pub mod survival;
