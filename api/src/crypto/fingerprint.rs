//! The fingerprint of a user's public keys, which two people compare over another channel.

use sha2::{Digest, Sha512};

/// Prefix that separates this digest from every other use of the hash.
const DOMAIN: &[u8] = b"quantumvault fingerprint 1";
const GROUPS: usize = 12;
const GROUP_BYTES: usize = 5;

/// Returns twelve groups of five decimal digits over both keys: about 199 bits of their SHA-512 digest (FIPS 180-4).
#[must_use]
pub fn fingerprint(ecc: &[u8], pqc: &[u8]) -> String {
    // Both keys have fixed lengths, so their concatenation is unambiguous.
    let digest = Sha512::new().chain_update(DOMAIN).chain_update(ecc).chain_update(pqc).finalize();
    let groups = digest.chunks_exact(GROUP_BYTES).take(GROUPS).map(|chunk| {
        let number = chunk.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{:05}", number % 100_000)
    });
    groups.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_sixty_digits_that_depend_on_both_keys() {
        let one = fingerprint(&[1; 32], &[2; 1184]);
        assert_eq!(one.split(' ').count(), 12);
        assert!(one.split(' ').all(|group| group.len() == 5 && group.bytes().all(|c| c.is_ascii_digit())));
        assert_ne!(one, fingerprint(&[3; 32], &[2; 1184]));
        assert_ne!(one, fingerprint(&[1; 32], &[3; 1184]));
    }
}
