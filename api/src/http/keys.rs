//! `/.well-known/jwks.json`: the public keys with which other services verify our access tokens (RFC 7517).

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use poem::{Endpoint, Request, Response, http::StatusCode};
use serde_json::json;

use crate::service::{Backend, keys};

/// The key set.
pub struct Keys(pub Arc<Backend>);

impl Endpoint for Keys {
    type Output = Response;

    async fn call(&self, _: Request) -> poem::Result<Response> {
        let Ok(keys) = keys::accepted(&self.0).await else {
            return Ok(StatusCode::SERVICE_UNAVAILABLE.into());
        };
        let keys: Vec<_> = keys
            .into_iter()
            .map(|(kid, key)| {
                let x = BASE64_URL_SAFE_NO_PAD.encode(key);
                json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x })
            })
            .collect();
        let body = json!({ "keys": keys }).to_string();
        Ok(Response::builder()
            .content_type("application/jwk-set+json")
            .header("cache-control", "max-age=300")
            .body(body))
    }
}
