//! The client of a request: its id, its address behind trusted proxies, and its access token.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use poem::Request;
use poem::http::{HeaderMap, HeaderName, header};

use crate::config::Network;
use crate::domain::{Client, Source};

/// Header with the request's id, in requests and in responses.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Generator of request ids: a prefix that differs between processes, and a counter.
pub struct RequestIds {
    process: String,
    next: AtomicU64,
}

impl RequestIds {
    /// Creates a generator with a random prefix, so that no other process generates its ids.
    pub fn new(source: &Source) -> Self {
        let process = u64::from_le_bytes(source.random.bytes());
        Self { process: format!("{process:016x}-"), next: AtomicU64::new(1) }
    }

    fn next(&self) -> String {
        [&self.process, itoa::Buffer::new().format(self.next.fetch_add(1, Ordering::Relaxed))].concat()
    }
}

/// Returns the client of a request. Keeps the id that a client sent, so that its logs match ours.
pub fn client(request: &Request, ids: &RequestIds, trusted: &[Network]) -> Client {
    let headers = request.headers();
    let given = text(headers, REQUEST_ID).filter(|id| is_sane(id));
    let peer = request.remote_addr().as_socket_addr().map(|address| address.ip().to_canonical());
    Client {
        request_id: given.map_or_else(|| ids.next(), str::to_owned),
        ip: peer.map(|peer| address(peer, headers, trusted)),
        // Readable headers are ASCII, so the cut never splits a character.
        user_agent: text(headers, header::USER_AGENT).map(|agent| agent[..agent.len().min(256)].to_owned()),
    }
}

/// Returns the access token of the headers. Any other kind of credentials gives an empty token, which is invalid.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).map(|value| value.to_str().map_or("", bearer))
}

/// Returns the token of a `Bearer` credential (RFC 6750, section 2.1), or an empty string.
pub fn bearer(credentials: &str) -> &str {
    match credentials.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    }
}

/// Returns a header's value if it is present and readable.
pub fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns the right-most hop that is not a trusted proxy. A client can forge every hop to the left of it.
fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    let mut nearest = peer;
    for hop in hops {
        match hop.trim().parse::<IpAddr>() {
            Ok(hop) if is_trusted(nearest) => nearest = hop.to_canonical(),
            _ => break,
        }
    }
    nearest
}

/// Whether an id is short and has only characters that are safe in logs and headers.
fn is_sane(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        for (peer, forwarded, wanted) in [
            ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
            ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.7", "203.0.113.9"),
            ("10.0.0.1", "1.1.1.1, nonsense, 10.0.0.7", "10.0.0.7"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("::1", "::ffff:203.0.113.9", "203.0.113.9"),
        ] {
            let headers = HeaderMap::from_iter([(FORWARDED_FOR, forwarded.parse().unwrap())]);
            let found = address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found, wanted.parse::<IpAddr>().unwrap(), "{peer} {forwarded}");
        }
    }

    #[test]
    fn a_token_is_what_bearer_says() {
        assert_eq!(
            (bearer("Bearer a.b"), bearer("bearer  a.b"), bearer("Basic eDp5"), bearer("")),
            ("a.b", "a.b", "", "")
        );
    }
}
