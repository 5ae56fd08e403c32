//! Mutations, their inputs and their payloads.

pub mod account;
pub mod one_time_token;
pub mod passkey;
