//! Access tokens: JWTs signed with Ed25519 (RFC 8037, RFC 8725, RFC 9068), each node with a key of its own.

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

/// How far two nodes' clocks may stand apart.
const LEEWAY: TimeDelta = TimeDelta::seconds(10);
/// The media type of RFC 9068, section 2.1, which keeps other JWTs from being taken for access tokens.
const TOKEN_TYPE: &str = "at+jwt";

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is signed with a key that is not known here, named by this id.
    #[error("signed with an unknown key")]
    UnknownKey(String),
    /// Its time is over, or its key was withdrawn: its holder needs another.
    #[error("expired")]
    Expired,
    /// It is not one of ours.
    #[error("invalid")]
    Invalid,
}

/// What an access token says; nothing but ids and times.
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
    /// Whose token it is.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        UserId(self.sub)
    }

    /// The session it belongs to.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        SessionId(self.sid)
    }

    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_timestamp(self.exp, 0).unwrap_or_default()
    }
}

/// A token whose signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The claims that the token carries.
    pub claims: Claims,
    /// The key that it was checked with.
    pub key: KeyTag,
}

/// A private key, and the name under which its public half is published.
pub struct SigningKey {
    /// The JWK thumbprint (RFC 7638) of the public key.
    pub kid: String,
    /// 32 bytes.
    pub public_key: Vec<u8>,
    encoding: EncodingKey,
}

/// The public keys by their names.
#[derive(Default)]
struct Known {
    accepted: HashMap<String, DecodingKey>,
    tags: HashSet<KeyTag>,
    withdrawn: HashSet<String>,
}

impl SigningKey {
    /// A new key as PKCS #8 (RFC 8410).
    pub fn generate(random: &Random) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        let seed = Zeroizing::new(random.bytes::<32>());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| TokenError::Invalid)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| TokenError::Invalid)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// The key that a PKCS #8 document holds.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, TokenError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| TokenError::Invalid)?;
        let public_key = pair.public_key().as_ref().to_vec();
        Ok(Self { kid: thumbprint(&public_key), public_key, encoding: EncodingKey::from_ed_der(der) })
    }

    /// Short digest that tells this key from others.
    #[must_use]
    pub fn tag(&self) -> KeyTag {
        tag(&self.kid)
    }
}

/// Signs with this node's key, and checks tokens of every node's.
pub struct AccessTokens {
    issuer: String,
    lifetime: TimeDelta,
    signing: RwLock<Arc<SigningKey>>,
    known: RwLock<Known>,
    validation: Validation,
}

impl AccessTokens {
    /// Tokens of this issuer, for this issuer's own API. None is accepted that was made for longer than this lifetime.
    #[must_use]
    pub fn new(issuer: &str, lifetime: TimeDelta, signing: SigningKey) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // Times are judged below by the clock that was passed in, not by the machine's.
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

    /// Sets the public keys whose tokens are accepted, besides this node's own. Withdrawn keys never are, not even this
    /// node's. Returns whether a key that was accepted so far is withdrawn.
    pub fn set_accepted_keys(
        &self,
        keys: impl IntoIterator<Item = (String, Vec<u8>)>,
        withdrawn: impl IntoIterator<Item = String>,
    ) -> bool {
        let signing = self.signing_key();
        let own = (signing.kid.clone(), signing.public_key.clone());
        let mut known = self.known.write();
        // A withdrawal is for good: an older look at the database may come later than a newer one.
        let withdrawn: HashSet<_> = withdrawn.into_iter().chain(mem::take(&mut known.withdrawn)).collect();
        let keys = keys.into_iter().chain([own]).filter(|(kid, _)| !withdrawn.contains(kid));
        let accepted: HashMap<_, _> = keys.map(|(kid, key)| (kid, DecodingKey::from_ed_der(&key))).collect();
        let tags = accepted.keys().map(|kid| tag(kid)).collect();
        let is_lost = known.accepted.keys().any(|kid| withdrawn.contains(kid));
        *known = Known { accepted, tags, withdrawn };
        is_lost
    }

    /// Whether tokens signed with this key are accepted now.
    #[must_use]
    pub fn accepts(&self, key: KeyTag) -> bool {
        self.known.read().tags.contains(&key)
    }

    /// The key that signs.
    #[must_use]
    pub fn signing_key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.signing.read())
    }

    /// Signs with another key from now on.
    pub fn sign_with(&self, key: SigningKey) {
        *self.signing.write() = Arc::new(key);
    }

    /// A token for this session, and when it ends.
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

    /// What a token says, if it is one of ours and its time is now.
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
        // A thief of a key must not be able to make tokens that outlive it. After the lifetime was made shorter, a node
        // may still be asked with a token of before, whose holder then gets another.
        if claims.exp.saturating_sub(claims.iat) > (self.lifetime + LEEWAY).num_seconds() {
            return Err(TokenError::Expired);
        }
        check_times(&claims, now)?;
        Ok(Verified { claims, key: tag(&kid) })
    }
}

/// Whether the token's time is now, give or take what clocks may differ.
pub fn check_times(claims: &Claims, now: Timestamp) -> Result<(), TokenError> {
    if now >= claims.expires_at() + LEEWAY {
        return Err(TokenError::Expired);
    }
    let not_before = Timestamp::from_timestamp(claims.nbf, 0).ok_or(TokenError::Invalid)?;
    if not_before > now + LEEWAY { Err(TokenError::Invalid) } else { Ok(()) }
}

/// The first bytes of a digest of a key's name.
fn tag(kid: &str) -> KeyTag {
    let digest: [u8; 32] = Sha256::digest(kid).into();
    KeyTag(digest[..8].iter().fold(0, |tag, byte| tag << 8 | u64::from(*byte)))
}

fn thumbprint(public_key: &[u8]) -> String {
    let x = BASE64_URL_SAFE_NO_PAD.encode(public_key);
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}
