//! Headers of every response: security headers, the request's id, and CORS for a list of exact origins.

use poem::Response;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::http::client_info;

/// Methods of the GraphQL endpoint.
pub const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");

const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const VARY: HeaderValue = HeaderValue::from_static("Origin, Accept");
const EXPOSED: HeaderValue = HeaderValue::from_static("x-request-id, retry-after");
const CORS_METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const CORS_HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, last-event-id, x-request-id");
/// Seconds for which a browser may cache a preflight response. Chromium caches none for more than two hours.
const CORS_MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Origin of a request, by the browser's `Origin` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No browser, or a page of this server.
    Own,
    /// A page of an allowed origin.
    Listed(HeaderValue),
    /// A page of any other origin.
    Foreign,
}

impl Origin {
    /// Returns the origin of a request. Only exact matches count: no wildcards, no prefixes, never `null`.
    pub fn of(headers: &HeaderMap, allowed: &[String]) -> Self {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Self::Own;
        };
        if allowed.iter().any(|allowed| origin == allowed.as_str()) {
            return Self::Listed(origin.clone());
        }
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        let origin = origin.as_bytes();
        let authority = origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"));
        if authority.is_some() && authority == host { Self::Own } else { Self::Foreign }
    }
}

/// Responds to a CORS preflight request.
pub fn preflight(origin: &Origin) -> Response {
    if *origin == Origin::Foreign {
        return StatusCode::FORBIDDEN.into();
    }
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(header::ALLOW, METHODS)
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, CORS_METHODS)
        .header(header::ACCESS_CONTROL_ALLOW_HEADERS, CORS_HEADERS)
        .header(header::ACCESS_CONTROL_MAX_AGE, CORS_MAX_AGE)
        .finish()
}

/// Adds the common headers to a response.
pub fn dress(headers: &mut HeaderMap, origin: Origin, request_id: &str) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    headers.insert(header::REFERRER_POLICY, NO_REFERRER);
    // Keeps the caching policy that a page or the key set has set.
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    // Also without an origin. Otherwise a cache could serve one origin's response to another.
    headers.append(header::VARY, VARY);
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(client_info::REQUEST_ID, id);
    }
    if let Origin::Listed(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_origins_are_listed() {
        let allowed = ["https://app.example".to_owned()];
        for (origin, wanted) in [
            ("https://app.example", Origin::Listed(HeaderValue::from_static("https://app.example"))),
            ("http://127.0.0.1:8000", Origin::Own),
            ("https://app.example.evil", Origin::Foreign),
            ("https://evil.app.example", Origin::Foreign),
            ("http://app.example", Origin::Foreign),
            ("null", Origin::Foreign),
            ("", Origin::Foreign),
        ] {
            let headers = HeaderMap::from_iter([
                (header::HOST, HeaderValue::from_static("127.0.0.1:8000")),
                (header::ORIGIN, HeaderValue::from_static(origin)),
            ]);
            assert_eq!(Origin::of(&headers, &allowed), wanted, "{origin}");
        }
        assert_eq!(Origin::of(&HeaderMap::new(), &allowed), Origin::Own);
        let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_bytes(b"https://\xff").unwrap())]);
        assert_eq!(Origin::of(&headers, &allowed), Origin::Foreign);
    }
}
