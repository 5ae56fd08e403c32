//! Tests that need PostgreSQL and Redis. The quick round excludes this module by its name.

mod cancelled_begin;
mod health;
mod lost_commit_answers;
mod nodes;
mod pinned_connections;
mod postgres;
mod survival;
