//! Passwords, tokens and seals; whatever takes long runs off the async threads.

pub mod access_token;
pub mod password;
pub mod seal;
pub mod token;

pub use access_token::{AccessTokens, Claims, SigningKey, TokenError};
pub use password::{Passwords, PasswordError};
pub use seal::Seal;
