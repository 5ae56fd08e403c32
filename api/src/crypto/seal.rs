//! Seals for cursors: readable by anyone, created only by the server, bound to one user and one list.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const TAG_BYTES: usize = 12;

/// Key that seals cursors on every node of one installation.
#[derive(Clone)]
pub struct Seal(Hmac<Sha256>);

impl Seal {
    /// Creates a seal with this key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        // A key shorter than the hash's block is padded with zeros (RFC 2104).
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    /// Seals `payload` as text, which opens only under an equal `scope`.
    #[must_use]
    pub fn seal(&self, scope: &[u8], payload: &[u8]) -> String {
        let tag = self.tag(scope, payload).finalize().into_bytes();
        BASE64_URL_SAFE_NO_PAD.encode([&tag[..TAG_BYTES], payload].concat())
    }

    /// Returns the payload of a text that was sealed under an equal `scope`.
    #[must_use]
    pub fn open(&self, scope: &[u8], text: &str) -> Option<Vec<u8>> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (tag, payload) = bytes.split_at_checked(TAG_BYTES)?;
        self.tag(scope, payload).verify_truncated_left(tag).ok()?;
        Some(payload.to_vec())
    }

    /// Derives a constant pseudonym of `payload` under `scope`. Without the key, it reveals nothing about the payload.
    #[must_use]
    pub fn derive(&self, scope: &[u8], payload: &[u8]) -> [u8; 16] {
        let mut name = [0; 16];
        name.copy_from_slice(&self.tag(scope, payload).finalize().into_bytes()[..16]);
        name
    }

    fn tag(&self, scope: &[u8], payload: &[u8]) -> Hmac<Sha256> {
        // The length prefix separates scope and payload.
        let length = u64::try_from(scope.len()).unwrap_or(u64::MAX).to_be_bytes();
        self.0.clone().chain_update(length).chain_update(scope).chain_update(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_for_its_scope_and_key_only() {
        let seal = Seal::new(&[7; 32]);
        let text = seal.seal(b"alice", b"42");
        assert_eq!(seal.open(b"alice", &text).as_deref(), Some(&b"42"[..]));
        assert_eq!(seal.open(b"bob", &text), None);
        assert_eq!(seal.open(b"alic", &seal.seal(b"alice", b"e42")), None);
        assert_eq!(Seal::new(&[8; 32]).open(b"alice", &text), None);
        for place in 0..text.len() {
            let mut flipped = text.clone().into_bytes();
            flipped[place] = if flipped[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.open(b"alice", str::from_utf8(&flipped).unwrap()), None, "{place}");
        }
        for garbage in ["", "AAAA", "not base64!"] {
            assert_eq!(seal.open(b"alice", garbage), None);
        }
    }
}
