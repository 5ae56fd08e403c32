//! Access tokens: JWTs signed with Ed25519 (RFC 8037, RFC 8725, RFC 9068). Each node has a key of its own.

use std::collections::{HashMap, HashSet};
use std::{mem, sync::Arc};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::{KeyTag, Random, SessionId, Timestamp, UserId};

/// Tolerated difference between the clocks of two nodes.
const LEEWAY: TimeDelta = TimeDelta::seconds(10);
/// Media type of RFC 9068, section 2.1. It keeps other JWTs from being accepted as access tokens.
const TOKEN_TYPE: &str = "at+jwt";

/// Reason why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is signed with an unknown key, which has this id.
    #[error("signed with an unknown key")]
    UnknownKey(String),
    /// The token has expired or its key was withdrawn. The client needs a new one.
    #[error("expired")]
    Expired,
    /// The token is malformed or was not issued by this installation.
    #[error("invalid")]
    Invalid,
}

/// Claims of an access token: only ids and times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    sid: Uuid,
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Claims {
    /// Returns the user whom the token authenticates.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        UserId(self.sub)
    }

    /// Returns the session that the token belongs to.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        SessionId(self.sid)
    }

    /// Returns the expiry time of the token.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_timestamp(self.exp, 0).unwrap_or_default()
    }
}

/// A token whose signature has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The claims that the token carries.
    pub claims: Claims,
    /// Tag of the key that verified the signature.
    pub key: KeyTag,
}

/// A private key, and the id under which its public key is published.
pub struct SigningKey {
    /// The JWK thumbprint (RFC 7638) of the public key.
    pub kid: String,
    /// Public key, 32 bytes.
    pub public_key: Vec<u8>,
    encoding: EncodingKey,
}

/// Public keys by their ids.
#[derive(Default)]
struct Known {
    accepted: HashMap<String, DecodingKey>,
    tags: HashSet<KeyTag>,
    withdrawn: HashSet<String>,
}

impl SigningKey {
    /// Generates a key in PKCS #8 form (RFC 8410).
    pub fn generate(random: &Random) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        let seed = Zeroizing::new(random.bytes::<32>());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| TokenError::Invalid)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| TokenError::Invalid)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// Reads the key from a PKCS #8 document.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, TokenError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| TokenError::Invalid)?;
        let public_key = pair.public_key().as_ref().to_vec();
        Ok(Self { kid: thumbprint(&public_key), public_key, encoding: EncodingKey::from_ed_der(der) })
    }

    /// Returns a short digest that identifies this key.
    #[must_use]
    pub fn tag(&self) -> KeyTag {
        tag(&self.kid)
    }
}

/// Signer with this node's key, and verifier for the keys of all nodes.
pub struct AccessTokens {
    issuer: String,
    lifetime: TimeDelta,
    signing: RwLock<Arc<SigningKey>>,
    known: RwLock<Known>,
    validation: Validation,
}

impl AccessTokens {
    /// Creates a signer and verifier for this issuer's own API. Tokens with a longer lifetime are not accepted.
    #[must_use]
    pub fn new(issuer: &str, lifetime: TimeDelta, signing: SigningKey) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // Times are checked below against the given clock, not the system clock.
        validation.validate_exp = false;
        let tokens = Self {
            issuer: issuer.to_owned(),
            lifetime,
            signing: RwLock::new(Arc::new(signing)),
            known: RwLock::default(),
            validation,
        };
        tokens.set_accepted_keys([], []);
        tokens
    }

    /// Sets the public keys that are accepted in addition to this node's own. Withdrawn keys are never accepted, not
    /// even this node's. Returns whether a key that was accepted before is now withdrawn.
    pub fn set_accepted_keys(
        &self,
        keys: impl IntoIterator<Item = (String, Vec<u8>)>,
        withdrawn: impl IntoIterator<Item = String>,
    ) -> bool {
        let signing = self.signing_key();
        let own = (signing.kid.clone(), signing.public_key.clone());
        let mut known = self.known.write();
        // Withdrawals are permanent, because an older read of the database may arrive after a newer one.
        let withdrawn: HashSet<_> = withdrawn.into_iter().chain(mem::take(&mut known.withdrawn)).collect();
        let keys = keys.into_iter().chain([own]).filter(|(kid, _)| !withdrawn.contains(kid));
        let accepted: HashMap<_, _> = keys.map(|(kid, key)| (kid, DecodingKey::from_ed_der(&key))).collect();
        let tags = accepted.keys().map(|kid| tag(kid)).collect();
        let is_lost = known.accepted.keys().any(|kid| withdrawn.contains(kid));
        *known = Known { accepted, tags, withdrawn };
        is_lost
    }

    /// Returns whether tokens signed with this key are accepted now.
    #[must_use]
    pub fn accepts(&self, key: KeyTag) -> bool {
        self.known.read().tags.contains(&key)
    }

    /// Returns the key that signs.
    #[must_use]
    pub fn signing_key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.signing.read())
    }

    /// Replaces the key that signs.
    pub fn sign_with(&self, key: SigningKey) {
        *self.signing.write() = Arc::new(key);
    }

    /// Signs a token for a session. Returns the token and its expiry time.
    pub fn sign(
        &self,
        (user_id, session_id): (UserId, SessionId),
        id: Uuid,
        now: Timestamp,
        lifetime: TimeDelta,
    ) -> Result<(SecretString, Timestamp), TokenError> {
        let expires_at = now + lifetime;
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.issuer.clone(),
            sub: user_id.0,
            sid: session_id.0,
            jti: id,
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: expires_at.timestamp(),
        };
        let signing = self.signing_key();
        let header = Header {
            typ: Some(TOKEN_TYPE.to_owned()),
            kid: Some(signing.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        let token = jsonwebtoken::encode(&header, &claims, &signing.encoding).map_err(|_| TokenError::Invalid)?;
        Ok((token.into(), claims.expires_at()))
    }

    /// Verifies a token. Returns its claims if this installation issued it and it is valid now.
    pub fn verify(&self, token: &SecretString, now: Timestamp) -> Result<Verified, TokenError> {
        let token = token.expose_secret();
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        if header.typ.as_deref() != Some(TOKEN_TYPE) || header.alg != Algorithm::EdDSA {
            return Err(TokenError::Invalid);
        }
        let kid = header.kid.ok_or(TokenError::Invalid)?;
        let known = self.known.read();
        if known.withdrawn.contains(&kid) {
            return Err(TokenError::Expired);
        }
        let Some(key) = known.accepted.get(&kid) else { return Err(TokenError::UnknownKey(kid)) };
        let claims =
            jsonwebtoken::decode::<Claims>(token, key, &self.validation).map_err(|_| TokenError::Invalid)?.claims;
        if claims.iat > (now + LEEWAY).timestamp() {
            return Err(TokenError::Invalid);
        }
        // Limits the tokens that a thief of a key can sign. Tokens from before the lifetime was shortened may exceed
        // the limit as well. They count as expired, so that their holders obtain new ones.
        if claims.exp.saturating_sub(claims.iat) > (self.lifetime + LEEWAY).num_seconds() {
            return Err(TokenError::Expired);
        }
        check_times(&claims, now)?;
        Ok(Verified { claims, key: tag(&kid) })
    }
}

/// Checks that a token is valid now, within the tolerated clock difference.
pub fn check_times(claims: &Claims, now: Timestamp) -> Result<(), TokenError> {
    if now >= claims.expires_at() + LEEWAY {
        return Err(TokenError::Expired);
    }
    let not_before = Timestamp::from_timestamp(claims.nbf, 0).ok_or(TokenError::Invalid)?;
    if not_before > now + LEEWAY { Err(TokenError::Invalid) } else { Ok(()) }
}

/// Returns the first bytes of a digest of a key's id.
fn tag(kid: &str) -> KeyTag {
    let digest: [u8; 32] = Sha256::digest(kid).into();
    KeyTag(digest[..8].iter().fold(0, |tag, byte| tag << 8 | u64::from(*byte)))
}

fn thumbprint(public_key: &[u8]) -> String {
    let x = BASE64_URL_SAFE_NO_PAD.encode(public_key);
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}
