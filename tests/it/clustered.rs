//! Tests that need PostgreSQL and Redis, which the quick round leaves out by the name of this module.

mod health;
mod lanes;
mod nodes;
mod postgres;
mod survival;
