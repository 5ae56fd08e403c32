//! The harness: what a test needs around the system it tests.

pub mod database;
