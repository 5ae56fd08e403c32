//! Use cases: the only place that decides anything.
//!
//! Each takes the operation it serves first, and answers with a value or an [`Error`].

pub mod accounts;
pub mod admin;
mod after_commit;
pub mod audit;
mod backend;
mod clocks;
pub mod conversations;
mod error;
pub mod feed;
pub mod health;
pub mod keys;
pub mod limits;
pub mod messages;
pub mod metrics;
pub mod one_time_tokens;
mod operation;
mod page;
pub mod passkeys;
pub mod public_keys;
pub mod purge;
mod reading;
pub mod recovery;
pub mod sessions;
pub mod user_changes;
pub mod users;
pub mod vitals;

pub use self::{
    backend::{Backend, StartError},
    error::Error,
    operation::{Admin, Operation},
    page::{Connection, Cursor, Edge},
    reading::spawn,
};
