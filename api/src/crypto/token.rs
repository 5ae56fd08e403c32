//! Opaque tokens: random on the outside, known to the database only by their digest.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::crypto::Seal;
use crate::domain::{Random, SessionId, TokenPurpose};

const REFRESH_PREFIX: &str = "qvr_";
/// Shorter than any scope of a cursor, which begins with the 16 bytes of a user's id.
const REFRESH_SCOPE: &[u8] = b"refresh token";

/// A refresh token: `qvr_`, and under a seal the session's id and the secret.
///
/// The seal lets any token that was ever issued name its session, so that a spent one is recognised without keeping
/// a list of them, and nobody can end a session by making one up.
#[must_use]
pub fn refresh_token(seal: &Seal, session_id: SessionId, secret: [u8; 32]) -> SecretString {
    let payload = [session_id.0.as_bytes().as_slice(), &secret].concat();
    format!("{REFRESH_PREFIX}{}", seal.seal(REFRESH_SCOPE, &payload)).into()
}

/// The session that a refresh token was issued to, spent or not; nothing if it is none of ours.
#[must_use]
pub fn refreshed_session(seal: &Seal, token: &SecretString) -> Option<SessionId> {
    let payload = seal.open(REFRESH_SCOPE, token.expose_secret().strip_prefix(REFRESH_PREFIX)?)?;
    Some(SessionId(Uuid::from_bytes(*payload.first_chunk()?)))
}

/// The secret of the refresh token behind this one: known to whoever has both the token and the salt.
#[must_use]
pub fn successor(token: &SecretString, salt: &[u8]) -> [u8; 32] {
    // The salt goes first and has a fixed length, so that what is stored of the token is no part of the way here.
    Sha256::new().chain_update(salt).chain_update(token.expose_secret()).finalize().into()
}

/// A fresh single-use token: a prefix that tells its purpose, and 32 random bytes.
#[must_use]
pub fn one_time_token(purpose: TokenPurpose, random: &Random) -> SecretString {
    let prefix = match purpose {
        TokenPurpose::PasswordReset => "qvp_",
        TokenPurpose::EmailVerification => "qve_",
    };
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(random.bytes::<32>())).into()
}

/// What is stored of a token: its SHA-256 digest (FIPS 180-4).
#[must_use]
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
