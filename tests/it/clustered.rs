//! Tests that need PostgreSQL and Redis, which the quick round leaves out by the name of this module.

mod cancelled_begin;
mod health;
mod lost_commit_answers;
mod nodes;
mod pinned_connections;
mod postgres;
mod survival;
