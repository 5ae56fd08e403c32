//! `/.well-known/jwks.json`: the public keys for other services to verify our access tokens (RFC 7517).

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use poem::{Response, http::StatusCode};
use serde_json::json;

use crate::service::{Backend, ops::signing_keys};

/// Returns the key set.
pub async fn answer(backend: &Arc<Backend>) -> Response {
    let Ok(keys) = signing_keys::accepted(backend).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into();
    };
    let keys: Vec<_> = keys
        .into_iter()
        .map(|(kid, key)| {
            let x = BASE64_URL_SAFE_NO_PAD.encode(key);
            json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x })
        })
        .collect();
    let body = json!({ "keys": keys }).to_string();
    Response::builder().content_type("application/jwk-set+json").header("cache-control", "max-age=300").body(body)
}
