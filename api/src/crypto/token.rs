//! Opaque tokens: random on the outside, known to the database only by their digest.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::domain::Random;

/// A fresh refresh token: `qvr_` and 32 random bytes.
#[must_use]
pub fn refresh_token(random: &Random) -> SecretString {
    format!("qvr_{}", BASE64_URL_SAFE_NO_PAD.encode(random.bytes::<32>())).into()
}

/// What is stored of a token: its SHA-256 digest (FIPS 180-4).
#[must_use]
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
