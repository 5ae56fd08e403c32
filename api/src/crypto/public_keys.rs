//! Checks of public keys: what would make an encryption to them weak or fail is refused before it is handed out.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};

/// The length of an X25519 key (RFC 7748).
pub const ECC_BYTES: usize = 32;
/// The length of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
pub const PQC_BYTES: usize = 1184;

/// 2^255 - 19, the lowest byte first.
const P: [u8; ECC_BYTES] = {
    let mut p = [0xff; ECC_BYTES];
    p[0] = 0xed;
    p[ECC_BYTES - 1] = 0x7f;
    p
};
/// Any secret does: as a multiple of eight it takes each point of small order, and no other, to zero.
const SECRET: [u8; ECC_BYTES] = [1; ECC_BYTES];
/// ML-KEM's modulus.
const Q: u16 = 3329;
/// The seed at the end of an encapsulation key.
const SEED_BYTES: usize = 32;

/// What is wrong with an X25519 key, as the rest of a sentence.
///
/// The function itself takes any 32 bytes; of those some are another spelling of a point, and some are points to which
/// every secret leads to zero (RFC 7748, section 6.1).
pub fn check_ecc(key: &[u8]) -> Result<(), String> {
    check_length(key, ECC_BYTES)?;
    if !key.iter().rev().lt(P.iter().rev()) {
        return Err("is not the canonical form of an X25519 key: it must be below 2^255 - 19".to_owned());
    }
    let small = || "is an X25519 point of small order".to_owned();
    let secret = PrivateKey::from_private_key(&X25519, &SECRET).map_err(|_| small())?;
    agreement::agree(&secret, UnparsedPublicKey::new(&X25519, key), small(), |_| Ok(()))
}

/// What is wrong with an ML-KEM-768 encapsulation key (FIPS 203, section 7.2), as the rest of a sentence.
pub fn check_pqc(key: &[u8]) -> Result<(), String> {
    check_length(key, PQC_BYTES)?;
    // Two coefficients of twelve bits stand in three bytes.
    let is_reduced = key[..PQC_BYTES - SEED_BYTES].chunks_exact(3).all(|three| {
        let [a, b, c] = [three[0], three[1], three[2]].map(u16::from);
        (a | (b & 0xf) << 8) < Q && (b >> 4 | c << 4) < Q
    });
    if is_reduced { Ok(()) } else { Err(format!("is no ML-KEM-768 encapsulation key: a coefficient is not below {Q}")) }
}

fn check_length(key: &[u8], expected: usize) -> Result<(), String> {
    if key.len() == expected { Ok(()) } else { Err(format!("must have {expected} bytes, and has {}", key.len())) }
}
