//! Passwords, tokens and seals. Slow computations run off the async threads.

pub mod access_token;
mod fingerprint;
pub mod passkeys;
pub mod password;
pub mod public_keys;
pub mod seal;
pub mod token;

pub use access_token::{AccessTokens, SigningKey, TokenError, Verified};
pub use fingerprint::fingerprint;
pub use passkeys::Passkeys;
pub use password::{Load, PasswordError, Passwords};
pub use seal::Seal;
