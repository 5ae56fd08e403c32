//! Concurrency and failures: races, wrong clocks, and outages.

mod budgets;
mod clock_skew;
mod consistency;
mod contention;
mod races;
pub mod survival;
