//! Tests that need PostgreSQL and Redis, which the quick round leaves out by the name of this module.

mod given_up_begin;
mod health;
mod lanes;
mod lost_answers;
mod nodes;
mod postgres;
mod survival;
