//! Accounts and who may use them: signing in, sessions, tokens, keys, and what belongs to others.

mod access;
mod access_tokens;
mod accounts;
pub mod email_links;
pub mod local_cache;
mod passkeys;
mod passwords;
mod public_keys;
mod sessions;
mod timing;
mod users;
