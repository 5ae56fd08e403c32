//! Documents sent by reference: automatic persisted queries, document ids, and manifests of trusted documents.

use std::{collections::HashMap, fs, path::Path};

use async_graphql::Value;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::domain::ErrorCode;
use crate::engine::{GraphqlRequest, RequestError};

/// SHA-256 of a document's text, which identifies it in the cache, in Apollo's protocol and in `sha256:` ids.
pub(super) type Digest = [u8; 32];

/// Reference from a request to a document.
#[derive(Debug, PartialEq)]
pub(super) enum DocumentRef<'a> {
    /// A document's text and its digest.
    Text(&'a str, Digest),
    /// A document's id in the manifest, or its digest as text.
    Name(&'a str),
}

/// Manifest file in the format of Apollo's or Relay's tools.
#[derive(Deserialize)]
#[serde(untagged)]
enum Manifest {
    Apollo { format: String, version: u32, operations: Vec<Operation> },
    Relay(HashMap<String, String>),
}

#[derive(Deserialize)]
struct Operation {
    id: String,
    body: String,
}

/// Reads a request's reference to a document.
pub(super) fn document_ref(call: &GraphqlRequest) -> Result<DocumentRef<'_>, RequestError> {
    let name = match (&call.document_id, call.extensions.get("persistedQuery")) {
        (Some(_), Some(_)) => return Err(bad_request("Send either `documentId` or `persistedQuery`, not both.")),
        (Some(id), None) => Some(id.as_str()),
        (None, Some(extension)) => Some(hash(extension)?),
        (None, None) => None,
    };
    match (&call.query, name) {
        (None, None) => Err(bad_request("The request has no `query`, `documentId` or `persistedQuery`.")),
        (None, Some(name)) => Ok(DocumentRef::Name(name)),
        (Some(text), name) => {
            let digest = digest(text);
            if name.is_some_and(|name| parse_digest(name) != Some(digest)) {
                return Err(bad_request("The hash is not the SHA-256 digest of `query`."));
            }
            Ok(DocumentRef::Text(text, digest))
        }
    }
}

/// Reads the ids and texts of a manifest file.
pub(super) fn read_manifest(path: &Path) -> Result<Vec<(String, String)>, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    match serde_json::from_slice(&bytes).map_err(|error| error.to_string())? {
        Manifest::Apollo { format, version: 1, operations } if format == "apollo-persisted-query-manifest" => {
            Ok(operations.into_iter().map(|operation| (operation.id, operation.body)).collect())
        }
        Manifest::Apollo { format, version, .. } => Err(format!("unknown format {format} {version}")),
        Manifest::Relay(texts) => Ok(texts.into_iter().collect()),
    }
}

/// Returns the digest of a text.
pub(super) fn digest(text: &str) -> Digest {
    Sha256::digest(text).into()
}

/// Parses a digest of 64 hexadecimal digits, with or without `sha256:` (GraphQL over HTTP, appendix A).
pub(super) fn parse_digest(text: &str) -> Option<Digest> {
    let text = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
    let mut digest = Digest::default();
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    if pairs.len() != digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? << 4 | low?).ok()?;
    }
    Some(digest)
}

fn hash(extension: &Value) -> Result<&str, RequestError> {
    let Value::Object(fields) = extension else { return Err(bad_request("`persistedQuery` must be an object.")) };
    if fields.get("version") != Some(&Value::from(1)) {
        let message = "Only version 1 of persisted queries is supported.";
        return Err(RequestError::new(ErrorCode::PersistedQueryNotSupported, message));
    }
    match fields.get("sha256Hash") {
        Some(Value::String(hash)) => Ok(hash),
        _ => Err(bad_request("`persistedQuery.sha256Hash` must be a string.")),
    }
}

fn bad_request(message: &str) -> RequestError {
    RequestError::new(ErrorCode::BadRequest, message)
}
