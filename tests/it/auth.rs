//! Accounts and access to them: sign-in, sessions, tokens, keys, and the protection of other users' data.

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
