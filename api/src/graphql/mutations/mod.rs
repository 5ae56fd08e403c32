//! Mutations with their inputs and payloads.

pub(super) mod account;
pub(super) mod message;
pub(super) mod metric;
pub(super) mod one_time_token;
pub(super) mod passkey;
pub(super) mod public_keys;
pub(super) mod session;
