//! Opaque tokens, of which the database stores only digests.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::crypto::Seal;
use crate::domain::{Random, SessionId, TokenPurpose};

const REFRESH_PREFIX: &str = "qvr_";
/// Shorter than any scope of a cursor, which has at least the 16 bytes of a user's id.
const REFRESH_SCOPE: &[u8] = b"refresh token";

/// Creates a refresh token: `qvr_`, then the session's id and the secret under a seal.
///
/// The seal binds every issued token to its session. So a spent token is recognised without a list of spent tokens.
/// A forged token ends no session.
#[must_use]
pub fn refresh_token(seal: &Seal, session_id: SessionId, secret: [u8; 32]) -> SecretString {
    let payload = [session_id.0.as_bytes().as_slice(), &secret].concat();
    format!("{REFRESH_PREFIX}{}", seal.seal(REFRESH_SCOPE, &payload)).into()
}

/// Returns the session of a refresh token, spent or not. Returns `None` if this installation did not issue the token.
#[must_use]
pub fn refreshed_session(seal: &Seal, token: &SecretString) -> Option<SessionId> {
    let payload = seal.open(REFRESH_SCOPE, token.expose_secret().strip_prefix(REFRESH_PREFIX)?)?;
    Some(SessionId(Uuid::from_bytes(*payload.first_chunk()?)))
}

/// Derives the secret of the next refresh token from the current token and a salt.
#[must_use]
pub fn successor(token: &SecretString, salt: &[u8]) -> [u8; 32] {
    // The fixed-length salt comes first, because length extension could otherwise derive this from the stored digest.
    Sha256::new().chain_update(salt).chain_update(token.expose_secret()).finalize().into()
}

/// Creates a single-use token: a prefix for its purpose, and 32 random bytes.
#[must_use]
pub fn one_time_token(purpose: TokenPurpose, random: &Random) -> SecretString {
    let prefix = match purpose {
        TokenPurpose::PasswordReset => "qvp_",
        TokenPurpose::EmailVerification => "qve_",
    };
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(random.bytes::<32>())).into()
}

/// Returns the SHA-256 digest (FIPS 180-4) that is stored in place of a token.
#[must_use]
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
